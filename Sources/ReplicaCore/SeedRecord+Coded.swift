extension SeedRecord: Coded {
    package static var codedName: String { "seed" }

    package func encode(into writer: inout ByteWriter) {
        writer.varint(epoch)
        target.encode(into: &writer)
        for bytes in [feedRow, next, cleared] { writer.string(bytes) }
        for figure in [rows, bytes, sameRanges, changedRanges, versions] { writer.varint(figure) }
    }

    package static func decode(from reader: inout ByteReader) throws(DecodeError) -> SeedRecord {
        var record = SeedRecord(
            epoch: try reader.varint(), target: try SitePosition.decode(from: &reader), feedRow: try reader.string())
        record.next = try reader.string()
        record.cleared = try reader.string()
        record.rows = try reader.varint()
        record.bytes = try reader.varint()
        record.sameRanges = try reader.varint()
        record.changedRanges = try reader.varint()
        record.versions = try reader.varint()
        return record
    }
}

extension SeedHead: Coded {
    package static var codedName: String { "head of a seed" }

    package func encode(into writer: inout ByteWriter) {
        writer.varint(epoch)
        from.encode(into: &writer)
        target.encode(into: &writer)
        writer.string(feedRow)
    }

    package static func decode(from reader: inout ByteReader) throws(DecodeError) -> SeedHead {
        SeedHead(
            epoch: try reader.varint(), from: try SitePosition.decode(from: &reader),
            target: try SitePosition.decode(from: &reader), feedRow: try reader.string())
    }
}

extension SeedLeaf: Coded {
    package static var codedName: String { "leaf of a seed" }

    package func encode(into writer: inout ByteWriter) {
        writer.string(below)
        writer.digest(hash)
    }

    package static func decode(from reader: inout ByteReader) throws(DecodeError) -> SeedLeaf {
        SeedLeaf(below: try reader.string(), hash: try reader.digest())
    }
}

extension SeedOffer: Coded {
    package static var codedName: String { "offer of a seed" }

    package func encode(into writer: inout ByteWriter) {
        leaf.encode(into: &writer)
        writer.bool(rows != nil)
        if let rows { writer.seedRows(rows) }
    }

    package static func decode(from reader: inout ByteReader) throws(DecodeError) -> SeedOffer {
        SeedOffer(leaf: try SeedLeaf.decode(from: &reader), rows: try reader.bool() ? try reader.seedRows() : nil)
    }
}

extension SeedStep: Coded {
    package static var codedName: String { "step of a seed" }

    package func encode(into writer: inout ByteWriter) {
        writer.varint(revision)
        writer.string(from)
        writer.varint(spans.count)
        for span in spans {
            span.leaf.encode(into: &writer)
            writer.seedRows(span.rows)
            writer.varint(span.removed.count)
            for key in span.removed { writer.string(key) }
        }
        writer.varint(durableOn.count)
        for receipt in durableOn {
            writer.varint(receipt.node)
            writer.identifier(receipt.incarnation)
        }
    }

    package static func decode(from reader: inout ByteReader) throws(DecodeError) -> SeedStep {
        var step = SeedStep(revision: try reader.varint(), from: try reader.string(), spans: [])
        for _ in 0..<(try reader.count(itemBytes: 3 + Digest.byteCount)) {
            var span = SeedSpan(leaf: try SeedLeaf.decode(from: &reader), rows: try reader.seedRows(), removed: [])
            for _ in 0..<(try reader.count(itemBytes: 1)) { span.removed.append(try reader.string()) }
            step.spans.append(span)
        }
        for _ in 0..<(try reader.count(itemBytes: 1 + Identifier.byteCount)) {
            step.durableOn.append(Publication.Receipt(node: try reader.varint(), incarnation: try reader.identifier()))
        }
        return step
    }
}

extension ByteWriter {
    fileprivate mutating func seedRows(_ rows: [SeedRow]) {
        varint(rows.count)
        for row in rows {
            string(row.key)
            string(row.value)
        }
    }
}

extension ByteReader {
    fileprivate mutating func seedRows() throws(DecodeError) -> [SeedRow] {
        var rows: [SeedRow] = []
        for _ in 0..<(try count(itemBytes: 2)) {
            rows.append(SeedRow(key: try string(), value: try string()))
        }
        return rows
    }
}
