/// The value of a feed row: format 1, the chain hash after the revision, the number of effects, the effects without their values.
struct FeedRecord: Equatable {
    /// What a revision did, as callers asked for it: a range delete is one effect, however many keys it removed.
    enum Effect: Equatable {
        case put(Keyspace, key: Bytes)
        case delete(Keyspace, KeySelector)
    }

    /// Numbers of effects, in the low half of their first byte; the keyspace is in the high half.
    enum Tag {
        static let put: UInt8 = 0
        static let delete: UInt8 = 1
        static let deletePrefix: UInt8 = 2
        static let deleteRange: UInt8 = 3
        static let deleteFrom: UInt8 = 4
    }

    var hash: Digest
    var effects: [Effect]

    static let format: UInt8 = 1

    /// The record in a row's value.
    init(decoding bytes: [UInt8]) throws(DecodeError) {
        var reader = ByteReader(bytes)
        try reader.version(FeedRecord.format, of: "feed record")
        hash = try reader.digest()
        effects = []
        for _ in 0..<(try reader.count(itemBytes: 2)) {
            let first = try reader.byte()
            guard let space = Keyspace(rawValue: first >> 4) else { throw .unknownTag(what: "keyspace", first >> 4) }
            switch first & 15 {
            case Tag.put: effects.append(.put(space, key: try reader.string()))
            case Tag.delete: effects.append(.delete(space, .key(try reader.string())))
            case Tag.deletePrefix: effects.append(.delete(space, .prefix(try reader.string())))
            case Tag.deleteRange:
                effects.append(.delete(space, .range(from: try reader.string(), below: try reader.string())))
            case Tag.deleteFrom: effects.append(.delete(space, .from(try reader.string())))
            case let tag: throw .unknownTag(what: "effect", tag)
            }
        }
        try reader.finish()
    }
}

/// The effects of the revision being made, in the two forms that it leaves: its feed row, and the bytes under its chain hash.
///
/// The chain hash is SHA-256 of: the hash before (32 bytes), the revision (8, little-endian), and the effects as in the feed row, each
/// put followed by its lease and its value with its length.
struct EffectLog {
    private(set) var count: UInt64 = 0
    /// Effects as in the feed row.
    private(set) var effects: [UInt8] = []
    /// What is hashed.
    private(set) var hashed: [UInt8] = []

    /// Begins a revision after `previous`.
    mutating func begin(revision: UInt64, previous: Digest) {
        count = 0
        effects.removeAll(keepingCapacity: true)
        hashed.removeAll(keepingCapacity: true)
        previous.append(to: &hashed)
        hashed.appendLittleEndian(revision)
    }

    mutating func put(_ space: Keyspace, key: Bytes, value: Bytes, lease: UInt64) {
        add(FeedRecord.Tag.put, space, key)
        hashed.appendVarint(lease)
        hashed.appendVarint(UInt64(value.count))
        hashed.append(contentsOf: value)
    }

    mutating func delete(_ space: Keyspace, _ keys: KeySelector) {
        switch keys {
        case .key(let key): add(FeedRecord.Tag.delete, space, key)
        case .prefix(let prefix): add(FeedRecord.Tag.deletePrefix, space, prefix)
        case .range(let from, let below):
            add(FeedRecord.Tag.deleteRange, space, from)
            EffectLog.append(below, to: &effects)
            EffectLog.append(below, to: &hashed)
        case .from(let from): add(FeedRecord.Tag.deleteFrom, space, from)
        }
    }

    /// Replaces `row` by the value of the feed row, up to the effects.
    func encodeHead(hash: Digest, into row: inout [UInt8]) {
        row.removeAll(keepingCapacity: true)
        row.append(FeedRecord.format)
        hash.append(to: &row)
        row.appendVarint(count)
    }

    private mutating func add(_ tag: UInt8, _ space: Keyspace, _ key: Bytes) {
        count += 1
        effects.append(tag | space.rawValue << 4)
        EffectLog.append(key, to: &effects)
        hashed.append(tag | space.rawValue << 4)
        EffectLog.append(key, to: &hashed)
    }

    private static func append(_ string: Bytes, to bytes: inout [UInt8]) {
        bytes.appendVarint(UInt64(string.count))
        bytes.append(contentsOf: string)
    }
}
