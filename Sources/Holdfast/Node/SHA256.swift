internal import CHoldfast
package import ReplicaCore

/// SHA-256 (FIPS 180-4) by libcrypto, for the cores that bring no hash of their own. Allocates nothing.
package struct SHA256: HashFunction {
    private var state = chf_sha256_state()

    package init() { chf_sha256_start(&state) }

    package mutating func update(_ bytes: UnsafeRawBufferPointer) {
        chf_sha256_update(&state, bytes.baseAddress, bytes.count)
    }

    package mutating func finish() -> Digest {
        withUnsafeTemporaryAllocation(byteCount: Digest.byteCount, alignment: 8) { digest in
            if let start = digest.baseAddress {
                chf_sha256_finish(&state, start.assumingMemoryBound(to: UInt8.self))
            }
            return Digest(UnsafeRawBufferPointer(digest)) ?? .zero
        }
    }

    /// The digest of one buffer.
    package static func digest(_ bytes: UnsafeRawBufferPointer) -> Digest {
        var hash = SHA256()
        hash.update(bytes)
        return hash.finish()
    }
}
