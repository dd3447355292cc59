/// A published model version.
package struct ModelVersion: Sendable, Hashable {
    package var name: String
    package var version: String
    package var record: ModelRecord
    /// The revision that published it.
    package var publishedRevision: UInt64
    /// The revision of the last change: the publishing or the retiring.
    package var modRevision: UInt64

    package init(name: String, version: String, record: ModelRecord, publishedRevision: UInt64, modRevision: UInt64) {
        self.name = name
        self.version = version
        self.record = record
        self.publishedRevision = publishedRevision
        self.modRevision = modRevision
    }
}

/// The value of a model version's system row.
package struct ModelRecord: Sendable, Hashable {
    /// The root chunk of the manifest.
    package var root: ChunkID
    /// Bytes of its files.
    package var bytes: UInt64
    /// Chunks of its files, as the manifest counts them.
    package var chunks: UInt64
    package var files: UInt64
    /// The upload that brought it; its chunk list stays under this name and number.
    package var upload: UploadID
    package var uploadNumber: UInt64
    /// When it was published: milliseconds since 1970, by the leader's clock.
    package var time: UInt64
    /// No longer chosen, and sweepable once the retiring is at or below the feed floor.
    package var isRetired: Bool

    package init(
        root: ChunkID,
        bytes: UInt64,
        chunks: UInt64,
        files: UInt64,
        upload: UploadID,
        uploadNumber: UInt64,
        time: UInt64,
        isRetired: Bool
    ) {
        self.root = root
        self.bytes = bytes
        self.chunks = chunks
        self.files = files
        self.upload = upload
        self.uploadNumber = uploadNumber
        self.time = time
        self.isRetired = isRetired
    }
}

/// An open upload as callers see it.
package struct UploadInfo: Sendable, Hashable {
    package var id: UploadID
    /// Tells this upload from any other that ever bore the same ID on this cluster.
    package var number: UInt64
    package var name: String
    /// The version it is bound to, or nil for the next whole number.
    package var version: String?
    /// Milliseconds since 1970, by the leaders' clocks.
    package var begun: UInt64
    package var lastActive: UInt64
    /// Chunk IDs named so far.
    package var count: UInt64
    /// Ordinals 0..<prefix are all named; `count` equals it when there is no gap.
    package var prefix: UInt64

    package init(
        id: UploadID,
        number: UInt64,
        name: String,
        version: String?,
        begun: UInt64,
        lastActive: UInt64,
        count: UInt64,
        prefix: UInt64
    ) {
        self.id = id
        self.number = number
        self.name = name
        self.version = version
        self.begun = begun
        self.lastActive = lastActive
        self.count = count
        self.prefix = prefix
    }
}

/// How far a node holds every byte.
package struct Completeness: Sendable, Hashable {
    package var node: UInt64
    package var incarnation: Incarnation
    /// It holds all that revisions through this one name.
    package var through: UInt64

    package init(node: UInt64, incarnation: Incarnation, through: UInt64) {
        self.node = node
        self.incarnation = incarnation
        self.through = through
    }
}
