internal import CHoldfast
package import NIOCore
package import ReplicaCore

/// A running SHA-256 of bytes in memory.
package struct RunningHash: Sendable {
    private var state = chf_sha256_state()

    package init() { chf_sha256_start(&state) }

    /// Adds bytes.
    package mutating func update(_ bytes: UnsafeRawBufferPointer) {
        chf_sha256_update(&state, bytes.baseAddress, bytes.count)
    }

    /// The digest of all bytes added; the value must not be used afterwards.
    package mutating func finish() -> Digest {
        Self.digest { chf_sha256_finish(&state, $0) }
    }

    /// The SHA-256 of one buffer.
    package static func digest(of bytes: UnsafeRawBufferPointer) -> Digest {
        digest { chf_sha256(bytes.baseAddress, bytes.count, $0) }
    }

    /// The SHA-256 of a buffer's readable bytes.
    package static func digest(of buffer: ByteBuffer) -> Digest {
        buffer.withUnsafeReadableBytes { digest(of: $0) }
    }

    private static func digest(_ fill: (UnsafeMutablePointer<UInt8>) -> Void) -> Digest {
        var bytes: (UInt64, UInt64, UInt64, UInt64) = (0, 0, 0, 0)
        withUnsafeMutableBytes(of: &bytes) { raw in
            raw.withMemoryRebound(to: UInt8.self) { typed in
                if let base = typed.baseAddress { fill(base) }
            }
        }
        return Digest(bytes.0.bigEndian, bytes.1.bigEndian, bytes.2.bigEndian, bytes.3.bigEndian)
    }
}
