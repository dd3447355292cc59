import Foundation
import Processes

/// A small ext4 file system in a file, mounted through a loop device; gone with its last user. Only root may make one.
final class SmallDisk: Sendable {
    /// Whether this process may mount.
    static let canMount: Bool = {
        guard getuid() == 0, let disk = try? SmallDisk(mebibytes: 16) else { return false }
        return FileManager.default.fileExists(atPath: disk.path)
    }()

    /// Where it is mounted.
    let path: String
    private let scratch: ScratchDirectory

    init(mebibytes: Int) throws {
        scratch = try ScratchDirectory()
        path = scratch.path + "/mount"
        let image = scratch.path + "/image"
        try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
        guard FileManager.default.createFile(atPath: image, contents: nil),
            truncate(image, off_t(mebibytes << 20)) == 0,
            // No blocks set aside for root: what is free is free for the node as well.
            try runTool("mkfs.ext4", ["-q", "-m", "0", image]) == 0,
            try runTool("mount", ["-o", "loop", image, path]) == 0
        else { throw Unexpected("no small file system could be mounted at \(path)") }
    }

    deinit {
        do {
            guard try runTool("umount", ["-l", path]) == 0 else { throw Unexpected("umount failed") }
        } catch {
            print("'\(path)' could not be unmounted: \(error)")
        }
    }

    /// Bytes free on it.
    var freeBytes: Int {
        var status = statvfs()
        return statvfs(path, &status) == 0 ? Int(status.f_bavail) * Int(status.f_frsize) : 0
    }

    /// Takes all room but so many bytes, as another program does that fills the disk.
    func fill(leaving bytes: Int = 0) throws {
        let file = path + "/ballast"
        let descriptor = open(file, O_WRONLY | O_CREAT | O_APPEND, 0o600)
        guard descriptor >= 0 else { throw Unexpected("no ballast: error \(errno)") }
        defer { close(descriptor) }
        // As much as is free now: what a node gives out of its reserve meanwhile is the node's.
        var left = freeBytes - bytes
        for step in [1 << 20, 1 << 12] {
            let zeros = [UInt8](repeating: 0, count: step)
            while left >= step, write(descriptor, zeros, step) == step { left -= step }
        }
    }

    /// Gives the room back.
    func empty() throws { try FileManager.default.removeItem(atPath: path + "/ballast") }
}
