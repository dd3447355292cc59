internal import Glibc

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

    /// A descriptor of its own for whoever sends the file and closes it (sendfile(2)).
    package func duplicate() throws(HoldfastError) -> CInt {
        let copy = fcntl(descriptor, F_DUPFD_CLOEXEC, 0)
        guard copy >= 0 else {
            throw HoldfastError(
                .overloaded,
                "a chunk cannot be sent: \(String(cString: strerror(errno))); raise the limit of open files")
        }
        return copy
    }
}
