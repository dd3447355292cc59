@testable internal import RaftCore

/// A seeded generator (xorshift64*), so that a failing run can be repeated.
struct Dice {
    private var state: UInt64

    init(seed: UInt64) {
        state = seed &* 0x9E37_79B9_7F4A_7C15 | 1
    }

    mutating func roll(_ bound: Int) -> Int {
        state ^= state >> 12
        state ^= state << 25
        state ^= state >> 27
        return Int((state &* 0x2545_F491_4F6C_DD1D) >> 33) % bound
    }
}

/// What survives a crash of a simulated node.
struct Disk {
    var hardState = HardState()
    var compacted = EntryID(term: 0, index: 0)
    var entries: [Entry] = []
    var applied: LogIndex = 0
    var configuration = ConfState()
    /// The log was damaged and begun anew.
    var withholdsVotes = false

    var lastIndex: LogIndex { compacted.index + UInt64(entries.count) }

    mutating func write(_ persist: Persist) {
        if let state = persist.hardState { hardState = state }
        if let snapshot = persist.snapshot {
            compacted = snapshot.id
            entries = []
            applied = snapshot.index
            configuration = snapshot.configuration
        }
        if let first = persist.entries.first {
            precondition(first.index > compacted.index && first.index <= lastIndex + 1, "a gap in the log")
            entries.replaceSubrange(Int(first.index - compacted.index - 1)..., with: persist.entries)
        }
    }

    mutating func compact(through index: LogIndex) {
        let count = Int(index - compacted.index)
        compacted = entries[count - 1].id
        entries.removeFirst(count)
    }

    func read(from first: LogIndex, bytesMax: Int) -> [Entry] {
        guard first > compacted.index, first <= lastIndex else { return [] }
        var taken: [Entry] = []
        var bytes = 0
        for entry in entries[Int(first - compacted.index - 1)...] {
            bytes += entry.encodedSize
            if bytes > bytesMax && !taken.isEmpty { break }
            taken.append(entry)
        }
        return taken
    }

    var start: RaftStart {
        var start = RaftStart()
        start.hardState = hardState
        start.configuration = configuration
        start.applied = applied
        start.compacted = compacted
        start.lastIndex = lastIndex
        start.tail = entries
        start.withholdsVotes = withholdsVotes
        return start
    }
}

/// A node of the simulation: a core, its disk, and writes and entries that are under way.
final class SimulatedNode {
    let settings: RaftConfiguration
    private(set) var raft: Raft
    var disk: Disk
    var writes: [Persist] = []
    var applies: [[Entry]] = []
    private var starts: UInt64 = 0

    init(settings: RaftConfiguration, disk: Disk) {
        self.settings = settings
        self.disk = disk
        raft = Raft(configuration: settings, start: disk.start)
    }

    var id: NodeID { settings.id }

    /// What a follower of this leader answers when it holds everything through `index`.
    func acknowledgement(from node: NodeID, of index: LogIndex) -> Message {
        Message(
            .appendEntriesResponse, to: id, from: node, term: raft.term, index: index,
            session: raft.progress(of: node)?.session ?? 0)
    }

    /// Loses everything that was not on disk.
    func restart() {
        starts += 1
        writes = []
        applies = []
        var settings = settings
        settings.seed = settings.id &* 1000 &+ starts
        raft = Raft(configuration: settings, start: disk.start)
    }

    func step(_ event: Event) -> [Effect] {
        var effects: [Effect] = []
        raft.step(event, into: &effects)
        return effects
    }
}

/// A cluster in one process whose network, disks and clocks are at the mercy of dice; it checks Raft's safety properties
/// (paper figure 3) after every step and reports what it finds in `violations`.
final class Simulation {
    private(set) var nodes: [SimulatedNode] = []
    private var mail: [Message] = []
    private(set) var violations: [String] = []
    /// Every applied entry, by index from 1.
    private(set) var history: [Entry] = []
    private var leaders: [Term: NodeID] = [:]
    private var reads: [UInt64: LogIndex] = [:]
    private var nextContext: UInt64 = 0
    private(set) var readsAnswered = 0

    init(voters: [NodeID], count: Int, adjust: (inout RaftConfiguration) -> Void = { _ in }) {
        for id in 1...NodeID(count) {
            var settings = RaftConfiguration(id: id)
            settings.seed = id
            adjust(&settings)
            var disk = Disk()
            // Also on nodes that join later: it is the configuration that the log starts from.
            disk.configuration = ConfState(voters: voters)
            nodes.append(SimulatedNode(settings: settings, disk: disk))
        }
    }

    subscript(_ id: NodeID) -> SimulatedNode { nodes[Int(id) - 1] }

    var leader: SimulatedNode? {
        nodes.filter { $0.raft.role == .leader }.max { $0.raft.term < $1.raft.term }
    }

    /// Steps a node and ends its turn.
    func step(_ id: NodeID, _ event: Event) {
        perform(self[id].step(event) + self[id].step(.collect), of: self[id])
        check(self[id])
    }

    private func perform(_ effects: [Effect], of node: SimulatedNode) {
        for effect in effects {
            switch effect {
            case .persist(let persist): node.writes.append(persist)
            case .send(let message): mail.append(message)
            case .apply(let entries): node.applies.append(entries)
            case .readReady(let index, let context):
                finishRead(index, context)
                // Only the word of the leader that forgot counts, of the term in which it did.
                if let asked = recovery, asked.context == context, asked.leader == node.id,
                    node.raft.role == .leader, node.raft.term == asked.term
                {
                    recovery?.index = index
                }
            case .readLog(let target, let first, let bytesMax):
                let entries = node.disk.read(from: first, bytesMax: bytesMax)
                perform(node.step(.logRead(to: target, first: first, entries: entries)), of: node)
            case .leadership(let now):
                if now.role == .leader { lead(now.term, node) }
            case .snapshotNeeded, .proposed, .dropped, .configured: break
            }
        }
    }

    // MARK: what the dice choose from

    func propose(_ id: NodeID, _ bytes: [UInt8]) { step(id, .propose([bytes])) }

    func read(_ id: NodeID) {
        nextContext += 1
        reads[nextContext] = nodes.map { $0.raft.commitIndex }.max() ?? 0
        step(id, .readIndex(context: nextContext))
    }

    /// Ends the oldest write of a node.
    func finishWrite(_ id: NodeID) {
        let node = self[id]
        guard !node.writes.isEmpty else { return }
        let persist = node.writes.removeFirst()
        node.disk.write(persist)
        for response in persist.responses {
            if response.to == id { step(id, .receive(response)) } else { mail.append(response) }
        }
        step(id, .persisted(through: persist.sequence))
    }

    /// Ends the oldest application of a node.
    func finishApply(_ id: NodeID) {
        let node = self[id]
        guard !node.applies.isEmpty else { return }
        let entries = node.applies.removeFirst()
        for entry in entries where entry.index > node.disk.applied {
            record(entry, node)
            node.disk.applied = entry.index
            if let change = ConfigurationChange(entry) {
                step(id, .configurationApplied(change))
                node.disk.configuration = node.raft.confState
            }
        }
        if let last = entries.last { step(id, .applied(through: last.index)) }
    }

    /// Forgets the log through the applied index.
    func compact(_ id: NodeID) {
        let node = self[id]
        let index = node.raft.appliedIndex
        guard index > node.disk.compacted.index, index <= node.disk.lastIndex,
            node.writes.allSatisfy({ $0.snapshot == nil }),
            index == node.disk.applied
        else { return }
        node.disk.compact(through: index)
        step(
            id,
            .snapshotAvailable(
                Snapshot(
                    index: index, term: node.disk.compacted.term, configuration: node.disk.configuration)))
        step(id, .compacted(through: index))
    }

    /// Loses the log of a node but for what it has applied, as damage does, unless another node's is lost already.
    func damage(_ id: NodeID) {
        guard nodes.allSatisfy({ !$0.disk.withholdsVotes || $0.id == id }) else { return }
        let node = self[id]
        let applied = node.disk.applied
        if applied >= node.disk.compacted.index {
            if applied > node.disk.compacted.index { node.disk.compact(through: applied) }
            node.disk.entries = []
        }
        node.disk.hardState.commit = node.disk.compacted.index
        node.disk.withholdsVotes = true
        recovery = nil
        node.restart()
    }

    /// A leader forgets what the damaged node acknowledged, and then asks for a read index.
    func forget(at leader: NodeID) {
        guard let damaged = nodes.first(where: { $0.disk.withholdsVotes }), damaged.id != leader,
            self[leader].raft.role == .leader
        else { return }
        step(leader, .progressForgotten(of: damaged.id))
        read(leader)
        recovery = Recovery(context: nextContext, leader: leader, term: self[leader].raft.term)
    }

    /// The damaged node has its vote again once it holds what the leader's index says.
    func recover() {
        guard let damaged = nodes.first(where: { $0.disk.withholdsVotes }), let index = recovery?.index,
            damaged.raft.holds(committedThrough: index)
        else { return }
        damaged.disk.withholdsVotes = false
        recovery = nil
        recovered += 1
        step(damaged.id, .votesAllowed)
    }

    /// What is known of the way back of the damaged node.
    private struct Recovery {
        var context: UInt64
        var leader: NodeID
        var term: Term
        var index: LogIndex?
    }

    private var recovery: Recovery?
    /// How often a damaged node has its vote again.
    private(set) var recovered = 0

    /// Delivers, duplicates or loses a message; out of 100.
    func deliver(_ dice: inout Dice, lossPercent: Int, duplicatePercent: Int) {
        guard !mail.isEmpty else { return }
        let place = dice.roll(min(mail.count, 8))
        let message = mail[place]
        let luck = dice.roll(100)
        if luck >= duplicatePercent || luck < lossPercent { mail.remove(at: place) }
        guard luck >= lossPercent, message.to <= NodeID(nodes.count), message.to > 0 else { return }
        step(message.to, .receive(message))
        if message.kind == .installSnapshot, message.from <= NodeID(nodes.count) {
            step(message.from, .snapshotReported(message.to, succeeded: true))
        }
    }

    /// Finishes everything under way, in order and without loss, until nothing moves.
    func settle(applying isApplying: (NodeID) -> Bool = { _ in true }) {
        var isMoving = true
        while isMoving {
            isMoving = false
            let due = mail
            mail = []
            for message in due where message.to <= NodeID(nodes.count) {
                step(message.to, .receive(message))
                isMoving = true
            }
            for node in nodes {
                while !node.writes.isEmpty {
                    finishWrite(node.id)
                    isMoving = true
                }
                while isApplying(node.id), !node.applies.isEmpty {
                    finishApply(node.id)
                    isMoving = true
                }
            }
        }
    }

    /// Delivers what is in the mail now, to one node or all; nothing is written or applied.
    func deliverMail(to node: NodeID? = nil) {
        let due = mail.filter { node == nil || $0.to == node }
        mail.removeAll { node == nil || $0.to == node }
        for message in due where message.to <= NodeID(nodes.count) { step(message.to, .receive(message)) }
    }

    /// One round of everything under way, with the node cut off.
    func settleExcept(_ cut: NodeID) {
        let due = mail.filter { $0.to != cut && $0.from != cut }
        mail = []
        for message in due { step(message.to, .receive(message)) }
        for node in nodes where node.id != cut {
            while !node.writes.isEmpty { finishWrite(node.id) }
            while !node.applies.isEmpty { finishApply(node.id) }
        }
    }

    /// Loses messages.
    func loseMail(where isLost: (Message) -> Bool = { _ in true }) {
        mail.removeAll(where: isLost)
    }

    // MARK: checks

    private func lead(_ term: Term, _ node: SimulatedNode) {
        if let other = leaders[term], other != node.id {
            violations.append("election safety: \(other) and \(node.id) lead term \(term)")
        }
        guard leaders[term] == nil else { return }
        leaders[term] = node.id
        for entry in history
        where entry.index > node.raft.firstIndex - 1 && node.raft.term(at: entry.index) != entry.term {
            violations.append("leader completeness: \(node.id) leads term \(term) without \(entry.term)/\(entry.index)")
        }
    }

    private func record(_ entry: Entry, _ node: SimulatedNode) {
        let place = Int(entry.index) - 1
        if place < history.count {
            if history[place] != entry {
                violations.append("state machine safety: \(node.id) applied another entry at \(entry.index)")
            }
        } else if place == history.count {
            history.append(entry)
        } else {
            violations.append("\(node.id) applied \(entry.index) after \(history.count)")
        }
    }

    private func finishRead(_ index: LogIndex, _ context: UInt64) {
        // A network that repeats messages repeats answers too; each of them must be good.
        guard let committed = reads[context] else {
            violations.append("read \(context) was never asked")
            return
        }
        readsAnswered += 1
        if index < committed { violations.append("stale read: \(index) after \(committed) was committed") }
    }

    private func check(_ node: SimulatedNode) {
        if node.raft.appliedIndex > node.raft.persistedIndex, node.raft.firstIndex <= node.raft.appliedIndex {
            violations.append("\(node.id) applied \(node.raft.appliedIndex), durable is \(node.raft.persistedIndex)")
        }
    }

    /// Log matching (paper §5.3): equal entries at an index mean equal logs up to there.
    func checkLogMatching() {
        for left in nodes {
            for right in nodes where right.id > left.id {
                let low = max(left.disk.compacted.index, right.disk.compacted.index) + 1
                var high = min(left.disk.lastIndex, right.disk.lastIndex)
                func entry(_ node: SimulatedNode, _ index: LogIndex) -> Entry {
                    node.disk.entries[Int(index - node.disk.compacted.index - 1)]
                }
                while high >= low, entry(left, high).term != entry(right, high).term { high -= 1 }
                while high >= low {
                    if entry(left, high) != entry(right, high) {
                        violations.append("log matching: \(left.id) and \(right.id) differ at \(high) below a match")
                        return
                    }
                    high -= 1
                }
            }
        }
    }
}
