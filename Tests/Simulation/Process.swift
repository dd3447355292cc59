internal import RaftCore
internal import ReplicaCore
internal import Storage

/// One life of a node: the real consensus, state machine and log store, driven as the product's replica drives them, over simulated time.
///
/// Invariants (those of the product's driver):
/// 1. A ticket in `proposals` is answered once: by its outcome, or as unknown when this node stops leading.
/// 2. Responses inside a persist operation leave only after the simulated disk completed its sequence.
/// 3. At most one read round is on its way.
/// 4. An entry is applied after it is durable here, and its outcome is shown after its rows are written.
final class Process {
    unowned let world: World
    unowned let node: SimulatedNode
    let life: UInt32
    let log: LogStore
    var raft: Raft
    var applier: Applier
    /// Rows as this process reads them; a crash goes back to `node.durableRows`.
    var rows: SimulatedRows
    /// The last index that the log held at the start: nothing is swept before it is applied.
    let startIndex: LogIndex

    var effects: [Effect] = []
    var finished: [Persist] = []
    var persists: [(sequence: UInt64, hardState: HardState?, responses: [Message])] = []
    /// What may leave before its own write has ended.
    var disclosure: Disclosure
    /// Operations that wait for the log, and those that are being written.
    var queued: [LogOperation] = []
    /// Operations that an install of a snapshot comes before.
    var heldBack: [LogOperation] = []
    var batch: [LogOperation]?
    var batchSequence: UInt64?
    var isHeaderFlushDue = false
    var isLogRetryDue = false
    var isTurnDue = false

    /// A commit index that was not written: it goes with the next entries, so that whoever holds an entry knows the commit index before it.
    var unwritten: HardState?
    /// Configuration changes given to apply, which may still find that they do nothing.
    var unapplied: [LogIndex: ConfigurationChange] = [:]
    var applyQueue: [CommittedEntry] = []
    var isApplying = false
    var appliedIndex: LogIndex
    var flushedIndex: LogIndex
    var isFlushing = false
    var flushing: (rows: SimulatedRows, index: LogIndex)?
    var sweepIsDue = true

    var gathered: [(envelope: [UInt8], ticket: Ticket)] = []
    var proposals: [LogIndex: [Ticket]] = [:]
    var reads = ReadQueue()
    /// The rule by which a leader sees that its disk stands still: the product's own.
    var diskWatch: DiskWatch
    /// Through where this node must hold everything before it votes again, as a leader named it.
    var repairIndex: LogIndex?
    /// Writes begun; names the wait for the disk in progress.
    var batches: UInt64 = 0

    /// The snapshot that is being fetched or installed.
    var install: Install?
    /// The checkpoint that is offered to followers.
    var offered: Checkpoint?
    var isCheckpointDue = false

    var publishes: [PublishRun] = []
    var fetching: Set<ChunkID> = []
    /// The part in a pair of sites; nil in a cluster by itself.
    private(set) var site: SitePart?

    /// What the checkers saw last.
    var seenCommit: LogIndex
    var seenLeadership: Leadership

    init(
        world: World, node: SimulatedNode, log: LogStore, raft: consuming Raft, applier: Applier, rows: SimulatedRows
    ) {
        self.world = world
        self.node = node
        self.log = log
        life = node.life
        appliedIndex = raft.appliedIndex
        flushedIndex = raft.appliedIndex
        diskWatch = DiskWatch(electionTicks: raft.configuration.electionTicks)
        startIndex = raft.lastIndex
        seenCommit = raft.commitIndex
        disclosure = Disclosure(of: raft)
        seenLeadership = raft.leadership
        self.raft = raft
        self.applier = applier
        self.rows = rows
        if let sites = world.sites { site = SitePart(process: self, sites: sites) }
    }

    var id: NodeID { node.id }

    /// Whether this process has ended, perhaps in the middle of what it was doing.
    var isOver: Bool { node.life != life }

    // MARK: turns

    /// Takes one event; its immediate answers go to `answer`, the rest waits for the end of the turn.
    func step(_ event: Event, answer: (Effect) -> Void = { _ in }) {
        guard !isOver else { return }
        let before = effects.count
        raft.step(event, into: &effects)
        guard effects.count > before else { return }
        let taken = Array(effects[before...])
        effects.removeSubrange(before...)
        for effect in taken {
            switch effect {
            case .proposed, .dropped, .configured: answer(effect)
            default: perform(effect)
            }
        }
    }

    /// Ends the turn now, or soon where turns gather events.
    func turn() {
        guard !isOver else { return }
        guard world.climate.turnDelay > 0 else { return endTurn() }
        guard !isTurnDue else { return }
        isTurnDue = true
        world.schedule(.turn(id, life), after: world.climate.turnDelay)
    }

    /// Proposes, reads, collects and carries out.
    func endTurn() {
        isTurnDue = false
        guard !isOver else { return }
        proposeGathered()
        startReadRound()
        step(.collect)
        while let operation = finished.popLast() {
            deliver(operation.responses)
            step(.persisted(through: operation.sequence))
            step(.collect)
        }
        if !isOver { world.observe(self) }
    }

    private func perform(_ effect: Effect) {
        guard !isOver else { return }
        switch effect {
        case .persist(let operation): persist(operation)
        case .send(let message): send(message)
        case .apply(let entries): apply(entries)
        case .readReady(let index, let context): readReady(index: index, context: context)
        case .leadership(let leadership): leadershipChanged(leadership)
        case .readLog(let target, let first, let bytesMax):
            world.schedule(.logRead(id, life, for: target, first: first, bytesMax: bytesMax), after: 300)
        case .snapshotNeeded(_, let index): makeCheckpoint(atLeast: index)
        case .proposed, .dropped, .configured: break
        }
    }

    func send(_ message: Message) {
        guard !isOver else { return }
        guard let disclosed = disclosure.disclosed(message, by: raft) else { return }
        if let objection = node.durable.objection(to: disclosed) { world.fail(objection) }
        if message.kind == .installSnapshot, let snapshot = message.snapshot {
            world.schedule(.snapshotOverdue(id, life, to: message.to, snapshot.index), after: 4_000_000)
        }
        if !world.send(disclosed) { step(.unreachable(message.to)) }
    }

    /// Keeps (2).
    func deliver(_ responses: [Message]) {
        for message in responses {
            guard message.to == raft.id else {
                send(message)
                continue
            }
            if let objection = node.durable.objection(to: message) { world.fail(objection) }
            step(.receive(message))
        }
    }

    // MARK: events

    func tick() {
        step(.tick)
        reads.age += 1
        if reads.age > 8 { retryReads() }
        watchDisk()
        turn()
    }

    func receive(_ message: Message) {
        if message.kind == .installSnapshot {
            fetchSnapshot(message)
        } else {
            step(.receive(message))
        }
        turn()
    }

    func readLog(for target: NodeID, first: LogIndex, bytesMax: Int) {
        var entries: [Entry] = []
        do throws(LogError) {
            entries = try log.read(from: first, to: raft.lastIndex, bytesMax: bytesMax)
        } catch {
            world.note { "node \(self.id) cannot read its log from \(first): \(error)" }
        }
        step(.logRead(to: target, first: first, entries: entries))
        turn()
    }

    private func leadershipChanged(_ leadership: Leadership) {
        if leadership.role != .leader {
            failProposals()
            publishes.removeAll()
        }
        retryReads()
    }

    /// A leader whose disk stalls for longer than any election timeout hands over. A log that waits for room waits for its disk too.
    private func watchDisk() {
        let wait = batch != nil ? 2 * batches : isLogRetryDue ? 2 * batches + 1 : 0
        let isStalled = diskWatch.tick(waitingSince: wait)
        guard isStalled, raft.role == .leader, raft.transferee == noNode, let successor else { return }
        step(.transferLeadership(to: successor))
    }

    /// The voter that would take over best: connected, and with the longest log.
    var successor: NodeID? {
        raft.followers
            .filter { $0.id != raft.id && raft.confState.voters.contains($0.id) && world.isConnected(raft.id, $0.id) }
            .max { $0.match < $1.match }?.id
    }
}
