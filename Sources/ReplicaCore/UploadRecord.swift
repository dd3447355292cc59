/// The row of an upload. It goes when the upload is aborted; a published one stays, so that a repeated publish finds its answer.
struct UploadRecord: Sendable, Hashable {
    var id: UploadID
    /// From the count of applied commands: another upload under the same ID has another number, and its rows cannot mix with ours.
    var number: UInt64
    var name: String
    /// The version it was begun for, or the one it was published as.
    var version: String?
    var isPublished: Bool
    /// Milliseconds since 1970.
    var begun: UInt64
    var lastActive: UInt64
    /// Ordinals named, ascending, with a gap between any two.
    var ranges: [Range<UInt64>]

    /// Chunk IDs named.
    var count: UInt64 { ranges.reduce(0) { $0 + ($1.upperBound - $1.lowerBound) } }

    /// Ordinals 0..<prefix are all named.
    var prefix: UInt64 {
        guard let first = ranges.first, first.lowerBound == 0 else { return 0 }
        return first.upperBound
    }

    var info: UploadInfo {
        UploadInfo(
            id: id, number: number, name: name, version: version, begun: begun, lastActive: lastActive, count: count,
            prefix: prefix)
    }

    /// The parts of `wanted` that are not named yet, ascending.
    func gaps(in wanted: Range<UInt64>) -> [Range<UInt64>] {
        var gaps: [Range<UInt64>] = []
        var next = wanted.lowerBound
        for range in ranges where range.upperBound > wanted.lowerBound && range.lowerBound < wanted.upperBound {
            if range.lowerBound > next { gaps.append(next..<range.lowerBound) }
            next = max(next, range.upperBound)
        }
        if next < wanted.upperBound { gaps.append(next..<wanted.upperBound) }
        return gaps
    }

    /// The ranges once `added` is named too.
    func ranges(adding added: Range<UInt64>) -> [Range<UInt64>] {
        var merged: [Range<UInt64>] = []
        var wide = added
        for range in ranges {
            if range.upperBound < wide.lowerBound || range.lowerBound > wide.upperBound {
                merged.append(range)
            } else {
                wide = min(range.lowerBound, wide.lowerBound)..<max(range.upperBound, wide.upperBound)
            }
        }
        let place = merged.firstIndex { $0.lowerBound > wide.lowerBound } ?? merged.count
        merged.insert(wide, at: place)
        return merged
    }
}

extension UploadRecord: Coded {
    static var codedName: String { "upload record" }

    func encode(into writer: inout ByteWriter) {
        writer.identifier(id)
        writer.varint(number)
        writer.text(name)
        writer.optionalText(version)
        writer.bool(isPublished)
        writer.varint(begun)
        writer.varint(lastActive)
        writer.varint(ranges.count)
        for range in ranges {
            writer.varint(range.lowerBound)
            writer.varint(range.upperBound - range.lowerBound)
        }
    }

    static func decode(from reader: inout ByteReader) throws(DecodeError) -> UploadRecord {
        var record = UploadRecord(
            id: try reader.identifier(), number: try reader.varint(), name: try reader.text(),
            version: try reader.optionalText(), isPublished: try reader.bool(), begun: try reader.varint(),
            lastActive: try reader.varint(), ranges: [])
        for _ in 0..<(try reader.count(itemBytes: 2)) {
            let first = try reader.varint()
            let count = try reader.varint()
            guard count > 0, count <= Limits.uploadChunksMax, first <= Limits.uploadChunksMax,
                first > (record.ranges.last?.upperBound ?? 0) || record.ranges.isEmpty
            else { throw .invalid(what: "ranges of an upload") }
            record.ranges.append(first..<(first + count))
        }
        return record
    }
}

/// A piece of an upload's chunk list, as its row holds it: format 1 and the IDs.
enum ChunkList {
    static let format: UInt8 = 1

    static func encode(_ ids: ArraySlice<ChunkID>) -> [UInt8] {
        var row: [UInt8] = []
        row.reserveCapacity(1 + ids.count * Digest.byteCount)
        row.append(format)
        for id in ids { id.append(to: &row) }
        return row
    }

    /// Number of IDs in a row's value; nil if these are not the bytes of one.
    static func count(_ row: UnsafeRawBufferPointer) -> Int? {
        guard row.count > 1, row[0] == format, (row.count - 1) % Digest.byteCount == 0 else { return nil }
        return (row.count - 1) / Digest.byteCount
    }

    /// The ID at `place`, which is below `count`.
    static func id(_ row: UnsafeRawBufferPointer, at place: Int) -> ChunkID {
        let start = 1 + place * Digest.byteCount
        return ChunkID(
            row.bigEndianWord(at: start), row.bigEndianWord(at: start + 8), row.bigEndianWord(at: start + 16),
            row.bigEndianWord(at: start + 24))
    }
}
