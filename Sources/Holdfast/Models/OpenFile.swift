package import Glibc

/// What tells that a file is still the one that was looked at.
package struct FileIdentity: Sendable, Hashable {
    package var device: UInt64
    package var inode: UInt64
    /// Its length in bytes.
    package var bytes: UInt64
    package var modifiedSeconds: Int
    package var modifiedNanoseconds: Int

    package init(_ status: stat) {
        device = UInt64(status.st_dev)
        inode = UInt64(status.st_ino)
        bytes = UInt64(max(0, status.st_size))
        modifiedSeconds = status.st_mtim.tv_sec
        modifiedNanoseconds = status.st_mtim.tv_nsec
    }
}

/// An open file; closed when the last reference goes.
///
/// Invariant: (1) `descriptor` is open for the life of the value and closed by nobody else, so that reads and writes at
/// offsets may come from any thread.
package final class OpenFile: Sendable {
    /// The descriptor; borrowed for calls while the value lives.
    package let descriptor: Int32
    /// The name in messages.
    package let path: String

    /// Takes over `descriptor`.
    package init(owning descriptor: Int32, path: String) {
        self.descriptor = descriptor
        self.path = path
    }

    // Nothing can be told of a failing close here; writers that must know call fsync.
    deinit { _ = close(descriptor) }

    /// What the file is now.
    package func status() throws(HoldfastError) -> stat {
        var status = stat()
        guard fstat(descriptor, &status) == 0 else { throw fileError("cannot look at", path, errno) }
        return status
    }

    /// Reads at `offset` until `buffer` is full or the file ends; returns how many bytes were read.
    package func read(into buffer: UnsafeMutableRawBufferPointer, at offset: UInt64) throws(HoldfastError) -> Int {
        var done = 0
        while done < buffer.count, let base = buffer.baseAddress {
            let count = pread(descriptor, base + done, buffer.count - done, off_t(offset) + off_t(done))
            if count < 0 {
                if errno == EINTR { continue }
                throw fileError("cannot read", path, errno)
            }
            if count == 0 { break }
            done += count
        }
        return done
    }

    /// Reads `count` bytes at `offset`, or fewer where the file ends.
    package func read(count: Int, at offset: UInt64) throws(HoldfastError) -> [UInt8] {
        var failure: HoldfastError?
        let bytes = [UInt8](unsafeUninitializedCapacity: count) { buffer, initialized in
            do throws(HoldfastError) {
                initialized = try read(into: UnsafeMutableRawBufferPointer(buffer), at: offset)
            } catch {
                failure = error
            }
        }
        if let failure { throw failure }
        return bytes
    }

    /// Writes all of `bytes` at `offset`.
    package func write(_ bytes: UnsafeRawBufferPointer, at offset: UInt64) throws(HoldfastError) {
        var done = 0
        while done < bytes.count, let base = bytes.baseAddress {
            let count = pwrite(descriptor, base + done, bytes.count - done, off_t(offset) + off_t(done))
            if count < 0 {
                if errno == EINTR { continue }
                throw fileError("cannot write", path, errno)
            }
            done += count
        }
    }
}

/// The error of a failed call on a file: what was tried, on what, and the system's reason.
package func fileError(_ action: String, _ path: String, _ number: Int32) -> HoldfastError {
    let code: HoldfastError.Code =
        switch number {
        case ENOENT: .notFound
        case ENOTDIR: .preconditionFailed
        case EACCES, EPERM, EROFS: .permissionDenied
        case ENOSPC, EDQUOT, EMFILE, ENFILE, EFBIG: .resourceExhausted
        case EEXIST: .alreadyExists
        case ENAMETOOLONG, EINVAL, EISDIR, ELOOP: .invalidArgument
        default: .unavailable
        }
    return HoldfastError(
        code, "\(action) '\(path)': \(String(cString: strerror(number)))", details: ["file": path])
}
