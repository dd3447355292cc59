/// The two keyspaces under one revision counter.
package enum Keyspace: UInt8, Sendable, Hashable, CaseIterable {
    /// Keys of callers.
    case user = 0
    /// Keys of Holdfast itself (models, …), which no caller can write.
    case system = 1
}

/// A key as of one revision.
package struct KeyValue: Sendable, Hashable {
    package var key: Bytes
    package var value: Bytes
    /// The revision of the put that made the key.
    package var createRevision: UInt64
    /// The revision of the last change; of the deletion, in the event of one.
    package var modRevision: UInt64
    /// Puts since the key was made, from 1; 0 in the event of a deletion.
    package var version: UInt64
    /// The lease the key hangs on; 0 for none.
    package var lease: UInt64

    package init(
        key: Bytes,
        value: Bytes,
        createRevision: UInt64,
        modRevision: UInt64,
        version: UInt64,
        lease: UInt64 = 0
    ) {
        self.key = key
        self.value = value
        self.createRevision = createRevision
        self.modRevision = modRevision
        self.version = version
        self.lease = lease
    }
}

/// Which keys a query, a delete or a watch means.
package enum KeySelector: Sendable, Hashable {
    /// One key.
    case key(Bytes)
    /// All keys that begin so; the empty prefix is every key.
    case prefix(Bytes)
    /// All keys with from <= key < below.
    case range(from: Bytes, below: Bytes)
    /// All keys with from <= key.
    case from(Bytes)

    /// The selector means this key.
    package func contains(_ key: Bytes) -> Bool {
        switch self {
        case .key(let only): return key == only
        case .prefix(let prefix): return key.starts(with: prefix)
        case .range(let from, let below):
            return !key.lexicographicallyPrecedes(from) && key.lexicographicallyPrecedes(below)
        case .from(let from): return !key.lexicographicallyPrecedes(from)
        }
    }
}

/// A read of keys.
package struct RangeQuery: Sendable, Hashable {
    package enum Order: UInt8, Sendable, Hashable {
        case ascending = 0
        case descending = 1
    }

    package var space: Keyspace
    package var keys: KeySelector
    /// As of this revision; 0 is the latest.
    package var revision: UInt64
    /// Keys at most; 0 for no limit of their number.
    package var limit: UInt64
    /// Order of the answer, by key.
    package var order: Order
    /// Leave the values out.
    package var keysOnly: Bool
    /// Only count.
    package var countOnly: Bool

    package init(
        _ keys: KeySelector,
        space: Keyspace = .user,
        revision: UInt64 = 0,
        limit: UInt64 = 0,
        order: Order = .ascending,
        keysOnly: Bool = false,
        countOnly: Bool = false
    ) {
        self.keys = keys
        self.space = space
        self.revision = revision
        self.limit = limit
        self.order = order
        self.keysOnly = keysOnly
        self.countOnly = countOnly
    }
}

/// The answer to a `RangeQuery`.
package struct RangeResult: Sendable, Hashable {
    /// The revision of the store when it answered (in a transaction: that of the transaction).
    package var revision: UInt64
    package var kvs: [KeyValue]
    /// Keys that the query means follow after the last one here.
    package var more: Bool
    /// Keys found: all that the query means with `countOnly`, else those in `kvs`.
    package var count: UInt64

    package init(revision: UInt64, kvs: [KeyValue], more: Bool, count: UInt64) {
        self.revision = revision
        self.kvs = kvs
        self.more = more
        self.count = count
    }
}

/// One change of one key.
package struct WatchEvent: Sendable, Hashable {
    package enum Kind: UInt8, Sendable, Hashable {
        case put = 0
        case delete = 1
    }

    package var kind: Kind
    package var space: Keyspace
    /// The key after the change; a deleted one has only `key` and `modRevision`.
    package var kv: KeyValue
    /// The key before the change, where it was asked for and is still kept.
    package var previous: KeyValue?

    package init(kind: Kind, space: Keyspace, kv: KeyValue, previous: KeyValue? = nil) {
        self.kind = kind
        self.space = space
        self.kv = kv
        self.previous = previous
    }

    /// The revision that made the change.
    package var revision: UInt64 { kv.modRevision }
}

/// A query that failed: by what it asked for, or by the rows under it.
package enum QueryError: Error, Equatable {
    case refused(Refusal)
    case rows(RowError)
}
