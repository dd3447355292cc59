extension Transaction: Coded {
    package static var codedName: String { "transaction" }

    package func encode(into writer: inout ByteWriter) {
        writer.varint(compares.count)
        for compare in compares { compare.encode(into: &writer) }
        for list in [then, otherwise] {
            writer.varint(list.count)
            for operation in list { operation.encode(into: &writer) }
        }
    }

    package static func decode(from reader: inout ByteReader) throws(DecodeError) -> Transaction {
        var transaction = Transaction(compares: [], then: [], otherwise: [])
        for _ in 0..<(try reader.count(itemBytes: 4)) {
            transaction.compares.append(try Compare.decode(from: &reader))
        }
        for _ in 0..<(try reader.count(itemBytes: 3)) {
            transaction.then.append(try Operation.decode(from: &reader))
        }
        for _ in 0..<(try reader.count(itemBytes: 3)) {
            transaction.otherwise.append(try Operation.decode(from: &reader))
        }
        return transaction
    }
}

extension Compare: Coded {
    package static var codedName: String { "compare" }

    package func encode(into writer: inout ByteWriter) {
        writer.string(key)
        writer.byte(relation.rawValue)
        switch operand {
        case .value(let value):
            writer.byte(0)
            writer.string(value)
        case .version(let version):
            writer.byte(1)
            writer.varint(version)
        case .createRevision(let revision):
            writer.byte(2)
            writer.varint(revision)
        case .modRevision(let revision):
            writer.byte(3)
            writer.varint(revision)
        case .lease(let lease):
            writer.byte(4)
            writer.varint(lease)
        }
    }

    package static func decode(from reader: inout ByteReader) throws(DecodeError) -> Compare {
        let key = try reader.string()
        let tag = try reader.byte()
        guard let relation = Relation(rawValue: tag) else { throw .unknownTag(what: "relation", tag) }
        switch try reader.byte() {
        case 0: return Compare(key: key, relation, .value(try reader.string()))
        case 1: return Compare(key: key, relation, .version(try reader.varint()))
        case 2: return Compare(key: key, relation, .createRevision(try reader.varint()))
        case 3: return Compare(key: key, relation, .modRevision(try reader.varint()))
        case 4: return Compare(key: key, relation, .lease(try reader.varint()))
        case let tag: throw .unknownTag(what: codedName, tag)
        }
    }
}

extension Operation: Coded {
    package static var codedName: String { "operation" }

    package func encode(into writer: inout ByteWriter) {
        switch self {
        case .put(let key, let value, let lease):
            writer.byte(1)
            writer.string(key)
            writer.string(value)
            writer.varint(lease)
        case .delete(let keys):
            writer.byte(2)
            keys.encode(into: &writer)
        case .range(let query):
            writer.byte(3)
            query.encode(into: &writer)
        }
    }

    package static func decode(from reader: inout ByteReader) throws(DecodeError) -> Operation {
        switch try reader.byte() {
        case 1: return .put(key: try reader.string(), value: try reader.string(), lease: try reader.varint())
        case 2: return .delete(try KeySelector.decode(from: &reader))
        case 3: return .range(try RangeQuery.decode(from: &reader))
        case let tag: throw .unknownTag(what: codedName, tag)
        }
    }
}
