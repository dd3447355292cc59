internal import ReplicaCore

extension SiteStatus {
    func encode(into writer: inout ByteWriter) {
        writer.text(role.rawValue)
        writer.varint(epoch)
        writer.text(lineage)
        writer.text(link.rawValue)
        writer.varint(revision)
        for number in [peerRevision, missingEntries, missingBytes, retentionHeadroomBytes] { writer.number(number) }
        writer.number(recoveryPointSeconds.map { UInt64($0 * 1_000_000_000) })
        writer.texts(peer)
        writer.bool(isFrozen)
        writer.number(rateBytesPerSecond)
        pace.core.encode(into: &writer)
        writer.varint(epochSeen)
        writer.bool(lastDrill != nil)
        lastDrill?.core.encode(into: &writer)
        writer.bool(seeding != nil)
        if let seeding {
            for number in [
                seeding.revision, seeding.rows, seeding.bytes, seeding.sameRanges, seeding.changedRanges,
            ] { writer.varint(number) }
        }
    }

    static func decode(from reader: inout ByteReader) throws(DecodeError) -> SiteStatus {
        guard let role = Role(rawValue: try reader.text()) else { throw .invalid(what: "role of a site") }
        let epoch = try reader.varint()
        let lineage = try reader.text()
        guard let link = Link(rawValue: try reader.text()) else { throw .invalid(what: "link of a site") }
        var status = SiteStatus(
            role: role, epoch: epoch, lineage: lineage, link: link, revision: try reader.varint(), peer: [],
            isFrozen: false)
        status.peerRevision = try reader.number()
        status.missingEntries = try reader.number()
        status.missingBytes = try reader.number()
        status.retentionHeadroomBytes = try reader.number()
        status.recoveryPointSeconds = try reader.number().map { Double($0) / 1_000_000_000 }
        status.peer = try reader.texts()
        status.isFrozen = try reader.bool()
        status.rateBytesPerSecond = try reader.number()
        status.pace = LinkPace(try SitePace.decode(from: &reader))
        status.epochSeen = try reader.varint()
        status.lastDrill = try reader.bool() ? SiteDrillResult(try SiteDrill.decode(from: &reader)) : nil
        if try reader.bool() {
            status.seeding = Seeding(
                revision: try reader.varint(), rows: try reader.varint(), bytes: try reader.varint(),
                sameRanges: try reader.varint(), changedRanges: try reader.varint())
        }
        return status
    }
}

extension ByteWriter {
    fileprivate mutating func number(_ value: UInt64?) {
        bool(value != nil)
        if let value { varint(value) }
    }
}

extension ByteReader {
    fileprivate mutating func number() throws(DecodeError) -> UInt64? { try bool() ? try varint() : nil }
}
