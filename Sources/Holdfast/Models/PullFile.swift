internal import CHoldfast
internal import Glibc
package import NIOCore
internal import ReplicaCore
internal import Synchronization
internal import Storage

/// One file being pulled: a temporary file beside its place, filled in any order, named when the last chunk is in.
///
/// The temporary file is its own record of an interrupted pull: what it holds is believed only after its hash was taken.
///
/// Invariants: (1) the temporary file is locked by this pull alone and has no other name; (2) every byte in it that counts
/// has matched its chunk's name in this process; (3) it gets its final name only when all have.
package final class PullFile: Sendable {
    private let directory: DirectoryHandle
    private let name: String
    private let temporary: String
    private let file: OpenFile
    private let replacing: Bool
    private let writing = Mutex<Void>(())
    /// Chunks still to come.
    private let missing: Mutex<Int>
    /// Whether an earlier pull left bytes that may be right.
    package let isResumed: Bool

    /// Opens the temporary file of `file` below `root`, making directories. Blocks on the disk.
    package init(_ file: Manifest.File, below root: DirectoryHandle, replacing: Bool) throws(HoldfastError) {
        (directory, name) = try root.parent(of: file.path, creating: true)
        temporary = Self.temporaryName(of: name)
        self.replacing = replacing
        missing = Mutex(file.chunkCount)
        if let status = try directory.status(temporary) {
            if DirectoryHandle.isLink(status) { throw DirectoryHandle.linkRefused("\(directory.path)/\(temporary)") }
            // A second name means that writing here would change another file, or that a pull ended between naming and
            // removing; either way this name alone is dropped.
            if status.st_nlink != 1 { try directory.unlink(temporary) }
        }
        self.file = try directory.file(temporary, flags: O_RDWR | O_CREAT)
        let path = self.file.path
        guard chf_lock_exclusive(self.file.descriptor) == 0 else { throw Self.busy(path) }
        let status = try self.file.status()
        guard DirectoryHandle.isFile(status), let named = try directory.status(temporary),
            named.st_ino == status.st_ino, status.st_nlink == 1
        else { throw Self.busy(path) }  // Keeps (1): the pull that held the lock has just finished with this file.
        isResumed = status.st_size > 0
        guard ftruncate(self.file.descriptor, off_t(file.bytes)) == 0 else {
            throw fileError("cannot set the length of", path, errno)
        }
    }

    /// Whether an earlier pull left this chunk whole. Blocks on the disk.
    package func holds(_ chunk: Manifest.Chunk, at offset: UInt64) throws(HoldfastError) -> Bool {
        // SEEK_DATA (3) skips what was never written; where the file system cannot tell, everything is data.
        let data = lseek(file.descriptor, off_t(offset), 3)
        if data < 0, errno == ENXIO { return false }
        if data >= 0, UInt64(data) >= offset + UInt64(chunk.bytes) { return false }
        let bytes = try file.read(count: Int(chunk.bytes), at: offset)
        return bytes.count == Int(chunk.bytes) && bytes.withUnsafeBytes { SHA256.digest(of: $0) } == chunk.id
    }

    /// Writes a chunk that matched its name: keeps (2). Blocks on the disk.
    package func write(_ chunk: ByteBuffer, at offset: UInt64) throws(HoldfastError) {
        var failure: HoldfastError?
        // One write at a time: the kernel's lock on a file makes its other writers spin, which costs the hashing its cores.
        writing.withLock { _ in
            chunk.withUnsafeReadableBytes { bytes in
                do throws(HoldfastError) { try file.write(bytes, at: offset) } catch { failure = error }
            }
        }
        if let failure { throw failure }
    }

    /// Counts a chunk that is in; true for the last one.
    package func countChunk() -> Bool {
        missing.withLock { missing in
            missing -= 1
            return missing == 0
        }
    }

    /// Gives the file its name: keeps (3). Blocks on the disk.
    package func finish() throws(HoldfastError) {
        precondition(missing.withLock { $0 } == 0, "a file was named before its last chunk")
        do throws(HoldfastError) {
            try directory.rename(temporary, to: name, replacing: replacing)
        } catch {
            guard error.code == .alreadyExists else { throw error }
            throw Self.refusal("\(directory.path)/\(name)")
        }
    }

    /// Removes what a pull left that ended between naming its file and dropping the temporary name.
    package static func removeTemporary(of file: Manifest.File, below root: DirectoryHandle) throws(HoldfastError) {
        let (directory, name) = try root.parent(of: file.path)
        try directory.unlink(temporaryName(of: name))
    }

    /// The refusal of a file in the way.
    package static func refusal(_ path: String) -> HoldfastError {
        HoldfastError(
            .alreadyExists, "'\(path)' exists with other content; use --force to replace it, or another directory",
            details: ["file": path])
    }

    /// The name of the temporary file beside `name`: `.NAME.holdfast-partial`, shortened by a hash where it is too long.
    package static func temporaryName(of name: String) -> String {
        let plain = ".\(name)\(ModelPath.partialSuffix)"
        guard plain.utf8.count > ModelLimits.pathPartBytesMax else { return plain }
        let hash = SHA256.digest(of: ByteBuffer(string: name)).hex
        return ".\(hash)\(ModelPath.partialSuffix)"
    }

    private static func busy(_ path: String) -> HoldfastError {
        HoldfastError(
            .preconditionFailed, "'\(path)' is being written by another pull; wait for it or use another directory",
            details: ["file": path])
    }
}
