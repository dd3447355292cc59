/// Bounds of what a push, a pull or a read of a model holds at once, with the sums that led to them.
package enum ModelLimits {
    /// The longest chunk: 4 MiB, 1,024 pages, so that pieces of a large tensor can be mapped side by side.
    package static let chunkBytesMax = 4 << 20
    /// The longest safetensors header, by its specification: 100 MB.
    package static let headerBytesMax: UInt64 = 100_000_000
    /// Nesting of a safetensors header: the format needs 3, a field that nobody knows may have a few more.
    package static let headerDepthMax = 16
    /// Chunk bytes that a push holds at once, read ahead, being hashed, waiting or in flight: 16 chunks.
    package static let pushBytesMax = 16 * chunkBytesMax
    /// A batch of chunk IDs closes at a quarter of the push's bytes, so that it never waits for bytes that cannot be read.
    package static let batchBytesMax = pushBytesMax / 4
    /// Chunk IDs in one batch: small files make small chunks.
    package static let batchChunksMax = 256
    /// Sends in flight.
    package static let sendsMax = 16
    /// Chunk IDs of one question about what a node has.
    package static let haveChunksMax = 8_192
    /// How often a push looks again for chunks that the node lacks before it gives up.
    package static let sweepsMax = 4
    /// How often one chunk is sent before a push gives up.
    package static let sendAttemptsMax = 3
    /// Chunks fetched at once by a pull.
    package static let fetchesMax = 8
    /// The encoded manifest: at 33 to 36 bytes a chunk, 256 MiB names 28 TiB of files.
    package static let manifestBytesMax = 256 << 20
    /// Files of one model.
    package static let filesMax = 1_000_000
    /// A path below the model's directory, in bytes of UTF-8.
    package static let pathBytesMax = 4_096
    /// One part of a path: the file systems' own bound.
    package static let pathPartBytesMax = 255
}
