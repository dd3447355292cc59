internal import ReplicaCore
internal import Storage

/// What a saved state snapshot holds: the document of `holdfast snapshot`.
public struct SnapshotSummary: Sendable, Hashable {
    /// The name of the cluster that the state is of.
    public var cluster: String
    /// The history that it belongs to, 32 hex digits; empty if none was set yet.
    public var lineage: String
    /// The store's revision.
    public var revision: Revision
    /// The feed's chain hash at that revision, in hex.
    public var feedHash: String
    /// The log index that the state includes.
    public var index: UInt64
    /// The voters at that index.
    public var members: [UInt64]
    /// The feature version that a build must know to restore it.
    public var featureVersion: UInt32
    /// Bytes of the rows.
    public var rowBytes: UInt64
    /// Chunks that the state needs.
    public var chunks: Int
    /// Bytes of chunks in the file; nil if it only names them.
    public var chunkBytes: UInt64?
    /// Bytes of the file.
    public var fileBytes: UInt64

    init(_ manifest: SnapshotManifest, fileBytes: UInt64, chunks: Int, chunkBytes: UInt64?) {
        let head = manifest.head
        cluster = manifest.cluster
        lineage = head.lineage?.hex ?? ""
        revision = head.state.revision
        feedHash = head.state.feedHash.hex
        index = head.state.index
        members = head.members.voters
        featureVersion = head.featureVersion
        rowBytes = manifest.bytes
        self.chunks = chunks
        self.chunkBytes = chunkBytes
        self.fileBytes = fileBytes
    }
}
