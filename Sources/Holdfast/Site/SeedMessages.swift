internal import ReplicaCore

/// Where a standby is brought that the feed does not reach any more.
struct SeedTarget: Sendable {
    var position: SitePosition
    /// The primary's feed row of it.
    var feedRow: Bytes

    func encode(into writer: inout ByteWriter) {
        position.encode(into: &writer)
        writer.string(feedRow)
    }

    static func decode(from reader: inout ByteReader) throws(DecodeError) -> SeedTarget {
        SeedTarget(position: try SitePosition.decode(from: &reader), feedRow: try reader.string())
    }
}

/// Asks what of the primary's rows, as of a revision, differs from these ranges, which follow each other.
struct SeedRowsRequest: Sendable {
    var epoch: UInt64
    var revision: UInt64
    /// Where the first range begins.
    var from: Bytes
    var leaves: [SeedLeaf]

    func encode(into writer: inout ByteWriter) {
        writer.varint(epoch)
        writer.varint(revision)
        writer.string(from)
        writer.varint(leaves.count)
        for leaf in leaves { leaf.encode(into: &writer) }
    }

    static func decode(from reader: inout ByteReader) throws(DecodeError) -> SeedRowsRequest {
        var request = SeedRowsRequest(
            epoch: try reader.varint(), revision: try reader.varint(), from: try reader.string(), leaves: [])
        for _ in 0..<(try reader.count(itemBytes: 1 + Digest.byteCount)) {
            request.leaves.append(try SeedLeaf.decode(from: &reader))
        }
        guard request.leaves.count <= ReplicaCore.Limits.seedLeavesMax else {
            throw .invalid(what: "number of ranges")
        }
        return request
    }
}
