package import Foundation

/// A directory that goes with its last user.
package final class ScratchDirectory: Sendable {
    /// Where it is.
    package let path: String

    package init() throws {
        path = NSTemporaryDirectory() + "/holdfast-end-to-end-\(UUID().uuidString)"
        try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
    }

    deinit {
        do {
            try FileManager.default.removeItem(atPath: path)
        } catch {
            print("'\(path)' could not be removed: \(error)")
        }
    }

    /// Writes a file below it; makes the directories on the way.
    @discardableResult
    package func write(_ name: String, _ bytes: [UInt8]) throws -> String {
        let url = URL(fileURLWithPath: path + "/" + name)
        try FileManager.default.createDirectory(at: url.deletingLastPathComponent(), withIntermediateDirectories: true)
        try Data(bytes).write(to: url)
        return url.path
    }

    /// The bytes of a file below it.
    package func read(_ name: String) throws -> [UInt8] {
        try Array(Data(contentsOf: URL(fileURLWithPath: path + "/" + name)))
    }
}

/// Every regular file below a directory, with its bytes, by its relative path.
package func tree(_ path: String) throws -> [String: [UInt8]] {
    var files: [String: [UInt8]] = [:]
    for name in try FileManager.default.subpathsOfDirectory(atPath: path) {
        var isDirectory: ObjCBool = false
        guard FileManager.default.fileExists(atPath: "\(path)/\(name)", isDirectory: &isDirectory),
            !isDirectory.boolValue
        else { continue }
        files[name] = try Array(Data(contentsOf: URL(fileURLWithPath: "\(path)/\(name)")))
    }
    return files
}

/// Bytes that look random and depend on the seed alone.
package func noise(_ count: Int, seed: UInt64) -> [UInt8] {
    var bytes: [UInt8] = []
    bytes.reserveCapacity(count + 8)
    var state = seed &+ 0x9E37_79B9_7F4A_7C15
    while bytes.count < count {
        state ^= state << 13
        state ^= state >> 7
        state ^= state << 17
        withUnsafeBytes(of: state.littleEndian) { bytes.append(contentsOf: $0) }
    }
    return Array(bytes.prefix(count))
}

/// A safetensors file of one header and its data.
package func safetensors(_ header: String, data: [UInt8] = [UInt8](repeating: 0, count: 16), length: UInt64? = nil)
    -> [UInt8]
{
    let size = length ?? UInt64(header.utf8.count)
    return withUnsafeBytes(of: size.littleEndian) { Array($0) } + Array(header.utf8) + data
}

/// Flips one byte of a chunk file of this length, and returns its path and its right bytes.
@discardableResult
package func damageChunk(below directory: String, length: Int) throws -> (path: String, bytes: Data) {
    for name in try FileManager.default.subpathsOfDirectory(atPath: directory).sorted() {
        let path = "\(directory)/\(name)"
        let attributes = try FileManager.default.attributesOfItem(atPath: path)
        guard attributes[.type] as? FileAttributeType == .typeRegular, attributes[.size] as? Int == length else {
            continue
        }
        let bytes = try Data(contentsOf: URL(fileURLWithPath: path))
        try FileManager.default.setAttributes([.posixPermissions: 0o600], ofItemAtPath: path)
        guard let handle = FileHandle(forWritingAtPath: path) else { throw Unexpected("cannot write \(path)") }
        try handle.seek(toOffset: 1_000)
        try handle.write(contentsOf: [bytes[1_000] ^ 1])
        try handle.close()
        return (path, bytes)
    }
    throw Unexpected("no chunk file of \(length) bytes below \(directory)")
}
