internal import RaftCore
internal import ReplicaCore
internal import Storage

/// A whole cluster in one process: nodes, network, disks, clocks and customers, moved by one queue of events and by nothing else. The same seed gives the same
/// world, event by event.
///
/// Phase one is the storm: customers work while faults strike, and the checkers look after every event. Phase two heals everything and demands progress and
/// equality.
///
/// Invariants:
/// 1. Nothing here reads a clock, an address, or the order of a dictionary or set.
/// 2. Faults roll dice of their own, so that leaving some of them out leaves the rest as they were.
package final class World {
    package let seed: UInt64
    package let climate: Climate
    /// Faults beyond this number are left out.
    let faultsMax: Int
    let teller: ((String) -> Void)?

    package internal(set) var now: Instant = 0
    var queue = EventQueue<Happening>()
    var dice: Dice
    var faultDice: Dice
    var network = Network()
    /// By ID from 1.
    private(set) var nodes: [SimulatedNode] = []
    var customers: [any Customer] = []
    private var checkpoints: [Checkpoint] = []

    var checks = Checks()
    /// The first breach of a rule, which ends the world.
    package private(set) var violation: String?
    package private(set) var events = 0
    package internal(set) var faults = 0
    package internal(set) var kindsSeen: UInt32 = 0
    /// The hash of all events so far.
    package private(set) var traceHash: UInt64 = 0
    /// Whether phase two has begun.
    var isCalm = false
    /// When the operator last asked for a change of the membership.
    var lastChange: Instant = 0
    /// Changes that were asked for and may still be in somebody's log: where, and the voters that they lead to.
    var unsettledChanges: [(index: UInt64, voters: [UInt64])] = []
    /// When phase two began.
    var calmSince: Instant = 0
    /// The next weather's number; an older one's end is ignored.
    var weathers: UInt64 = 0
    package private(set) var isOver = false
    /// The two sites that this cluster is one of, and which; nil for a cluster by itself.
    unowned let sites: TwoSites?
    let place: Int
    /// Counts what happened to the history that customers were told of: rewinds, and disks that were set back.
    var branch: UInt64 = 0

    /// Makes the world of a seed; `teller` gets its story, line by line.
    package init(seed: UInt64, faultsMax: Int = .max, teller: ((String) -> Void)? = nil) {
        self.seed = seed
        self.faultsMax = faultsMax
        self.teller = teller
        sites = nil
        place = 0
        var dice = Dice(seed: seed)
        climate = Climate(&dice)
        faultDice = dice.split()
        self.dice = dice.split()
        note { "\(self.climate)" }
        found()
        for _ in 0..<climate.clients { customers.append(Client(world: self, number: customers.count)) }
        for _ in 0..<climate.pushers { customers.append(Pusher(world: self, number: customers.count)) }
        for number in customers.indices { schedule(.wake(number), after: dice.between(500_000, 2_000_000)) }
        schedule(.fault, after: 1_000_000)
        schedule(.calm, after: climate.stormLength)
    }

    /// Makes one of two sites, whose time, customers and calm are those of the pair.
    init(_ place: Int, of sites: TwoSites, climate: Climate, seed: UInt64, teller: ((String) -> Void)?) {
        self.seed = seed
        self.climate = climate
        self.teller = teller
        self.sites = sites
        self.place = place
        faultsMax = sites.faultsMax
        var dice = Dice(seed: seed)
        faultDice = dice.split()
        self.dice = dice.split()
        note { "\(self.climate)" }
    }

    /// Starts the cluster's first nodes.
    func found() {
        let first = Members(voters: (1...UInt64(climate.voters)).map { $0 })
        for _ in 1...climate.voters { start(addNode(first)) }
    }

    /// Runs to the end of the world; nil if every rule held.
    package func run() -> String? { run { false } }

    /// Runs until `isReached`, asked after every event, or to the end of the world; nil if every rule held.
    package func run(until isReached: () -> Bool) -> String? {
        while !isOver, takeNext() {
            if violation != nil || isReached() { break }
        }
        return violation
    }

    /// Lets the next event happen; false if there is none.
    func takeNext() -> Bool {
        guard let (time, happening) = queue.next() else { return false }
        now = time
        events += 1
        traceHash = mix(traceHash, mix(happening.code, time))
        dispatch(happening)
        return true
    }

    // MARK: events

    func schedule(_ happening: Happening, after delay: UInt64) { queue.add(happening, at: now + delay) }

    private func dispatch(_ happening: Happening) {
        if let (id, life) = happening.process {
            let node = node(id)
            guard let process = node.process, node.life == life else { return }
            guard !postpones(happening, node) else { return }
            dispatch(happening, to: process)
            return
        }
        switch happening {
        case .deliver(let message):
            let node = node(message.to)
            guard let process = node.process, !postpones(happening, node) else { return }
            note { "\(message.from) → \(message.to) \(self.text(message))" }
            process.receive(message)
        case .plane(let from, let to, let message):
            let node = node(to)
            guard let process = node.process, !postpones(happening, node) else { return }
            process.receive(message, from: from)
        case .request(let id, let request):
            let node = node(id)
            guard let process = node.process, !postpones(happening, node) else { return }
            take(request, process)
        case .answer(let ticket, let answer, let from):
            if ticket.customer >= 0 { customers[ticket.customer].hears(answer, ticket.call, from: from) }
        case .wake(let number): customers[number].wake()
        case .start(let id, let life):
            let node = node(id)
            if node.process == nil, node.life == life, !node.isGone { start(node) }
        case .fault: strike()
        case .weatherEnds(let kind, let number): endWeather(kind, number)
        case .operate: operate()
        case .calm: calmDown()
        case .verdict: judge()
        default: preconditionFailure("an event of a process")
        }
    }

    private func dispatch(_ happening: Happening, to process: Process) {
        switch happening {
        case .tick:
            schedule(happening, after: climate.tick * process.node.tickScale / 1000)
            process.tick()
        case .turn: process.endTurn()
        case .written: process.written()
        case .logRetry:
            process.isLogRetryDue = false
            process.startBatch()
        case .headersDue: process.flushHeaders()
        case .applied: process.applied()
        case .care:
            schedule(happening, after: climate.careGap)
            process.care()
        case .rowsFlushed: process.rowsFlushed()
        case .logRead(_, _, let target, let first, let bytesMax):
            process.readLog(for: target, first: first, bytesMax: bytesMax)
        case .checkpointDue: process.checkpointMade()
        case .snapshotOverdue(_, _, let target, let index): process.snapshotOverdue(to: target, index)
        case .snapshotFetched: process.snapshotFetched()
        case .rowsSwapped: process.rowsSwapped()
        case .chunkWritten(_, _, let chunk, let ticket): process.chunkWritten(chunk, ticket)
        case .unlink(_, _, let chunks): process.unlink(chunks)
        case .peerGone(_, _, let peer): process.peerGone(peer)
        case .siteDue: process.site?.due()
        case .siteOutcome(_, _, let call, let answer): process.site?.proposed(call, answer)
        default: preconditionFailure("an event of no process")
        }
    }

    /// A paused process gets its events when it goes on.
    private func postpones(_ happening: Happening, _ node: SimulatedNode) -> Bool {
        guard node.pausedUntil > now else { return false }
        queue.add(happening, at: node.pausedUntil)
        return true
    }

    private func take(_ request: Request, _ process: Process) {
        switch request {
        case .command(let envelope, let ticket): process.propose(envelope, ticket)
        case .read(let read): process.read(read)
        case .have(let upload, let ticket): process.have(upload, ticket)
        case .store(let upload, let ordinal, let chunk, let ticket):
            process.store(upload, ordinal: ordinal, chunk, ticket)
        case .publish(let publication, let ticket): process.publish(publication, ticket)
        case .word(let epoch, let site): process.site?.hears(of: epoch, begunBy: site)
        }
    }

    // MARK: nodes

    func node(_ id: NodeID) -> SimulatedNode { nodes[Int(id) - 1] }

    /// A node that never was, with an empty disk; its configuration is the cluster's first.
    func addNode(_ first: Members) -> SimulatedNode {
        let node = SimulatedNode(id: NodeID(nodes.count + 1))
        nodes.append(node)
        do {
            try LogStore.format(directory: "", identity: node.id, options: logOptions(node))
            node.disk.complete()
            var batch = WriteBatch()
            Applier.format(members: first, into: &batch)
            try node.durableRows.write(batch)
        } catch {
            fail("node \(node.id) cannot be formatted: \(error)")
        }
        return node
    }

    func logOptions(_ node: SimulatedNode) -> LogOptions {
        var options = LogOptions()
        options.segmentBytes = climate.segmentBytes
        options.headerSlots = 128
        options.spareSegments = 2
        options.freeSegmentsMax = 3
        options.writeBytesMax = 16_384
        options.files = node.disk
        return options
    }

    // MARK: network

    /// Sends a message; false where the link is known to be down.
    func send(_ message: Message) -> Bool {
        let (first, second) = network.arrivals(message.from, message.to, now: now, climate: climate, &dice)
        if let first { queue.add(.deliver(message), at: first) }
        if let second { queue.add(.deliver(message), at: second) }
        return first != nil || isConnected(message.from, message.to) || dice.chance(perMille: 500)
    }

    func send(_ message: PlaneMessage, _ from: NodeID, _ to: NodeID) {
        let (first, second) = network.arrivals(from, to, now: now, climate: climate, &dice)
        if let first { queue.add(.plane(from, to, message), at: first) }
        if let second { queue.add(.plane(from, to, message), at: second) }
    }

    /// Whether both ways between two running nodes are open.
    func isConnected(_ from: NodeID, _ to: NodeID) -> Bool {
        node(to).isRunning && network.isOpen(from, to) && network.isOpen(to, from)
    }

    /// A customer's request goes to a node; it may be lost like any message.
    func request(_ request: Request, to id: NodeID) {
        guard !dice.chance(perMille: network.lossPerMille) else { return }
        schedule(.request(id, request), after: network.delay(climate, &dice))
        if dice.chance(perMille: network.duplicationPerMille) {
            schedule(.request(id, request), after: network.delay(climate, &dice))
        }
    }

    func answer(_ ticket: Ticket, _ answer: Answer, from id: NodeID) {
        guard ticket != .nobody else { return }
        if let node = ticket.node {
            return schedule(.siteOutcome(node, self.node(node).life, ticket.call, answer), after: 50)
        }
        guard !dice.chance(perMille: network.lossPerMille) else { return }
        schedule(.answer(ticket, answer, from: id), after: network.delay(climate, &dice))
    }

    // MARK: checkpoints

    /// Keeps a checkpoint under a new number.
    func keep(_ make: (UInt64) -> Checkpoint) -> Checkpoint {
        let checkpoint = make(UInt64(checkpoints.count))
        checkpoints.append(checkpoint)
        return checkpoint
    }

    /// The checkpoint that a snapshot's data names.
    func checkpoint(_ data: [UInt8]) -> Checkpoint? {
        guard data.count == 8 else { return nil }
        let number = data.withUnsafeBytes { $0.loadUnaligned(as: UInt64.self) }
        return number < UInt64(checkpoints.count) ? checkpoints[Int(number)] : nil
    }

    // MARK: story and end

    /// Adds a line to the story; the text is made only if somebody listens.
    func note(_ line: () -> String) {
        if let teller { teller("\(Double(now) / 1_000_000)s #\(events) \(line())") }
    }

    /// A rule was broken: the world ends.
    func fail(_ rule: String) {
        if violation == nil { violation = rule }
        note { "VIOLATION: \(rule)" }
    }

    func end() { isOver = true }

    private func text(_ message: Message) -> String {
        var text = "\(message.kind) term \(message.term)"
        switch message.kind {
        case .appendEntries:
            text +=
                " after \(message.logTerm)/\(message.index), \(message.entries.count) entries, commit \(message.commit)"
        case .appendEntriesResponse:
            text += message.reject ? " refused at \(message.index)" : " through \(message.index)"
        case .requestVote, .requestPreVote: text += " log ends \(message.logTerm)/\(message.index)"
        case .requestVoteResponse, .requestPreVoteResponse: text += message.reject ? " no" : " yes"
        case .installSnapshot: text += " at \(message.snapshot?.index ?? 0)"
        default: break
        }
        return text
    }
}
