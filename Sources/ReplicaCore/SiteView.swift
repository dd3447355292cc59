/// A site as its rows have it at one moment.
package struct SiteView: Sendable {
    package var record: SiteRecord
    package var progress: SiteProgress
    package var state: AppliedState
    package var seed: SeedRecord?
    /// Who it is; nil before the cluster has a lineage.
    package var site: SiteID?

    /// Reads it from the rows, which must be those of one moment.
    package init<Rows: RowReader & ~Copyable>(loading rows: borrowing Rows) throws(RowError) {
        state = try AppliedState(loading: rows)
        record = try rows.value(SiteRecord.self, at: RowKey.site) ?? SiteRecord()
        progress = try rows.value(SiteProgress.self, at: RowKey.siteProgress) ?? SiteProgress()
        seed = try rows.value(SeedRecord.self, at: RowKey.seed)
        site = try ModelReader.lineage(rows: rows)
    }

    package var position: SitePosition { SitePosition(revision: state.revision, hash: state.feedHash) }

    /// What the site says of itself.
    package var report: SiteReport? {
        site.map {
            SiteReport(
                site: $0, role: record.role, epoch: record.epoch, seen: record.seen, lineage: record.lineage,
                position: position)
        }
    }
}
