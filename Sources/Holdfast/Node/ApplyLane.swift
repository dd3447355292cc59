internal import RaftCore
internal import ReplicaCore
internal import Storage

/// What one write of the apply thread made visible.
struct AppliedGroup: Sendable {
    var state: AppliedState
    var output: ApplyOutput
}

/// The rows of a state snapshot that took the place of those before.
struct InstalledState: Sendable {
    var head: SnapshotHead
    /// Every node ID that was ever used, and how far the members are complete.
    var roster: Roster
    var completeness: [Completeness]
    /// The highest revision that published a model.
    var publishedRevision: UInt64
}

/// The thread that applies committed entries: everything that gathered is one group, one write batch, one hand-off.
final class ApplyLane: Sendable {
    private enum Work: Sendable {
        case entries([CommittedEntry])
        case snapshot(StagedRows)
        case rebuild(RebuiltRows)
    }

    private let lane: Lane<Work>

    /// - Parameters:
    ///   - onApplied: called on the apply thread after the group is in the rows.
    ///   - onInstalled: called on the apply thread after the rows of a snapshot are in force, durably.
    ///   - onFault: called on the apply thread, once; nothing is applied after it.
    init(
        rows: RowStore, applier: Applier, figures: NodeFigures, onApplied: @escaping @Sendable (AppliedGroup) -> Void,
        onInstalled: @escaping @Sendable (InstalledState) -> Void, onFault: @escaping @Sendable (HoldfastError) -> Void
    ) {
        let worker = ApplyWorker(rows: rows, applier: applier, figures: figures)
        lane = Lane("hf-apply") { queued in
            var group: [[CommittedEntry]] = []
            for work in queued {
                switch work {
                case .entries(let entries): group.append(entries)
                case .snapshot(let staged):
                    worker.apply(group, onApplied: onApplied, onFault: onFault)
                    group = []
                    worker.install(staged, onInstalled: onInstalled, onFault: onFault)
                case .rebuild(let rebuilt):
                    worker.apply(group, onApplied: onApplied, onFault: onFault)
                    group = []
                    worker.rebuild(rebuilt)
                }
            }
            worker.apply(group, onApplied: onApplied, onFault: onFault)
        }
    }

    /// Queues entries in log order.
    func submit(_ entries: [CommittedEntry]) { lane.submit(.entries(entries)) }

    /// Queues the rows of a snapshot, behind all entries that were submitted before.
    func install(_ staged: StagedRows) { lane.submit(.snapshot(staged)) }

    /// Queues rows that were fetched anew, to take the place of those here; see `RebuiltRows`.
    func rebuild(_ rows: RebuiltRows) { lane.submit(.rebuild(rows)) }

    /// Applies what is queued and ends the thread.
    func stop() { lane.stop() }
}

/// The apply thread's own state.
///
/// `@unchecked Sendable`: touched only by the lane's thread, after it was handed over once.
private final class ApplyWorker: @unchecked Sendable {
    private let rows: RowStore
    private var applier: Applier
    private var reader: RowSnapshot
    private var batch = WriteBatch()
    private let figures: NodeFigures
    private var hasFailed = false
    /// Rows that nothing can read any more are removed between groups, a bounded step at a time.
    private var sweep: CompactionSweep?
    private var isSweepDue = true

    init(rows: RowStore, applier: Applier, figures: NodeFigures) {
        self.rows = rows
        self.applier = applier
        self.figures = figures
        reader = rows.reader()
    }

    func apply(
        _ queued: [[CommittedEntry]], onApplied: (AppliedGroup) -> Void, onFault: (HoldfastError) -> Void
    ) {
        guard !hasFailed, !queued.isEmpty else { return }
        let entries = queued.count == 1 ? queued[0] : Array(queued.joined())
        var output = ApplyOutput(collectsEvents: false)
        batch.reset(keepingCapacity: true)
        reader.refresh()
        do {
            try applier.apply(entries, reader: reader, hash: SHA256.self, into: &batch, output: &output)
            try rows.write(batch)
        } catch let error as RowError {
            return fail(error.message, error.isCorruption, onFault)
        } catch let error as RowStoreError {
            return fail(error.message, error.cause == .corruption, onFault)
        } catch {
            return fail("\(error)", false, onFault)
        }
        if output.compacted != nil || !output.models.isEmpty || output.uploads.contains(where: \.isClosed) {
            isSweepDue = true
        }
        figures.appliedGroups.increment()
        figures.appliedEntries.increment(by: entries.count)
        onApplied(AppliedGroup(state: applier.state, output: output))
        if isSweepDue { sweepStep(onFault) }
    }

    /// Puts the rows of a snapshot in force and goes on from them: state, sessions and uploads are what they say.
    func install(
        _ staged: StagedRows, onInstalled: (InstalledState) -> Void, onFault: (HoldfastError) -> Void
    ) {
        guard !hasFailed else { return }
        precondition(
            staged.index > applier.state.index, "a snapshot at \(staged.index) over rows at \(applier.state.index)")
        do {
            // Everything that can fail comes before the rows before are given up.
            let loaded = try Applier(loading: staged.rows)
            let published = try ModelReader.list(at: loaded.readPoint, rows: staged.rows).map(\.publishedRevision).max()
            try staged.putInForce()
            rows.replace(with: staged.rows)
            applier = loaded
            reader.refresh()
            sweep = nil
            isSweepDue = true
            onInstalled(
                InstalledState(
                    head: staged.manifest.head, roster: loaded.roster, completeness: loaded.completeness,
                    publishedRevision: published ?? 0))
        } catch let error as RowError {
            fail(error.message, error.isCorruption, onFault)
        } catch {
            fail("\(error)", false, onFault)
        }
    }

    /// Brings fetched rows to where those here are, and puts them in force. Those here stay as they are if that fails.
    func rebuild(_ rebuilt: RebuiltRows) {
        guard !hasFailed else {
            return rebuilt.end(.failure(HoldfastError(.unavailable, "the rows here have failed; restart the node")))
        }
        do throws(HoldfastError) {
            let (loaded, state) = try rebuilt.broughtTo(applier.state.index)
            rows.replace(with: rebuilt.staged.rows, settingAside: rebuilt.aside)
            applier = loaded
            reader.refresh()
            sweep = nil
            isSweepDue = true
            rebuilt.end(.success(state))
        } catch {
            rebuilt.end(.failure(error))
        }
    }

    /// One bounded step; the next comes with the next group, and the pass goes on where it stopped after a restart.
    private func sweepStep(_ onFault: (HoldfastError) -> Void) {
        do {
            reader.refresh()
            var sweep = try self.sweep ?? CompactionSweep(loading: reader)
            batch.reset(keepingCapacity: true)
            isSweepDue = try !sweep.step(at: applier.readPoint, rows: reader, into: &batch)
            try rows.write(batch)
            self.sweep = sweep
        } catch let error as RowError {
            fail(error.message, error.isCorruption, onFault)
        } catch {
            fail("\(error)", false, onFault)
        }
    }

    /// What the rows refused cannot be skipped: the node stops, and the log applies it again after the next start.
    private func fail(_ message: String, _ isCorruption: Bool, _ onFault: (HoldfastError) -> Void) {
        hasFailed = true
        onFault(HoldfastError(isCorruption ? .corrupted : .resourceExhausted, "apply failed: \(message)"))
    }
}

extension ApplyOutput.UploadChange {
    /// The upload's chunk list is closed: aborted, expired or published.
    fileprivate var isClosed: Bool {
        if case .closed = self { return true }
        return false
    }
}
