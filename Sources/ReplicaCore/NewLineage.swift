/// What makes the rows of one cluster the first state of another: a restored cluster is a history of its own.
package enum NewLineage {
    /// Writes into `batch` what must change: one member, a new lineage, and nothing of what belonged to the nodes and clients of the
    /// old cluster (its members' IDs, how complete they were, client sessions, rows of one node). Keys, their history, the feed, models
    /// and uploads stay, and so do the revision and the log index.
    package static func begin(_ lineage: Lineage, member: UInt64, into batch: inout WriteBatch) {
        SnapshotHead.dropLocalRows(into: &batch)
        for all in [RowKey.sessions, RowKey.completenesses, RowKey.membership] {
            batch.deleteRange(from: all.from, below: all.below)
        }
        // It belongs to no pair of sites, whatever the old cluster was.
        batch.delete(RowKey.site)
        batch.delete(RowKey.siteProgress)
        batch.put(RowKey.members, Members(voters: [member]).encoded())
        batch.put(RowKey.lineage, [1] + lineage.bytes)
    }
}
