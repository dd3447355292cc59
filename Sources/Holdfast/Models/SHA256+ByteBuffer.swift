package import NIOCore
package import ReplicaCore
package import Storage

extension SHA256 {
    /// The digest of a buffer's readable bytes.
    package static func digest(of buffer: ByteBuffer) -> Digest {
        buffer.withUnsafeReadableBytes { digest(of: $0) }
    }
}
