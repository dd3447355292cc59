internal import Logging
internal import RaftCore
internal import ReplicaCore
internal import Storage
internal import Synchronization

/// Makes a cluster of one member out of what a survivor has, when the quorum of its cluster is lost for good.
///
/// ```
///  mark durable ─▶ every entry of the log applied ─▶ rows refounded, flushed ─▶ log begins anew behind them ─▶ identity, mark gone
/// ```
/// A crash between two arrows leaves the mark: the directory opens only for a recovery, which goes on to the same lineage.
/// Everything here blocks on the disk.
struct Recovery {
    let path: String
    let logger: Logger
    private let stores: MemberStores

    /// Opens a survivor's directory; throws as a start does.
    init(_ path: String, _ configuration: NodeConfiguration, logger: Logger) throws(HoldfastError) {
        self.path = path
        self.logger = logger
        let budget = try ResourceBudget(.local, files: ProcessLimits.raiseFiles(), mappings: ProcessLimits.mappings)
        stores = try MemberStores.open(
            at: path, configuration: configuration, budget: budget, logger: logger, recovers: true)
    }

    /// Lets the directory go without a change.
    func close() { stores.log.close() }

    /// What there is, and what may be missing.
    func survey() throws(HoldfastError) -> SurvivorReport {
        let identity = stores.directory.identity
        let state = stores.applier.state
        let last = max(stores.start.lastIndex, state.index)
        var report = SurvivorReport(
            node: identity.node, cluster: identity.cluster, lineage: stores.applier.lineage?.hex ?? "",
            endpoint: try endpoint(nil),
            others: stores.applier.members.everyone.filter { $0 != identity.node }, lastIndex: last,
            lastTerm: try lastTerm(last),
            unconfirmedEntries: last - min(last, max(stores.start.hardState.commit, state.index)),
            revision: state.revision, lackingModels: [])
        do {
            let models = try ModelReader.list(at: ReadPoint(state), rows: stores.rows)
            for model in models where !model.record.isRetired {
                if try lacksChunks(model) { report.lackingModels.append("\(model.name)@\(model.version)") }
            }
        } catch {
            throw HoldfastError(opening: error, at: path)
        }
        return report
    }

    /// Carries the recovery out and returns the new lineage and bootstrap ID.
    func run(endpoint wanted: String?) throws(HoldfastError) -> (lineage: Lineage, bootstrap: Digest) {
        do {
            let directory = stores.directory
            let mark: RecoveryMark
            if let begun = try directory.recovery {
                mark = begun
            } else {
                mark = RecoveryMark(lineage: try Identifier.random(), endpoint: try endpoint(wanted))
            }
            try directory.beginRecovery(mark)
            let state = try applyAll()
            if stores.applier.lineage != mark.lineage {
                var batch = WriteBatch()
                try Applier.refound(
                    as: directory.identity.node, at: mark.endpoint, lineage: mark.lineage, rows: stores.rows,
                    into: &batch)
                try stores.rows.write(batch)
            }
            try stores.rows.flush()
            try beginLog(after: state)
            return (mark.lineage, try directory.endRecovery(mark))
        } catch {
            throw HoldfastError(opening: error, at: path)
        }
    }

    private func endpoint(_ wanted: String?) throws(HoldfastError) -> String {
        let identity = stores.directory.identity
        let record = stores.applier.roster[identity.node]?.endpoint ?? ""
        let known =
            record.isEmpty
            ? stores.directory.address ?? identity.members.first { $0.node == identity.node }?.endpoint : record
        guard let endpoint = wanted ?? known else {
            throw HoldfastError(
                .invalidArgument, "the address of node \(identity.node) is not known; give it with --listen")
        }
        return endpoint
    }

    private func lastTerm(_ last: LogIndex) throws(HoldfastError) -> Term {
        if last == stores.applier.state.index { return stores.applier.state.term }
        do throws(LogError) {
            return try stores.log.term(at: last)
        } catch {
            throw HoldfastError(log: error, at: path)
        }
    }

    private func lacksChunks(_ model: ReplicaCore.ModelVersion) throws -> Bool {
        var next: UInt64 = 0
        while true {
            let page = try ModelReader.chunks(
                of: model.record.upload, number: model.record.uploadNumber, from: next, limit: ChunkLimits.rowsPage,
                rows: stores.rows)
            guard let last = page.last else { return false }
            for chunk in page where try !stores.chunks.contains(chunk.id) { return true }
            next = last.ordinal + 1
        }
    }

    /// Applies every entry that the log holds: one that was not known to be committed may have been acknowledged all the same.
    private func applyAll() throws -> AppliedState {
        var applier = stores.applier
        var reader = stores.rows.reader()
        var output = ApplyOutput(collectsEvents: false)
        let last = stores.start.lastIndex
        while applier.state.index < last {
            let entries = try stores.log.read(from: applier.state.index + 1, to: last, bytesMax: 16 << 20)
            var batch = WriteBatch()
            output.reset()
            reader.refresh()
            try applier.apply(
                entries.map { entry in
                    CommittedEntry(
                        index: entry.index, term: entry.term,
                        content: entry.isConfigurationChange
                            ? .configuration(ConfigurationChange(entry).map { MembershipChange($0) })
                            : .normal(entry.data))
                }, reader: reader, hash: SHA256.self, into: &batch, output: &output)
            try stores.rows.write(batch)
        }
        return applier.state
    }

    /// The entries are in the rows; nodes that join get those, since the entries before them belong to another lineage.
    private func beginLog(after state: AppliedState) throws(LogError) {
        let failure = FailureCell()
        try stores.log.start(onDurable: { _ in }, onFailure: { failure.set($0) })
        stores.log.submit(.reset(sequence: 1, index: state.index, term: state.term))
        stores.log.close()
        if let error = failure.error { throw error }
    }
}

/// The log's failure, told on its thread and read after it ended.
private final class FailureCell: Sendable {
    private let held = Mutex<LogError?>(nil)

    func set(_ error: LogError) { held.withLock { $0 = error } }
    var error: LogError? { held.withLock { $0 } }
}
