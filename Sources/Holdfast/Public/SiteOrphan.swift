internal import ReplicaCore

/// A revision of this site that did not survive a failover, with everything that it changed.
public struct SiteOrphan: Sendable, Equatable {
    /// One thing that the revision did.
    public enum Change: Sendable, Equatable {
        /// A key was written.
        case put(Key, [UInt8])
        /// Keys were removed: one, or a range of them in words.
        case delete(String)
        /// A version of a model became visible. Its chunks are kept here: `Store.pull(_:into:force:progress:)` writes its files.
        case published(ModelVersion)
        /// A version was retired.
        case retired(name: String, version: String)
    }

    /// Which rewind undid it; rises.
    public var rewind: UInt64
    /// The revision that it was.
    public var revision: Revision
    /// The epoch of this site when it was undone.
    public var epoch: UInt64
    /// When it was undone: milliseconds since 1970.
    public var undoneMilliseconds: UInt64
    /// What it did, in order.
    public var changes: [Change]

    init(_ rewind: UInt64, _ orphan: Orphan) throws(DecodeError) {
        self.rewind = rewind
        revision = orphan.revision
        epoch = orphan.epoch
        undoneMilliseconds = orphan.time
        changes = []
        for effect in try orphan.entry.decoded().effects {
            switch effect {
            case .put(.user, let key, let value, _): changes.append(.put(Key(Array(key)), Array(value)))
            case .put(.system, let key, let value, _):
                guard let found = ReplicaCore.ModelName.decode(key) else { continue }
                let record = try ModelRecord(decoding: value)
                changes.append(
                    record.isRetired
                        ? .retired(name: found.name, version: found.version)
                        : .published(
                            ModelVersion(
                                ReplicaCore.ModelVersion(
                                    name: found.name, version: found.version, record: record,
                                    publishedRevision: orphan.revision, modRevision: orphan.revision))))
            case .delete(_, let keys): changes.append(.delete(Self.words(keys)))
            }
        }
    }

    private static func words(_ keys: KeySelector) -> String {
        func text(_ bytes: Bytes) -> String { String(decoding: bytes, as: UTF8.self) }
        return switch keys {
        case .key(let key): text(key)
        case .prefix(let prefix): "\(text(prefix))*"
        case .range(let from, let below): "\(text(from))..<\(text(below))"
        case .from(let from): "\(text(from))..."
        }
    }
}
