extension KeySelector: Coded {
    package static var codedName: String { "key selector" }

    package func encode(into writer: inout ByteWriter) {
        switch self {
        case .key(let key):
            writer.byte(0)
            writer.string(key)
        case .prefix(let prefix):
            writer.byte(1)
            writer.string(prefix)
        case .range(let from, let below):
            writer.byte(2)
            writer.string(from)
            writer.string(below)
        case .from(let from):
            writer.byte(3)
            writer.string(from)
        }
    }

    package static func decode(from reader: inout ByteReader) throws(DecodeError) -> KeySelector {
        switch try reader.byte() {
        case 0: return .key(try reader.string())
        case 1: return .prefix(try reader.string())
        case 2: return .range(from: try reader.string(), below: try reader.string())
        case 3: return .from(try reader.string())
        case let tag: throw .unknownTag(what: codedName, tag)
        }
    }
}

extension KeyValue: Coded {
    package static var codedName: String { "key and value" }

    package func encode(into writer: inout ByteWriter) {
        writer.string(key)
        writer.string(value)
        writer.varint(createRevision)
        writer.varint(modRevision)
        writer.varint(version)
        writer.varint(lease)
    }

    package static func decode(from reader: inout ByteReader) throws(DecodeError) -> KeyValue {
        KeyValue(
            key: try reader.string(),
            value: try reader.string(),
            createRevision: try reader.varint(),
            modRevision: try reader.varint(),
            version: try reader.varint(),
            lease: try reader.varint())
    }
}

extension Keyspace {
    static func decode(from reader: inout ByteReader) throws(DecodeError) -> Keyspace {
        let tag = try reader.byte()
        guard let space = Keyspace(rawValue: tag) else { throw .unknownTag(what: "keyspace", tag) }
        return space
    }
}

extension RangeQuery: Coded {
    package static var codedName: String { "range query" }

    private enum Flag {
        static let descending: UInt8 = 1
        static let keysOnly: UInt8 = 2
        static let countOnly: UInt8 = 4
        static let system: UInt8 = 8
    }

    package func encode(into writer: inout ByteWriter) {
        var flags: UInt8 = 0
        if order == .descending { flags |= Flag.descending }
        if keysOnly { flags |= Flag.keysOnly }
        if countOnly { flags |= Flag.countOnly }
        if space == .system { flags |= Flag.system }
        writer.byte(flags)
        keys.encode(into: &writer)
        writer.varint(revision)
        writer.varint(limit)
    }

    package static func decode(from reader: inout ByteReader) throws(DecodeError) -> RangeQuery {
        let flags = try reader.byte()
        guard flags < 16 else { throw .invalid(what: "range query flags") }
        return RangeQuery(
            try KeySelector.decode(from: &reader),
            space: flags & Flag.system != 0 ? .system : .user,
            revision: try reader.varint(),
            limit: try reader.varint(),
            order: flags & Flag.descending != 0 ? .descending : .ascending,
            keysOnly: flags & Flag.keysOnly != 0,
            countOnly: flags & Flag.countOnly != 0)
    }
}

extension RangeResult: Coded {
    package static var codedName: String { "range result" }

    package func encode(into writer: inout ByteWriter) {
        writer.varint(revision)
        writer.bool(more)
        writer.varint(count)
        writer.varint(kvs.count)
        for kv in kvs { kv.encode(into: &writer) }
    }

    package static func decode(from reader: inout ByteReader) throws(DecodeError) -> RangeResult {
        var result = RangeResult(
            revision: try reader.varint(), kvs: [], more: try reader.bool(), count: try reader.varint())
        for _ in 0..<(try reader.count(itemBytes: 6)) { result.kvs.append(try KeyValue.decode(from: &reader)) }
        return result
    }
}

extension WatchEvent: Coded {
    package static var codedName: String { "watch event" }

    package func encode(into writer: inout ByteWriter) {
        writer.byte(kind.rawValue)
        writer.byte(space.rawValue)
        kv.encode(into: &writer)
        writer.bool(previous != nil)
        if let previous { previous.encode(into: &writer) }
    }

    package static func decode(from reader: inout ByteReader) throws(DecodeError) -> WatchEvent {
        let tag = try reader.byte()
        guard let kind = Kind(rawValue: tag) else { throw .unknownTag(what: codedName, tag) }
        return WatchEvent(
            kind: kind,
            space: try Keyspace.decode(from: &reader),
            kv: try KeyValue.decode(from: &reader),
            previous: try reader.bool() ? try KeyValue.decode(from: &reader) : nil)
    }
}
