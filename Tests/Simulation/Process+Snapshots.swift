internal import RaftCore
internal import ReplicaCore
internal import Storage

/// The rows of one moment, as a node offers them to a follower that is too far behind for the log.
final class Checkpoint {
    let number: UInt64
    let owner: NodeID
    let rows: SimulatedRows
    let index: LogIndex
    let term: Term
    let members: Members

    init(number: UInt64, owner: NodeID, rows: SimulatedRows, state: AppliedState, members: Members) {
        self.number = number
        self.owner = owner
        self.rows = rows
        index = state.index
        term = state.term
        self.members = members
    }
}

/// A checkpoint on its way into this node.
///
/// ```
///   fetching ── all there, durable in staging ──▶ staged ── Raft takes it ──▶ preparing ── log idle ──▶ swapping ── pointer renamed ──▶ resetting ── log durable ──▶ done
/// ```
struct Install {
    enum Stage { case fetching, staged, preparing, swapping, resetting }

    var stage: Stage
    var message: Message
    var checkpoint: Checkpoint
    var operation: Persist?

    /// The log takes no write: the old one still counts, and the new one does not yet.
    var holdsLog: Bool { stage == .swapping }
    /// Operations of later sequences wait, so that they are written behind the new start of the log.
    var holdsBack: Bool { stage == .preparing || stage == .swapping }
}

extension Process {
    // MARK: the sender

    func makeCheckpoint(atLeast index: LogIndex) {
        guard !isCheckpointDue else { return }
        isCheckpointDue = true
        world.schedule(.checkpointDue(id, life), after: world.dice.between(2_000, 100_000))
    }

    func checkpointMade() {
        isCheckpointDue = false
        guard install == nil, applier.state.index > 0, applier.state.index >= raft.firstIndex - 1 else { return }
        let checkpoint = world.keep { number in
            Checkpoint(number: number, owner: id, rows: rows, state: applier.state, members: applier.members)
        }
        offered = checkpoint
        step(
            .snapshotAvailable(
                Snapshot(
                    index: checkpoint.index, term: checkpoint.term, configuration: checkpoint.members.confState,
                    data: withUnsafeBytes(of: checkpoint.number) { Array($0) })))
        turn()
    }

    /// A snapshot that nobody answered for: the message is lost, or the follower is gone. The real transport tells by its connection's end.
    func snapshotOverdue(to target: NodeID, _ index: LogIndex) {
        guard let progress = raft.progress(of: target), progress.state == .snapshot, progress.pendingSnapshot == index,
            progress.match < index
        else { return }
        step(.snapshotReported(target, succeeded: false))
        turn()
    }

    // MARK: the receiver

    /// Fetches the rows before Raft hears of the snapshot.
    func fetchSnapshot(_ message: Message) {
        guard let snapshot = message.snapshot, install == nil else { return }
        guard message.term >= raft.term, snapshot.index > raft.commitIndex,
            let checkpoint = world.checkpoint(snapshot.data)
        else { return step(.receive(message)) }
        install = Install(stage: .fetching, message: message, checkpoint: checkpoint)
        world.schedule(.snapshotFetched(id, life), after: world.dice.between(5_000, 300_000))
    }

    func snapshotFetched() {
        guard let fetched = install, fetched.stage == .fetching else { return }
        guard world.isConnected(fetched.checkpoint.owner, id) else {
            install = nil
            startApplying()
            return
        }
        install?.stage = .staged
        step(.receive(fetched.message))
        // Raft releases the write in this turn, or answers that the snapshot brings nothing new.
        endTurn()
        if install?.stage == .staged {
            install = nil
            startApplying()
        }
    }

    /// Raft has taken the snapshot: its log and state are to be replaced. What was promised before comes first, term and vote included.
    func beginInstall(_ snapshot: Snapshot, _ operation: Persist) {
        guard var taken = install, taken.stage == .staged else {
            return world.fail("node \(id): consensus installs snapshot \(snapshot.index) that was not fetched")
        }
        taken.stage = .preparing
        taken.operation = operation
        install = taken
        persists.append((operation.sequence, operation.hardState, operation.responses))
        if var state = operation.hardState ?? unwritten {
            // The commit index is the snapshot's, which this log does not hold.
            state.commit = 0
            queued.append(.persist(sequence: operation.sequence - 1, hardState: state, entries: []))
        }
        unwritten = nil
        startBatch()
        swapIfReady()
    }

    /// Swaps the rows once the log has written what came before.
    func swapIfReady() {
        guard install?.stage == .preparing, queued.isEmpty, batch == nil, let operation = install?.operation,
            let checkpoint = install?.checkpoint
        else { return }
        install?.stage = .swapping
        queued.append(.reset(sequence: operation.sequence, index: checkpoint.index, term: checkpoint.term))
        if !operation.entries.isEmpty {
            queued += Self.pieces(operation.sequence, nil, operation.entries)
        }
        world.schedule(.rowsSwapped(id, life), after: world.dice.between(500, 20_000))
    }

    /// The pointer to the new rows is durable; from here on a restart finds them, with the old log beside them.
    func rowsSwapped() {
        guard var taken = install, taken.stage == .swapping else { return }
        node.durableRows = taken.checkpoint.rows
        taken.stage = .resetting
        install = taken
        queued += heldBack
        heldBack = []
        startBatch()
    }

    /// The log is durably empty behind the snapshot: the process goes on with the new rows.
    func finishInstall(through sequence: UInt64) {
        guard let taken = install, taken.stage == .resetting, let operation = taken.operation,
            operation.sequence <= sequence
        else { return }
        install = nil
        rows = taken.checkpoint.rows
        do throws(RowError) {
            applier = try Applier(loading: rows)
        } catch {
            return world.fail("node \(id) cannot load the installed rows: \(error.message)")
        }
        isFlushing = false
        flushing = nil
        isApplying = false
        applyQueue.removeAll()
        appliedIndex = taken.checkpoint.index
        flushedIndex = taken.checkpoint.index
        offered = nil
        world.installed(self, taken.checkpoint)
        step(.snapshotAvailable(nil))
        releaseReads()
    }
}
