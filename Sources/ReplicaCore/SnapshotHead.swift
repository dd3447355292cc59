/// What a state snapshot says of itself: where the state stands, who its members are, and which history it belongs to.
package struct SnapshotHead: Sendable, Hashable {
    package var state: AppliedState
    /// The configuration that holds at `state.index`.
    package var members: Members
    /// Nil before the first leader has named it.
    package var lineage: Lineage?
    /// The replicated feature version: whoever knows less may not take the state.
    package var featureVersion: UInt32

    package init(state: AppliedState, members: Members, lineage: Lineage?, featureVersion: UInt32) {
        self.state = state
        self.members = members
        self.lineage = lineage
        self.featureVersion = featureVersion
    }

    /// Reads it from the rows of the state.
    package init<Rows: RowReader & ~Copyable>(loading rows: borrowing Rows) throws(RowError) {
        state = try AppliedState(loading: rows)
        members = try rows.value(Members.self, at: RowKey.members) ?? Members(voters: [])
        lineage = try ErasedRows.with(rows) { rows throws(RowError) in try ModelReader.lineage(rows: rows) }
        featureVersion = try ModelReader.featureVersion(rows: rows)
    }

    /// Removes the rows that belong to one node alone: a state that came from another node begins without them.
    package static func dropLocalRows(into batch: inout WriteBatch) {
        let all = RowKey.localRows
        batch.deleteRange(from: all.from, below: all.below)
    }
}

extension SnapshotHead: Coded {
    package static var codedName: String { "head of a state snapshot" }

    package func encode(into writer: inout ByteWriter) {
        state.encode(into: &writer)
        members.encode(into: &writer)
        writer.bool(lineage != nil)
        if let lineage { writer.identifier(lineage) }
        writer.fixed32(featureVersion)
    }

    package static func decode(from reader: inout ByteReader) throws(DecodeError) -> SnapshotHead {
        SnapshotHead(
            state: try AppliedState.decode(from: &reader), members: try Members.decode(from: &reader),
            lineage: try reader.bool() ? try reader.identifier() : nil, featureVersion: try reader.fixed32())
    }
}
