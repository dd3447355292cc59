import Foundation
import Processes

/// Bits that flip on a disk.
enum FlippedBits {
    /// Flips a bit of a byte in a file.
    static func flip(_ path: String, at offset: Int, mask: UInt8 = 0x10) throws {
        let file = try FileHandle(forUpdating: URL(fileURLWithPath: path))
        defer { try? file.close() }
        try file.seek(toOffset: UInt64(offset))
        guard let byte = try file.read(upToCount: 1)?.first else { throw Unexpected("\(path) has no byte \(offset)") }
        try file.seek(toOffset: UInt64(offset))
        try file.write(contentsOf: [byte ^ mask])
    }

    /// The files of a directory whose names fulfil a condition, in order.
    static func files(in directory: String, where holds: (String) -> Bool = { _ in true }) throws -> [String] {
        try FileManager.default.contentsOfDirectory(atPath: directory).sorted().filter(holds).map {
            "\(directory)/\($0)"
        }
    }

    /// The first place of bytes in the files, as path and offset.
    static func find(_ text: String, in files: [String]) throws -> (path: String, offset: Int)? {
        for path in files {
            let data = try Data(contentsOf: URL(fileURLWithPath: path), options: .mappedIfSafe)
            if let range = data.range(of: Data(text.utf8)) { return (path, range.lowerBound) }
        }
        return nil
    }
}
