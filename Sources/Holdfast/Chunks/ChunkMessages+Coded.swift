package import ReplicaCore

extension ChunkRequest: Coded {
    package static var codedName: String { "chunk request" }

    private enum Tag: UInt8 {
        case have = 1
        case receipt = 2
        case announce = 3
        case ensure = 4
        case locate = 5
        case suspect = 6
    }

    package func encode(into writer: inout ByteWriter) {
        switch self {
        case .have(let upload, let first, let count, let index):
            writer.byte(Tag.have.rawValue)
            writer.identifier(upload)
            writer.varint(first)
            writer.varint(count)
            writer.varint(index)
        case .receipt(let upload, let index):
            writer.byte(Tag.receipt.rawValue)
            writer.identifier(upload)
            writer.varint(index)
        case .announce(let upload, let ranges, let holder):
            writer.byte(Tag.announce.rawValue)
            writer.identifier(upload)
            writer.varint(holder)
            writer.varint(ranges.count)
            for range in ranges {
                writer.varint(range.lowerBound)
                writer.varint(UInt64(range.count))
            }
        case .ensure(let upload, let holders, let wait, let index):
            writer.byte(Tag.ensure.rawValue)
            writer.identifier(upload)
            writer.varint(wait)
            writer.varint(index)
            writer.varint(holders.count)
            for holder in holders { writer.varint(holder) }
        case .locate(let ids):
            writer.byte(Tag.locate.rawValue)
            writer.varint(ids.count)
            for id in ids { writer.digest(id) }
        case .suspect(let id):
            writer.byte(Tag.suspect.rawValue)
            writer.digest(id)
        }
    }

    package static func decode(from reader: inout ByteReader) throws(DecodeError) -> ChunkRequest {
        let tag = try reader.byte()
        switch Tag(rawValue: tag) {
        case .have:
            let upload = try reader.identifier()
            let first = try reader.ordinal()
            let count = try reader.varint()
            guard count <= UInt64(ChunkLimits.haveMax) else { throw .invalid(what: "number of chunks asked for") }
            return .have(upload, first: first, count: Int(count), appliedAtLeast: try reader.varint())
        case .receipt:
            return .receipt(try reader.identifier(), appliedAtLeast: try reader.varint())
        case .announce:
            let upload = try reader.identifier()
            let holder = try reader.varint()
            var ranges: [Range<UInt64>] = []
            for _ in 0..<(try reader.count(itemBytes: 2, max: ChunkLimits.announceRangesMax)) {
                ranges.append(try reader.ordinals())
            }
            return .announce(upload, ranges: ranges, holder: holder)
        case .ensure:
            let upload = try reader.identifier()
            let wait = try reader.varint()
            let index = try reader.varint()
            var holders: [UInt64] = []
            for _ in 0..<(try reader.count(itemBytes: 1, max: ChunkLimits.holdersMax)) {
                holders.append(try reader.varint())
            }
            return .ensure(upload, holders: holders, waitMilliseconds: wait, appliedAtLeast: index)
        case .locate:
            var ids: [ChunkID] = []
            for _ in 0..<(try reader.count(itemBytes: Digest.byteCount, max: ChunkLimits.locateMax)) {
                ids.append(try reader.digest())
            }
            return .locate(ids)
        case .suspect: return .suspect(try reader.digest())
        case nil: throw .unknownTag(what: codedName, tag)
        }
    }
}

extension ChunkAnswer: Coded {
    package static var codedName: String { "chunk answer" }

    private enum Tag: UInt8 {
        case done = 0
        case bitmap = 1
        case receipt = 2
        case refused = 3
    }

    package func encode(into writer: inout ByteWriter) {
        switch self {
        case .done: writer.byte(Tag.done.rawValue)
        case .bitmap(let bitmap):
            writer.byte(Tag.bitmap.rawValue)
            writer.varint(bitmap.count)
            writer.string(bitmap.bytes[...])
        case .receipt(let receipt):
            writer.byte(Tag.receipt.rawValue)
            writer.varint(receipt.node)
            writer.identifier(receipt.incarnation)
            writer.varint(receipt.named)
            writer.varint(receipt.missing)
        case .refused(let code, let message, let details):
            writer.byte(Tag.refused.rawValue)
            writer.byte(code.tag)
            writer.text(message)
            writer.varint(details.count)
            for (name, value) in details.sorted(by: { $0.key < $1.key }) {
                writer.text(name)
                writer.text(value)
            }
        }
    }

    package static func decode(from reader: inout ByteReader) throws(DecodeError) -> ChunkAnswer {
        let tag = try reader.byte()
        switch Tag(rawValue: tag) {
        case .done: return .done
        case .bitmap:
            let count = try reader.varint()
            guard count <= UInt64(ChunkLimits.haveMax),
                let bitmap = ChunkBitmap(count: Int(count), bytes: Array(try reader.string()))
            else { throw .invalid(what: "bitmap") }
            return .bitmap(bitmap)
        case .receipt:
            return .receipt(
                UploadReceipt(
                    node: try reader.varint(), incarnation: try reader.identifier(), named: try reader.varint(),
                    missing: try reader.varint()))
        case .refused:
            let tag = try reader.byte()
            guard let code = ErrorCode(tag: tag) else { throw .unknownTag(what: "error code", tag) }
            let message = try reader.text()
            var details: [String: String] = [:]
            for _ in 0..<(try reader.count(itemBytes: 2, max: 16)) {
                let name = try reader.text()
                details[name] = try reader.text()
            }
            return .refused(code: code, message: message, details: details)
        case nil: throw .unknownTag(what: codedName, tag)
        }
    }
}

extension ByteReader {
    /// A number of items of at least `itemBytes` each, at most `max`.
    fileprivate mutating func count(itemBytes: Int, max: Int) throws(DecodeError) -> Int {
        let count = try count(itemBytes: itemBytes)
        guard count <= max else { throw .invalid(what: "number of items") }
        return count
    }

    /// A chunk's place in its upload.
    fileprivate mutating func ordinal() throws(DecodeError) -> UInt64 {
        let ordinal = try varint()
        guard ordinal < ReplicaCore.Limits.uploadChunksMax else { throw .invalid(what: "ordinal") }
        return ordinal
    }

    /// A first place and a number of places, at least one.
    fileprivate mutating func ordinals() throws(DecodeError) -> Range<UInt64> {
        let first = try ordinal()
        let count = try varint()
        guard count > 0, count <= ReplicaCore.Limits.uploadChunksMax - first else { throw .invalid(what: "ordinals") }
        return first..<(first + count)
    }
}
