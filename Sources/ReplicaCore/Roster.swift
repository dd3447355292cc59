/// One node ID that was ever given out: IDs are never used again, so their rows stay.
package struct MemberRecord: Sendable, Hashable {
    package var node: UInt64
    /// `HOST:PORT`; empty for a member of the first configuration that no change has named, whose address all nodes know
    /// from their formatting.
    package var endpoint: String
    /// The disk it joined with; zero while unknown.
    package var incarnation: Incarnation
    /// The log index of the change that added it; 0 for a member of the first configuration.
    package var joined: UInt64
    /// The log index of the change that removed it; 0 while it is a member.
    package var removed: UInt64

    /// It was a member and is none any more.
    package var isRemoved: Bool { removed > 0 }

    package init(
        node: UInt64, endpoint: String = "", incarnation: Incarnation = .zero, joined: UInt64 = 0, removed: UInt64 = 0
    ) {
        self.node = node
        self.endpoint = endpoint
        self.incarnation = incarnation
        self.joined = joined
        self.removed = removed
    }
}

extension MemberRecord: Coded {
    package static var codedName: String { "member" }

    package func encode(into writer: inout ByteWriter) {
        writer.varint(node)
        writer.text(endpoint)
        writer.identifier(incarnation)
        writer.varint(joined)
        writer.varint(removed)
    }

    package static func decode(from reader: inout ByteReader) throws(DecodeError) -> MemberRecord {
        MemberRecord(
            node: try reader.varint(), endpoint: try reader.text(), incarnation: try reader.identifier(),
            joined: try reader.varint(), removed: try reader.varint())
    }
}

/// Every node ID that was ever given out, and the log index of the configuration.
package struct Roster: Sendable, Hashable {
    /// Ascending by node. Empty until the first change: then the first configuration is all there ever was.
    package internal(set) var records: [MemberRecord] = []
    /// The log index of the newest change of the configuration; 0 for the first configuration.
    package internal(set) var index: UInt64 = 0

    package init() {}

    /// The roster in the rows.
    package init<Rows: RowReader & ~Copyable>(loading rows: borrowing Rows) throws(RowError) {
        var records: [MemberRecord] = []
        let all = RowKey.memberRecords
        try rows.forEach(from: all.from, below: all.below) { _, value throws(RowError) in
            do throws(DecodeError) {
                records.append(try MemberRecord(decoding: Array(value)))
            } catch {
                throw .corrupted("the row of a member", error)
            }
            return true
        }
        self.records = records
        guard let row = try rows.get(RowKey.configurationIndex) else { return }
        guard row.count == 9, row[0] == 1 else { throw .corrupted("the row of the configuration's index") }
        for byte in row[1...].reversed() { index = index << 8 | UInt64(byte) }
    }

    /// What is known of a node ID; nil for one that no change has named.
    package subscript(node: UInt64) -> MemberRecord? { records.first { $0.node == node } }

    /// The lowest ID above all that were ever used, beside these members of the configuration.
    package func nextID(beside members: Members) -> UInt64 {
        max(records.last?.node ?? 0, members.everyone.last ?? 0) + 1
    }

    mutating func set(_ record: MemberRecord) {
        let place = records.firstIndex { $0.node >= record.node } ?? records.count
        if place < records.count, records[place].node == record.node {
            records[place] = record
        } else {
            records.insert(record, at: place)
        }
    }
}

/// What became of a configuration entry.
package struct ConfigurationOutcome: Sendable, Hashable {
    package var index: UInt64
    /// The configuration in force from the entry on; the one before it if the change was refused.
    package var members: Members
    /// Why the change did nothing, if so.
    package var refusal: Refusal?
}
