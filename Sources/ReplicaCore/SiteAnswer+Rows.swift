// The answer to a poll, from what a node's rows hold.
extension SiteAnswer {
    /// Answers a poll as the site was when it was looked at, with as much of the feed as the one that asks takes. The view must be one
    /// that includes everything acknowledged before the poll came: only then is its position a watermark.
    package init<Rows: RowReader & ~Copyable>(
        to poll: SiteReport, bytesMax: UInt64, as view: SiteView, own: SiteReport, relation: SiteFeed.Relation,
        rows: borrowing Rows
    ) throws(QueryError) {
        self.init(
            report: own, asked: poll.position, relation: relation, hash: poll.position.hash,
            compactRevision: view.state.compactRevision, feedFloor: view.state.feedFloor,
            grant: view.record.switchover?.grant, branches: view.record.branches)
        guard bytesMax > 0, relation == .prefix, SiteLink.follows(poll, view.record, own) else { return }
        let shipped = try SiteFeed.entries(
            from: poll.position.revision + 1, entriesMax: Limits.shipmentEntriesMax,
            bytesMax: Int(min(bytesMax, UInt64(Limits.sitePollBytesMax))), at: ReadPoint(view.state), rows: rows)
        guard !shipped.isEmpty else { return }
        do throws(RowError) {
            let last = poll.position.revision + UInt64(shipped.count)
            guard let hash = try FeedReader.hash(after: last, rows: rows) else { return }
            entries = shipped
            self.hash = hash
        } catch {
            throw .rows(error)
        }
    }
}
