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
    /// This cluster's part in a pair of sites.
    var site: SiteRecord
    /// Rows of a seed are staged in it.
    var isSeeding: Bool
    /// The highest revision that published a model.
    var publishedRevision: UInt64
}

/// The thread that applies committed entries: everything that gathered is one group, one write batch, one hand-off.
final class ApplyLane: Sendable {
    private enum Work: Sendable {
        case entries([CommittedEntry])
        case snapshot(StagedRows)
        case rebuild(RebuiltRows)
        /// A sweep goes on while nothing is committed.
        case sweep
    }

    /// Whom the apply thread tells what; all are called on it.
    struct Listener: Sendable {
        /// A group is in the rows.
        var onApplied: @Sendable (AppliedGroup) -> Void
        /// The rows of a snapshot are in force, durably.
        var onInstalled: @Sendable (InstalledState) -> Void
        /// A pass over rows that nothing can read any more has ended.
        var onSwept: @Sendable () -> Void
        /// Called once; nothing is applied after it.
        var onFault: @Sendable (HoldfastError) -> Void
    }

    private let lane: Lane<Work>
    private let room: RoomWait

    init(rows: RowStore, applier: Applier, room: RoomWait, figures: NodeFigures, listener: Listener) {
        self.room = room
        let again = Relay<@Sendable () -> Void>()
        let worker = ApplyWorker(rows: rows, applier: applier, room: room, figures: figures, listener: listener)
        lane = Lane("hf-apply") { queued in
            var group: [[CommittedEntry]] = []
            for work in queued {
                switch work {
                case .entries(let entries): group.append(entries)
                case .snapshot(let staged):
                    worker.apply(group)
                    group = []
                    worker.install(staged)
                case .rebuild(let rebuilt):
                    worker.apply(group)
                    group = []
                    worker.rebuild(rebuilt)
                case .sweep: worker.sweepStep()
                }
            }
            worker.apply(group)
            if worker.isSweeping { again.body?() }
        }
        again.set { [weak lane] in lane?.submit(.sweep) }
    }

    /// Queues entries in log order.
    func submit(_ entries: [CommittedEntry]) { lane.submit(.entries(entries)) }

    /// Queues the rows of a snapshot, behind all entries that were submitted before.
    func install(_ staged: StagedRows) { lane.submit(.snapshot(staged)) }

    /// Queues rows that were fetched anew, to take the place of those here; see `RebuiltRows`.
    func rebuild(_ rows: RebuiltRows) { lane.submit(.rebuild(rows)) }

    /// Applies what is queued, as far as a full disk takes it, and ends the thread.
    func stop() {
        room.stop()
        lane.stop()
    }
}

/// The apply thread's own state.
///
/// `@unchecked Sendable`: touched only by the lane's thread, after it was handed over once.
private final class ApplyWorker: @unchecked Sendable {
    private let rows: RowStore
    private var applier: Applier
    private var reader: RowSnapshot
    private var batch = WriteBatch()
    private let room: RoomWait
    private let figures: NodeFigures
    private let listener: ApplyLane.Listener
    private var hasFailed = false
    /// Rows that nothing can read any more are removed between groups, a bounded step at a time.
    private var sweep: CompactionSweep?
    private var isSweepDue = true

    /// Whether there is more to sweep than the last step did.
    var isSweeping: Bool { isSweepDue && !hasFailed }

    init(
        rows: RowStore, applier: Applier, room: RoomWait, figures: NodeFigures, listener: ApplyLane.Listener
    ) {
        self.listener = listener
        self.rows = rows
        self.applier = applier
        self.room = room
        self.figures = figures
        reader = rows.reader()
    }

    func apply(
        _ queued: [[CommittedEntry]]
    ) {
        guard !hasFailed, !queued.isEmpty else { return }
        let entries = queued.count == 1 ? queued[0] : Array(queued.joined())
        var output = ApplyOutput(collectsEvents: false)
        batch.reset(keepingCapacity: true)
        reader.refresh()
        do {
            try applier.apply(entries, reader: reader, hash: SHA256.self, into: &batch, output: &output)
            guard try write() else { return }
        } catch let error as RowError {
            return fail(error.message, error.isCorruption)
        } catch let error as RowStoreError {
            return fail(error.message, error.cause == .corruption)
        } catch {
            return fail("\(error)", false)
        }
        if output.compacted != nil || !output.models.isEmpty || output.uploads.contains(where: \.isClosed) {
            isSweepDue = true
        }
        figures.appliedGroups.increment()
        figures.appliedEntries.increment(by: entries.count)
        listener.onApplied(AppliedGroup(state: applier.state, output: output))
        sweepStep()
    }

    /// Puts the rows of a snapshot in force and goes on from them: state, sessions and uploads are what they say.
    func install(
        _ staged: StagedRows
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
            listener.onInstalled(
                InstalledState(
                    head: staged.manifest.head, roster: loaded.roster, completeness: loaded.completeness,
                    site: loaded.site, isSeeding: loaded.seed != nil,
                    publishedRevision: published ?? 0))
        } catch let error as RowError {
            fail(error.message, error.isCorruption)
        } catch {
            fail("\(error)", false)
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

    /// Writes the batch; on a full disk again until there is room: the log keeps the entries meanwhile, and nobody was told of them.
    /// False when the node stops before that; nothing may be applied then, since a later batch would leave this one out.
    private func write() throws(RowStoreError) -> Bool {
        while true {
            do throws(RowStoreError) {
                try rows.write(batch)
                room.ended()
                return true
            } catch {
                guard error.cause == .noSpace else { throw error }
                guard room.pause() else {
                    hasFailed = true
                    return false
                }
            }
        }
    }

    /// One bounded step; the next comes after the groups that wait, and the pass goes on where it stopped after a restart.
    func sweepStep() {
        guard isSweeping else { return }
        do {
            reader.refresh()
            var sweep = try self.sweep ?? CompactionSweep(loading: reader)
            batch.reset(keepingCapacity: true)
            let isOver = try sweep.step(at: applier.readPoint, rows: reader, into: &batch)
            guard try write() else { return }
            isSweepDue = !isOver
            self.sweep = sweep
            if isOver {
                // What the view shows could not be let go by RocksDB.
                reader.release()
                listener.onSwept()
            }
        } catch let error as RowError {
            fail(error.message, error.isCorruption)
        } catch let error as RowStoreError {
            fail(error.message, error.cause == .corruption)
        } catch {
            fail("\(error)", false)
        }
    }

    /// What the rows refused for another reason than a full disk cannot be skipped: the node stops, and the log applies it again after the next start.
    private func fail(_ message: String, _ isCorruption: Bool) {
        hasFailed = true
        listener.onFault(HoldfastError(isCorruption ? .corrupted : .unavailable, "apply failed: \(message)"))
    }
}

extension ApplyOutput.UploadChange {
    /// The upload's chunk list is closed: aborted, expired or published.
    fileprivate var isClosed: Bool {
        if case .closed = self { return true }
        return false
    }
}
