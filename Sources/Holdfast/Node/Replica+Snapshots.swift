internal import Logging
internal import NIOCore
internal import RaftCore
internal import ReplicaCore
internal import Storage

/// A state snapshot that consensus has accepted, on its way into the stores.
///
/// ```
///   hard state durable ─▶ rows swapped, durable ─▶ log begins anew behind it, durable ─▶ .persisted, its answers leave
/// ```
/// A crash between two arrows is found at the next start: before the second the old rows and the old log hold, after it the rows are
/// ahead of the log, which then begins anew behind them.
struct SnapshotInstall {
    /// The operation that brought it.
    var operation: Persist
    /// Operations after it: they are written once the log has begun anew.
    var held: [Persist] = []
    var isSwapping = false
    let begun = NIODeadline.now()

    /// What the log reports once the hard state is durable.
    var hardStateSequence: UInt64 { operation.sequence * 2 - 1 }
}

/// What a leader has to offer to followers that are behind the start of its log.
struct SnapshotOffers {
    /// Makes or finds a checkpoint that includes an index, for a follower; answered by `Replica.snapshotReady`.
    var make: (_ for: NodeID, _ atLeast: LogIndex) -> Void = { _, _ in }
    /// One is being made.
    var isMaking = false
    /// The state that consensus may send now; 0 for none.
    var available: LogIndex = 0
    /// What the log reports once the last install is durable; nil when it did.
    var lastInstall: UInt64?
    /// The verified rows of the snapshot that consensus was told of.
    var staged: StagedRows?
    /// Called once an install is durable.
    var onInstalled: () -> Void = {}
    /// Gives the rows in `staged` to the apply thread.
    var swap: (StagedRows) -> Void = { _ in }
}

extension Replica {
    // MARK: Leader

    /// A follower is behind the start of the log. Asked again and again until there is a snapshot.
    func snapshotNeeded(for node: NodeID, atLeast index: LogIndex) {
        guard !snapshots.isMaking, raft.role == .leader else { return }
        snapshots.isMaking = true
        logger.info("a follower needs a state snapshot", metadata: ["node": "\(node)", "log-start": "\(index)"])
        snapshots.make(node, index)
    }

    /// A checkpoint is there, or could not be made: then the follower's next answer asks again.
    func snapshotReady(_ checkpoint: Checkpoint?) {
        snapshots.isMaking = false
        guard !isStopped, let checkpoint else { return }
        let head = checkpoint.manifest.head
        guard head.state.index + 1 >= raft.firstIndex else { return }
        snapshots.available = head.state.index
        step(
            .snapshotAvailable(
                Snapshot(
                    index: head.state.index, term: head.state.term, configuration: head.members.confState,
                    data: checkpoint.encoded)))
        turn()
    }

    /// The checkpoint behind the snapshot that consensus may send is gone, or too old.
    func withdrawSnapshot() {
        guard snapshots.available > 0 else { return }
        snapshots.available = 0
        step(.snapshotAvailable(nil))
    }

    /// The last message to a node did not arrive, or its connection is gone: what it was to fetch must be offered again.
    func unreachable(_ node: NodeID) {
        step(.unreachable(node))
        if raft.progress(of: node)?.state == .snapshot { step(.snapshotReported(node, succeeded: false)) }
    }

    /// A follower will not install what it was offered.
    func snapshotRefused(by node: NodeID, _ refusal: SnapshotRefusal) {
        guard raft.progress(of: node)?.pendingSnapshot == refusal.index else { return }
        logger.notice(
            "a follower could not take a state snapshot",
            metadata: ["node": "\(node)", "index": "\(refusal.index)", "bad": "\(refusal.isBad)"])
        if refusal.isBad { withdrawSnapshot() }
        step(.snapshotReported(node, succeeded: false))
        turn()
    }

    // MARK: Follower

    /// Tells consensus of a snapshot whose rows are here. True: it was accepted, and `swap` will be called.
    func accept(_ message: Message, _ staged: StagedRows) -> Bool {
        guard !isStopped, install == nil, snapshots.staged == nil else { return false }
        let head = staged.manifest.head
        var message = message
        message.snapshot = Snapshot(
            index: head.state.index, term: head.state.term, configuration: head.members.confState)
        step(.receive(message))
        guard raft.installing == head.state.index else {
            turn()
            return false
        }
        snapshots.staged = staged
        turn()
        return true
    }

    /// Takes a write that is or comes after a snapshot.
    func hold(_ operation: Persist) {
        guard install == nil else {
            install?.held.append(operation)
            return
        }
        let begun = SnapshotInstall(operation: operation)
        install = begun
        // Term and vote before anything of that term. The commit index is the snapshot's, which this log does not hold.
        var state = operation.hardState
        state?.commit = 0
        log.submit(.persist(sequence: begun.hardStateSequence, hardState: state, entries: []))
    }

    /// Has the rows swapped once everything before the snapshot is durable.
    func swapIfDue(_ logSequence: UInt64) {
        if let last = snapshots.lastInstall, logSequence >= last {
            snapshots.lastInstall = nil
            snapshots.onInstalled()
        }
        guard let waiting = install, !waiting.isSwapping, logSequence >= waiting.hardStateSequence else { return }
        guard let staged = snapshots.staged, staged.index == waiting.operation.snapshot?.index else {
            preconditionFailure("a snapshot was accepted whose rows are not here")
        }
        install?.isSwapping = true
        snapshots.swap(staged)
    }

    /// The rows of the snapshot are in force: the log begins anew behind them, and what waited is written.
    func installed(_ state: AppliedState) {
        guard !isStopped, let done = install else { return }
        install = nil
        snapshots.staged = nil
        logger.notice(
            "state snapshot installed",
            metadata: [
                "index": "\(state.index)", "revision": "\(state.revision)",
                "milliseconds": "\((NIODeadline.now() - done.begun).nanoseconds / 1_000_000)",
            ])
        let sequence = done.operation.sequence * 2
        snapshots.lastInstall = sequence
        if done.operation.entries.isEmpty {
            log.submit(.reset(sequence: sequence, index: state.index, term: state.term))
        } else {
            log.submit(contentsOf: [
                .reset(sequence: sequence - 1, index: state.index, term: state.term),
                .persist(sequence: sequence, hardState: nil, entries: done.operation.entries),
            ])
        }
        for operation in done.held { write(operation) }
        show(state.index)
        turn()
    }
}

/// A follower's word that it will not install a state snapshot that it was offered.
struct SnapshotRefusal: Sendable, Equatable {
    /// The log index of the snapshot.
    var index: LogIndex
    /// What came was not what its manifest names: the same one should not be offered again.
    var isBad: Bool

    func encode(into buffer: inout ByteBuffer) {
        buffer.writeMultipleIntegers(index, isBad ? 1 : 0 as UInt8, endianness: .little)
    }

    static func decode(_ buffer: inout ByteBuffer) -> SnapshotRefusal? {
        guard let (index, bad) = buffer.readMultipleIntegers(endianness: .little, as: (UInt64, UInt8).self) else {
            return nil
        }
        return SnapshotRefusal(index: index, isBad: bad != 0)
    }
}
