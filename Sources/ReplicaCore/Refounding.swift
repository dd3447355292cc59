// A new cluster from what one node has: after a quorum was lost, or from a backup.
extension Applier {
    /// Writes what makes the store that of a cluster of one member with a lineage of its own. Keys, models, history and client sessions
    /// stay; every other node ID that was ever used counts as removed, so that none is used again.
    ///
    /// Nobody may ever have applied anything in that lineage. The caller makes the batch durable before the node starts.
    package static func refound<Rows: RowReader & ~Copyable>(
        as node: UInt64, at endpoint: String, lineage: Lineage, rows: borrowing Rows, into batch: inout WriteBatch
    ) throws(RowError) {
        precondition(lineage != .zero && node != 0, "a new cluster needs a lineage and a member")
        let state = try AppliedState(loading: rows)
        let members = try rows.value(Members.self, at: RowKey.members) ?? Members(voters: [])
        var roster = try Roster(loading: rows)
        // 0 would say that nothing was ever removed.
        let index = max(state.index, 1)
        for other in members.everyone where roster[other] == nil { roster.set(MemberRecord(node: other)) }
        var own = roster[node] ?? MemberRecord(node: node)
        own.endpoint = endpoint
        own.removed = 0
        roster.set(own)
        for var record in roster.records where record.node != node && !record.isRemoved {
            record.removed = index
            roster.set(record)
        }
        roster.index = index
        for record in roster.records { batch.put(RowKey.memberRecord(record.node), record.encoded()) }
        batch.put(RowKey.configurationIndex, roster.indexRow)
        batch.put(RowKey.members, Members(voters: [node]).encoded())
        batch.put(RowKey.lineage, [1] + lineage.bytes)
        for report in try ModelReader.completeness(rows: rows) where report.node != node {
            batch.delete(RowKey.completeness(report.node))
        }
    }
}
