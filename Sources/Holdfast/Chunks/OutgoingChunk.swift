internal import Glibc
package import NIOCore

/// A chunk opened to be sent: its file stays readable until the last reference goes, also when the chunk is swept meanwhile.
package final class OutgoingChunk: Sendable {
    private let descriptor: CInt
    /// The size in bytes.
    package let byteCount: Int

    /// Takes the descriptor over and closes it in the end.
    init(descriptor: CInt, byteCount: Int) {
        self.descriptor = descriptor
        self.byteCount = byteCount
    }

    deinit { close(descriptor) }

    /// The whole chunk for sendfile(2). The handle is a duplicate: whoever writes the region closes it (`NIOFileHandle.close()`)
    /// once the write is done or has failed.
    package func fileRegion() throws(HoldfastError) -> FileRegion {
        let copy = fcntl(descriptor, F_DUPFD_CLOEXEC, 0)
        guard copy >= 0 else {
            throw HoldfastError(
                .overloaded,
                "a chunk cannot be sent: \(String(cString: strerror(errno))); raise the limit of open files")
        }
        return FileRegion(
            fileHandle: NIOFileHandle(_deprecatedTakingOwnershipOfDescriptor: copy), readerIndex: 0, endIndex: byteCount
        )
    }
}
