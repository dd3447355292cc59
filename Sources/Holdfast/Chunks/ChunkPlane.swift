package import NIOCore
package import ReplicaCore

/// Where chunks are read from: the node's own directory, its peers, or a node across the network.
///
/// Bytes that crossed a network are not yet trusted: the caller checks them against the chunk's name.
package protocol ChunkSource: Sendable {
    /// The raw bytes of a chunk. Throws `notFound` where no node asked has it.
    func readChunk(_ id: ChunkID) async throws(HoldfastError) -> ByteBuffer
    /// The path of the chunk's raw file where it lies in this process' own directory, so that it can be mapped.
    func localFile(of id: ChunkID) -> String?
    /// Says that the bytes just read do not match the name, and waits until whoever sent them has looked at its copy: a bad one
    /// goes to the quarantine and is fetched again. The next read tells whether that helped.
    func doubt(_ id: ChunkID) async
}

extension ChunkSource {
    /// A source without copies of its own has nothing to look at.
    package func doubt(_ id: ChunkID) async {}
}

/// What a push needs of a cluster, in the order in which it calls it (design: models).
package protocol UploadPlane: Sendable {
    /// Opens the upload; opening it again with the same name is no error.
    func begin(_ upload: UploadID, name: String, version: String?) async throws(HoldfastError)
    /// Names chunks by ordinal, at most `Limits.uploadAddChunksMax` a call; repeating a call is no error.
    func add(_ upload: UploadID, firstOrdinal: Int, ids: [ChunkID]) async throws(HoldfastError)
    /// Which of the upload's chunks from `firstOrdinal` on the node that takes the bytes has durably.
    func have(_ upload: UploadID, firstOrdinal: Int, count: Int) async throws(HoldfastError) -> [Bool]
    /// Sends one chunk; returns when that node has it fsynced. Several may be in flight.
    func send(_ upload: UploadID, ordinal: Int, id: ChunkID, bytes: ByteBuffer) async throws(HoldfastError)
    /// Publishes: returns when a quorum holds every chunk and the version is visible.
    func publish(
        _ upload: UploadID, name: String, version: String?, root: ChunkID, totals: UploadTotals
    ) async throws(HoldfastError) -> ModelVersion
}

/// The sizes that a publish states.
package struct UploadTotals: Sendable, Hashable {
    /// Bytes of all files.
    package var bytes: UInt64
    /// Files.
    package var files: Int
    /// Chunks of the upload, manifest parts and root included.
    package var chunks: Int

    package init(bytes: UInt64, files: Int, chunks: Int) {
        self.bytes = bytes
        self.files = files
        self.chunks = chunks
    }
}
