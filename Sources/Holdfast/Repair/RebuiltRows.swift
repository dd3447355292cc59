internal import RaftCore
internal import ReplicaCore
internal import Storage

/// Rows fetched from a peer that are to take the place of this node's own while it runs: what was applied here since is applied to them
/// from the log, so that consensus notices nothing.
struct RebuiltRows: Sendable {
    let staged: StagedRows
    let log: LogStore
    /// Where the rows before go once they are closed.
    let aside: String
    /// Told once how it ended, on the apply thread.
    let end: @Sendable (Result<InstalledState, HoldfastError>) -> Void

    private static let pieceBytes = 4 << 20

    /// Applies the log through `index` and puts the rows in force, durably. The apply thread alone calls this.
    func broughtTo(_ index: LogIndex) throws(HoldfastError) -> (Applier, InstalledState) {
        guard staged.index <= index else {
            throw HoldfastError(.unavailable, "the fetched rows are ahead of what is applied here; try again")
        }
        do {
            var applier = try Applier(loading: staged.rows)
            var batch = WriteBatch()
            while applier.state.index < index {
                let entries = try log.read(
                    from: applier.state.index + 1, to: index, bytesMax: RebuiltRows.pieceBytes)
                var output = ApplyOutput(collectsEvents: false)
                batch.reset(keepingCapacity: true)
                try applier.apply(
                    entries.map { CommittedEntry($0) }, reader: staged.rows.reader(), hash: SHA256.self, into: &batch,
                    output: &output)
                try staged.rows.write(batch)
            }
            // As durable as the rows before were: the log may be compacted behind what they had flushed.
            try staged.rows.flush()
            let published = try ModelReader.list(at: applier.readPoint, rows: staged.rows).map(\.publishedRevision)
                .max()
            let head = try SnapshotHead(loading: staged.rows)
            try staged.putInForce()
            return (
                applier,
                InstalledState(
                    head: head, roster: applier.roster, completeness: applier.completeness, site: applier.site,
                    isSeeding: applier.seed != nil, publishedRevision: published ?? 0)
            )
        } catch let error as SnapshotError {
            throw HoldfastError(error)
        } catch let error as RowError {
            throw HoldfastError(error)
        } catch {
            throw HoldfastError(.unavailable, "the fetched rows could not be brought up to date: \(error)")
        }
    }
}

extension CommittedEntry {
    /// An entry of the log as the state machine takes it.
    init(_ entry: Entry) {
        let content: Content =
            entry.isConfigurationChange
            ? .configuration(ConfigurationChange(entry).map { MembershipChange($0) }) : .normal(entry.data)
        self.init(index: entry.index, term: entry.term, content: content)
    }
}
