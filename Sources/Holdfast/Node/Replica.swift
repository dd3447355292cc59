internal import Logging
internal import NIOCore
internal import RaftCore
internal import ReplicaCore
internal import Storage

/// One member's replica: the Raft value and everything that its effects move, on the control loop.
///
/// A turn is everything that arrived since the last one: frames of all sockets that were readable together, ticks, word from
/// other threads. Its end proposes what was gathered, starts a read round, collects the effects and hands each to whoever
/// carries it out:
///
/// ```
///  frames, ticks ──▶ step ──▶ Raft ──collect──▶ persist ─▶ log thread ──durable──▶ step(.persisted), responses leave
///  durable, applied ─▲                     ├──▶ send ────▶ links to the peers
///                                          ├──▶ apply ───▶ apply thread ──▶ outcomes: replies leave, step(.applied)
///                                          └──▶ readReady ▶ read thread once applied ──▶ replies leave
/// ```
///
/// Invariants:
/// 1. Everything here happens on `loop`.
/// 2. A reply in `proposals` is answered once: by its outcome, or with `outcomeUnknown` when this node stops leading.
/// 3. Responses inside a persist operation leave only after the log thread reported its sequence durable.
/// 4. At most one read round is on its way; reads that come meanwhile share the next one.
/// 5. Whoever holds an entry durably knows durably the commit index that came before it or with it. So voters of an old
///    configuration that hold the entry that left it know, after a restart of them all, that it is left: they cannot elect among
///    themselves. (The log's frames carry the commit index.)
/// 6. Consensus takes a configuration change over after the state machine accepted it, before it hears that its entry is applied.
///
/// `@unchecked Sendable`: by (1); the entry points for other threads only `execute` on the loop.
final class Replica: @unchecked Sendable {
    let loop: any EventLoop
    let log: LogStore
    let logger: Logger
    let figures: NodeFigures
    let replies: ReplyQueue
    let peers: any ConsensusPeers
    /// Told of every change of role, leader and term.
    var onLeadership: (Leadership) -> Void = { _ in }
    /// Whether the replicated feature version, as applied here, includes a feature.
    var isActive: (Feature) -> Bool = { _ in false }

    var raft: Raft
    private var effects: [Effect] = []
    private var persists: [(sequence: UInt64, hardState: HardState?, responses: [Message])] = []
    /// What may leave before its own write has ended.
    private var disclosure: Disclosure
    private var isTurnDue = false
    /// Operations of this turn that need no write.
    private var finished: [Persist] = []
    /// A commit index that was not written; keeps (5).
    private var unwritten: HardState?
    /// The newest append to each follower that only tells the commit index; see `isDeferrable`.
    private var deferred: [NodeID: Message] = [:]
    private var isDeferredFlushDue = false
    private(set) var isStopped = false
    /// Why this node can acknowledge nothing more: its log or its rows have failed.
    var disability: HoldfastError?
    /// Why nothing is answered from the rows here, which are not to be relied on; nil as a rule. Votes and appends go on.
    var quarantine: HoldfastError?
    /// Told, on a read thread, of rows that cannot be read.
    let onDamage = Relay<@Sendable (HoldfastError) -> Void>()
    /// Looks at the wait for the disk in progress (`LogStore.flushStarted`).
    var diskWatch: DiskWatch

    /// Commands of this turn, and those on their way through the log.
    var gathered: [(envelope: [UInt8], reply: Reply)] = []
    var gatheredBytes = 0
    var proposals: [LogIndex: [Reply]] = [:]
    /// Configuration changes given to apply, which may still find that they do nothing.
    private var unapplied: [LogIndex: ConfigurationChange] = [:]
    /// Who waits for a configuration change that this node proposed.
    var changes: [LogIndex: @Sendable (Result<ConfigurationOutcome, HoldfastError>) -> Void] = [:]
    /// The entry after the last configuration change that this node, as leader, saw applied: once it is applied too, the change's commit is
    /// durable on a quorum of the new members.
    private(set) var settling: LogIndex = 0
    var reads = ReadRound()
    var transfer: LeadershipTransfer?
    /// A state snapshot on its way into the stores, and those on their way to followers.
    var install: SnapshotInstall?
    var snapshots = SnapshotOffers()
    /// The highest epoch of a site that this node has heard of since its start, and whether writes of this site's may then be acknowledged.
    var heardEpoch: UInt64 = 0
    var mayAcknowledge: (_ heardEpoch: UInt64) -> Bool = { _ in true }
    /// Where the primary is, for whoever is refused with `fenced`.
    var fenceDetails: () -> [String: String] = { [:] }
    /// Whether a member holds everything published, by its replicated word.
    var isComplete: (NodeID) -> Bool = { _ in false }
    var preference = LeaderPreference()
    /// The node is about to stop: what is under way is finished, and nothing new is taken.
    var isDraining = false
    /// When each member last answered this leader.
    private(set) var answeredAt: [NodeID: NIODeadline] = [:]

    private(set) var applyLane: ApplyLane
    private(set) var readLane: ReadLane
    /// Applied by the apply thread, and visible in rows.
    var appliedIndex: LogIndex
    private var appliedWaiters: [(index: LogIndex, resume: @Sendable () -> Void)] = []

    init(
        loop: any EventLoop, raft: consuming Raft, log: LogStore, applyLane: ApplyLane, readLane: ReadLane,
        replies: ReplyQueue, peers: any ConsensusPeers, figures: NodeFigures, logger: Logger
    ) {
        self.loop = loop
        appliedIndex = raft.appliedIndex
        disclosure = Disclosure(of: raft)
        diskWatch = DiskWatch(electionTicks: raft.configuration.electionTicks)
        self.raft = raft
        self.log = log
        self.applyLane = applyLane
        self.readLane = readLane
        self.replies = replies
        self.peers = peers
        self.figures = figures
        self.logger = logger
    }

    // MARK: Turns

    /// Takes one event; its immediate answers go to `answer`, the rest waits for the end of the turn.
    func step(_ event: Event, answer: (Effect) -> Void = { _ in }) {
        guard !isStopped else { return }
        let before = effects.count
        raft.step(event, into: &effects)
        while effects.count > before {
            let effect = effects.remove(at: before)
            switch effect {
            case .proposed, .dropped, .configured: answer(effect)
            default: perform(effect)
            }
        }
    }

    /// Asks for the end of the turn: once all sockets that are readable now have been read, so that their frames share it.
    func turn() {
        guard !isTurnDue else { return }
        isTurnDue = true
        loop.execute { self.endTurn() }
    }

    /// Ends the turn: proposes, reads, collects and carries out.
    private func endTurn() {
        isTurnDue = false
        guard !isStopped else { return replies.flush() }
        proposeGathered()
        startReadRound()
        step(.collect)
        while let operation = finished.popLast() {
            deliver(operation.responses)
            step(.persisted(through: operation.sequence))
            step(.collect)
        }
        peers.flush()
        replies.flush()
    }

    /// Whether more commands may go into the log now. While several writes are under way, commands wait for the next:
    /// a larger batch costs followers, log and apply less than many small ones.
    var mayPropose: Bool { persists.count < 3 }

    /// One tick of the clock: a heartbeat interval.
    func tick(now: NIODeadline) {
        step(.tick)
        expireReads(now: now)
        settleTransfer(now: now)
        watchDisk()
        turn()
    }

    /// A message of a peer.
    func receive(_ message: Message) {
        if message.kind == .heartbeatResponse || message.kind == .appendEntriesResponse {
            answeredAt[message.from] = .now()
        }
        step(.receive(message))
        turn()
    }

    private func perform(_ effect: Effect) {
        switch effect {
        case .persist(let operation):
            persist(operation)
        case .send(let message):
            if isDeferrable(message) { postpone(message) } else { send(message) }
        case .apply(let entries):
            apply(entries)
        case .readReady(let index, let context):
            readReady(index: index, context: context)
        case .leadership(let leadership):
            leadershipChanged(leadership)
        case .readLog(let node, let first, let bytesMax):
            readLog(for: node, first: first, bytesMax: bytesMax)
        case .snapshotNeeded(let node, let index):
            snapshotNeeded(for: node, atLeast: index)
        case .proposed, .dropped, .configured:
            break
        }
    }

    /// Hands a write to the log thread. Keeps (3).
    private func persist(_ operation: Persist) {
        if !operation.requiresSync, operation.entries.isEmpty, persists.isEmpty, !raft.isSoleVoterAmongOthers {
            // Only the commit index rose, and nothing is on its way to the disk: what the responses promise is durable, and the
            // commit index is found again from the rows or the next leader (paper §5.3). Two wake-ups of threads are saved.
            if let hardState = operation.hardState { unwritten = hardState }
            finished.append(operation)
            return
        }
        var operation = operation
        operation.hardState = operation.hardState ?? unwritten
        unwritten = nil
        persists.append((operation.sequence, operation.hardState, operation.responses))
        if install != nil || operation.snapshot != nil { return hold(operation) }
        write(operation)
    }

    /// Gives a write to the log. The log counts in halves, so that the two parts of an install can be told apart.
    func write(_ operation: Persist) {
        log.submit(
            .persist(sequence: operation.sequence * 2, hardState: operation.hardState, entries: operation.entries))
    }

    private func send(_ message: Message) {
        // Both tell the commit index: an append always, a heartbeat as far as the follower is known to hold.
        if message.kind == .appendEntries || message.kind == .heartbeat { deferred[message.to] = nil }
        guard let disclosed = disclosure.disclosed(message, by: raft) else { return }
        if !peers.send(disclosed) { unreachable(message.to) }
    }

    // MARK: Commit indexes

    /// Whether a message only tells a follower that replicates well how far is committed. The next append tells it too, so it
    /// waits a moment for one: under load such messages vanish, and with them a wake-up and an answer a follower each.
    private func isDeferrable(_ message: Message) -> Bool {
        message.kind == .appendEntries && message.entries.isEmpty
            && raft.progress(of: message.to)?.state == .replicate
    }

    private func postpone(_ message: Message) {
        deferred[message.to] = message
        guard !isDeferredFlushDue else { return }
        isDeferredFlushDue = true
        loop.assumeIsolated().scheduleTask(in: Self.commitDelay) { self.sendDeferred() }
    }

    private func sendDeferred() {
        isDeferredFlushDue = false
        guard !isStopped else { return }
        for message in deferred.sorted(by: { $0.key < $1.key }).map({ $0.value }) { send(message) }
        turn()
    }

    /// How long a commit index waits for an append that tells it.
    private static let commitDelay = TimeAmount.milliseconds(1)

    // MARK: From other threads

    /// The log made everything through `logSequence` durable. Keeps (3).
    func persisted(through logSequence: UInt64) {
        guard !isStopped else { return }
        swapIfDue(logSequence)
        let sequence = logSequence / 2
        var ready: [Message] = []
        while let first = persists.first, first.sequence <= sequence {
            ready.append(contentsOf: disclosure.wrote(first.hardState) + first.responses)
            persists.removeFirst()
        }
        deliver(ready)
        step(.persisted(through: sequence))
        turn()
    }

    private func deliver(_ responses: [Message]) {
        for message in responses {
            if message.to == raft.id { step(.receive(message)) } else { send(message) }
        }
    }

    /// The apply thread wrote a group of entries through `index`.
    func applied(
        through index: LogIndex, outcomes: [CommandOutcome], configurations: [ConfigurationOutcome] = []
    ) {
        guard !isStopped else { return }
        appliedIndex = index
        answer(outcomes)
        for outcome in configurations { configured(outcome) }
        step(.applied(through: index))
        show(index)
        turn()
    }

    /// Rows through `index` are visible: lets go what waits for them.
    func show(_ index: LogIndex) {
        appliedIndex = index
        releaseReads()
        var left: [(index: LogIndex, resume: @Sendable () -> Void)] = []
        for waiter in appliedWaiters {
            if waiter.index <= index { waiter.resume() } else { left.append(waiter) }
        }
        appliedWaiters = left
    }

    /// Calls `resume` once rows are applied through `index`, or the replica is stopped.
    func whenApplied(_ index: LogIndex, resume: @escaping @Sendable () -> Void) {
        if isStopped || appliedIndex >= index { resume() } else { appliedWaiters.append((index, resume)) }
    }

    /// Stops taking events; replies that wait are told that their outcome is unknown.
    func stop(_ error: HoldfastError) {
        guard !isStopped else { return }
        failProposals(error)
        failReads(error)
        failTransfer("the node stopped before node \(transfer?.target ?? noNode) took over")
        isStopped = true
        for waiter in appliedWaiters { waiter.resume() }
        appliedWaiters = []
    }

    // MARK: Carrying out

    private func apply(_ entries: [Entry]) {
        var committed: [CommittedEntry] = []
        committed.reserveCapacity(entries.count)
        for entry in entries {
            committed.append(CommittedEntry(index: entry.index, term: entry.term, content: content(of: entry)))
        }
        applyLane.submit(committed)
    }

    private func content(of entry: Entry) -> CommittedEntry.Content {
        guard entry.isConfigurationChange else { return .normal(entry.data) }
        guard let change = ConfigurationChange(entry) else { return .configuration(nil) }
        unapplied[entry.index] = change
        return .configuration(MembershipChange(change))
    }

    /// Lets an applied configuration change take effect in consensus, or not. Keeps (6).
    private func configured(_ outcome: ConfigurationOutcome) {
        let change = unapplied.removeValue(forKey: outcome.index)
        // A snapshot that is being installed brought its own members, and they are newer.
        if let change, outcome.refusal == nil, outcome.index > raft.installing ?? 0 {
            var members: Members?
            step(.configurationApplied(change)) { effect in
                if case .configured(let state) = effect { members = Members(state) }
            }
            precondition(
                members == outcome.members,
                "after the change at \(outcome.index) consensus has the members \(String(describing: members)), the state machine "
                    + "\(outcome.members)")
            if !outcome.members.isJoint { settle() }
        }
        changes.removeValue(forKey: outcome.index)?(.success(outcome))
    }

    /// Puts an empty entry behind a configuration change that took effect. In an idle cluster nothing else would come after it, its commit
    /// would be known in memory only, and after a crash the members that are left would ask those that went for their votes. Keeps (5).
    private func settle() {
        guard raft.role == .leader else { return }
        step(.propose([[]])) { effect in
            // Refused only where another node is about to lead: it begins with an empty entry of its own.
            if case .proposed(let first, _, _) = effect { settling = first }
        }
    }

    private func readLog(for node: NodeID, first: LogIndex, bytesMax: Int) {
        let last = raft.lastIndex
        let log = self.log
        let logger = self.logger
        readLane.submit { [weak self] _, _ in
            var entries: [Entry] = []
            do {
                entries = try log.read(from: first, to: last, bytesMax: bytesMax)
            } catch {
                logger.error("log read failed", metadata: ["index": "\(first)", "error": "\(error)"])
            }
            let found = entries
            guard let self else { return }
            loop.execute {
                self.step(.logRead(to: node, first: first, entries: found))
                self.turn()
            }
        }
    }

    private func leadershipChanged(_ leadership: Leadership) {
        if leadership.role != .leader {
            failProposals(
                HoldfastError(
                    .outcomeUnknown,
                    "the leader changed before the answer; ask again to learn whether it happened"))
        }
        retryReads()
        settleTransfer(now: .now())
        // In the middle of a turn's effects: the reads are asked for again in the next one.
        turn()
        figures.leaderChanges.increment()
        onLeadership(leadership)
    }
}

/// Where consensus messages go.
protocol ConsensusPeers: AnyObject {
    /// Queues a message; false where the peer is not connected or its queue is full.
    func send(_ message: Message) -> Bool
    /// Hands everything queued to the sockets.
    func flush()
    /// Whether frames to the node go out now.
    func isConnected(_ node: NodeID) -> Bool
    /// The node's address, where it is known.
    func endpoint(of node: NodeID) -> String?
}
