extension Command: Coded {
    package static var codedName: String { "command" }

    /// Numbers of commands; 16 to 19 are reserved for leases.
    private enum Tag {
        static let put: UInt8 = 1
        static let delete: UInt8 = 2
        static let transaction: UInt8 = 3
        static let compact: UInt8 = 4
        static let openSession: UInt8 = 5
        static let closeSession: UInt8 = 6
        static let lineage: UInt8 = 7
        static let uploadBegin: UInt8 = 8
        static let uploadAdd: UInt8 = 9
        static let uploadAbort: UInt8 = 10
        static let uploadExpire: UInt8 = 11
        static let publish: UInt8 = 12
        static let retire: UInt8 = 13
        static let complete: UInt8 = 14
        static let raiseFeatures: UInt8 = 38
        static let site: UInt8 = 40
        static let completeAfterRewind: UInt8 = 41
    }

    package func encode(into writer: inout ByteWriter) {
        switch self {
        case .put(let key, let value, let lease):
            writer.byte(Tag.put)
            writer.string(key)
            writer.string(value)
            writer.varint(lease)
        case .delete(let keys):
            writer.byte(Tag.delete)
            keys.encode(into: &writer)
        case .transaction(let transaction):
            writer.byte(Tag.transaction)
            transaction.encode(into: &writer)
        case .compact(let revision):
            writer.byte(Tag.compact)
            writer.varint(revision)
        case .openSession: writer.byte(Tag.openSession)
        case .closeSession: writer.byte(Tag.closeSession)
        case .lineage(let lineage):
            writer.byte(Tag.lineage)
            writer.identifier(lineage)
        case .uploadBegin(let id, let name, let version):
            writer.byte(Tag.uploadBegin)
            writer.identifier(id)
            writer.text(name)
            writer.optionalText(version)
        case .uploadAdd(let id, let first, let ids):
            writer.byte(Tag.uploadAdd)
            writer.identifier(id)
            writer.varint(first)
            writer.varint(ids.count)
            for id in ids { writer.digest(id) }
        case .uploadAbort(let id):
            writer.byte(Tag.uploadAbort)
            writer.identifier(id)
        case .uploadExpire(let before):
            writer.byte(Tag.uploadExpire)
            writer.varint(before)
        case .publish(let publication):
            writer.byte(Tag.publish)
            publication.encode(into: &writer)
        case .retire(let name, let version):
            writer.byte(Tag.retire)
            writer.text(name)
            writer.text(version)
        case .complete(let node, let incarnation, let through, let rewound):
            writer.byte(rewound == 0 ? Tag.complete : Tag.completeAfterRewind)
            writer.varint(node)
            writer.identifier(incarnation)
            writer.varint(through)
            if rewound > 0 { writer.varint(rewound) }
        case .raiseFeatures(let version):
            writer.byte(Tag.raiseFeatures)
            writer.fixed32(version)
        case .site(let command):
            writer.byte(Tag.site)
            command.encode(into: &writer)
        }
    }

    package static func decode(from reader: inout ByteReader) throws(DecodeError) -> Command {
        switch try reader.byte() {
        case Tag.put:
            return .put(key: try reader.string(), value: try reader.string(), lease: try reader.varint())
        case Tag.delete: return .delete(try KeySelector.decode(from: &reader))
        case Tag.transaction: return .transaction(try Transaction.decode(from: &reader))
        case Tag.compact: return .compact(revision: try reader.varint())
        case Tag.openSession: return .openSession
        case Tag.closeSession: return .closeSession
        case Tag.lineage: return .lineage(try reader.identifier())
        case Tag.uploadBegin:
            return .uploadBegin(try reader.identifier(), name: try reader.text(), version: try reader.optionalText())
        case Tag.uploadAdd:
            let id = try reader.identifier()
            let first = try reader.varint()
            let count = try reader.count(itemBytes: Digest.byteCount)
            var ids: [ChunkID] = []
            ids.reserveCapacity(count)
            for _ in 0..<count { ids.append(try reader.digest()) }
            return .uploadAdd(id, first: first, ids: ids)
        case Tag.uploadAbort: return .uploadAbort(try reader.identifier())
        case Tag.uploadExpire: return .uploadExpire(before: try reader.varint())
        case Tag.publish: return .publish(try Publication.decode(from: &reader))
        case Tag.retire: return .retire(name: try reader.text(), version: try reader.text())
        case Tag.complete:
            return .complete(
                node: try reader.varint(), incarnation: try reader.identifier(), through: try reader.varint())
        case Tag.completeAfterRewind:
            return .complete(
                node: try reader.varint(), incarnation: try reader.identifier(), through: try reader.varint(),
                rewound: try reader.varint())
        case Tag.raiseFeatures: return .raiseFeatures(to: try reader.fixed32())
        case Tag.site: return .site(try SiteCommand.decode(from: &reader))
        case let tag: throw .unknownTag(what: codedName, tag)
        }
    }
}

extension Publication: Coded {
    package static var codedName: String { "publication" }

    package func encode(into writer: inout ByteWriter) {
        writer.identifier(upload)
        writer.text(name)
        writer.optionalText(version)
        writer.digest(root)
        writer.varint(bytes)
        writer.varint(chunks)
        writer.varint(files)
        writer.varint(durableOn.count)
        for receipt in durableOn {
            writer.varint(receipt.node)
            writer.identifier(receipt.incarnation)
        }
    }

    package static func decode(from reader: inout ByteReader) throws(DecodeError) -> Publication {
        var publication = Publication(
            upload: try reader.identifier(),
            name: try reader.text(),
            version: try reader.optionalText(),
            root: try reader.digest(),
            bytes: try reader.varint(),
            chunks: try reader.varint(),
            files: try reader.varint(),
            durableOn: [])
        for _ in 0..<(try reader.count(itemBytes: 1 + Identifier.byteCount)) {
            publication.durableOn.append(
                Receipt(node: try reader.varint(), incarnation: try reader.identifier()))
        }
        return publication
    }
}
