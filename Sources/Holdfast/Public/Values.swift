/// A revision: the store's gap-free count of applied writes. 0 means "none".
public typealias Revision = UInt64

/// A key: 1 to 4,096 bytes, compared bytewise.
public struct Key: Sendable, Hashable, ExpressibleByStringLiteral, CustomStringConvertible {
    /// The key's bytes.
    public var bytes: [UInt8]

    /// A key of these bytes.
    public init(_ bytes: [UInt8]) { self.bytes = bytes }
    /// A key of the UTF-8 bytes of `text`.
    public init(_ text: String) { bytes = Array(text.utf8) }
    /// A key of the UTF-8 bytes of a literal.
    public init(stringLiteral text: String) { self.init(text) }
    /// The bytes as text, invalid UTF-8 repaired: for people, not for comparing.
    public var description: String { String(decoding: bytes, as: UTF8.self) }
}

/// A key with its value and the revisions that made it.
public struct KeyValue: Sendable, Hashable {
    /// The key.
    public var key: Key
    /// The value, at most 512 KiB.
    public var value: [UInt8]
    /// The revision of the last write of this key.
    public var revision: Revision
    /// The revision that created the key.
    public var createRevision: Revision
    /// How many writes the key has had since its creation; 1 for a new key.
    public var version: UInt64

    /// A key and value as a test or a gateway builds it.
    public init(key: Key, value: [UInt8], revision: Revision, createRevision: Revision, version: UInt64) {
        self.key = key
        self.value = value
        self.revision = revision
        self.createRevision = createRevision
        self.version = version
    }
}

/// How fresh a read must be.
public enum ReadConsistency: Sendable, Hashable {
    /// Sees every write acknowledged before the read began (Raft §8, read index).
    case linearizable
    /// Whatever the node asked has applied; needs no quorum and may be old.
    case stale
    /// As `stale`, from a node that has at least this revision: waits for one until the deadline, and throws `unavailable` where none gets
    /// there. What was written at one site can so be read at the other.
    case atLeast(Revision)
}

/// Which keys a list or a watch is about.
public enum KeyScope: Sendable, Hashable {
    /// One key.
    case key(Key)
    /// Every key that begins with these bytes; an empty prefix is every key.
    case prefix(Key)
    /// Keys from `from` on, below `below`.
    case range(from: Key, below: Key)
}

/// The order of a list by key.
public enum KeyOrder: Sendable, Hashable {
    /// Lowest key first.
    case ascending
    /// Highest key first.
    case descending
}

/// The answer of a list.
public struct KeyList: Sendable, Hashable {
    /// The keys found, in the order asked for, at most as many as the limit.
    public var keys: [KeyValue]
    /// Whether keys beyond the limit were left out.
    public var more: Bool
    /// The revision at which the list was taken.
    public var revision: Revision

    /// A list as a test or a gateway builds it.
    public init(keys: [KeyValue], more: Bool, revision: Revision) {
        self.keys = keys
        self.more = more
        self.revision = revision
    }
}

/// One change that a watch reports.
public struct Change: Sendable, Hashable {
    /// What happened to the key.
    public enum Kind: String, Sendable, Hashable {
        /// The key was written.
        case put
        /// The key was removed; `keyValue.value` is empty.
        case delete
    }

    /// What happened.
    public var kind: Kind
    /// The key after the change; `keyValue.revision` is the revision of the change.
    public var keyValue: KeyValue

    /// A change as a test or a gateway builds it.
    public init(kind: Kind, keyValue: KeyValue) {
        self.kind = kind
        self.keyValue = keyValue
    }
}
