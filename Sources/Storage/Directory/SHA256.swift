internal import CHoldfast
package import ReplicaCore

/// A running SHA-256 (FIPS 180-4) by libcrypto. A value that allocates nothing.
package struct SHA256: HashFunction, Sendable {
    private var state = chf_sha256_state()

    package init() { chf_sha256_start(&state) }

    /// Adds bytes.
    package mutating func update(_ bytes: UnsafeRawBufferPointer) {
        chf_sha256_update(&state, bytes.baseAddress, bytes.count)
    }

    /// The digest of all bytes added; the value must not be used afterwards.
    package mutating func finish() -> Digest {
        withUnsafeTemporaryAllocation(of: UInt8.self, capacity: Digest.byteCount) { digest in
            chf_sha256_finish(&state, digest.baseAddress)
            return Digest(UnsafeRawBufferPointer(digest)) ?? .zero
        }
    }

    /// The digest of one buffer.
    package static func digest(of bytes: UnsafeRawBufferPointer) -> Digest {
        var hash = SHA256()
        hash.update(bytes)
        return hash.finish()
    }

    /// The digest of an array.
    package static func digest(of bytes: [UInt8]) -> Digest { bytes.withUnsafeBytes { digest(of: $0) } }

    /// The digest of several buffers as if they lay one after the other.
    static func digest(of buffers: [UnsafeRawBufferPointer]) -> Digest {
        var hash = SHA256()
        for buffer in buffers { hash.update(buffer) }
        return hash.finish()
    }
}
