internal import RaftCore
package import ReplicaCore
internal import Storage

// Proposals, and the apply thread.
extension Process {
    /// Bytes of envelopes packed in one entry.
    private static let entryBytesMax = 512

    /// Takes a command into this turn; the ticket is answered when it is applied, or at once where this node does not lead.
    func propose(_ envelope: [UInt8], _ ticket: Ticket) {
        guard raft.role == .leader else { return world.answer(ticket, .notLeader(raft.leader), from: id) }
        var envelope = envelope
        Envelope.stamp(wallClock, onto: &envelope)
        var ticket = ticket
        if ticket.customer >= 0, applier.site.guardsAnswers { ticket.isGuarded = true }
        gathered.append((envelope, ticket))
        turn()
    }

    /// Milliseconds since 1970 by this node's clock.
    var wallClock: UInt64 { UInt64(max(0, 1_700_000_000_000 + Int64(world.now / 1000) + node.clockOffset)) }

    /// Packs the turn's commands into entries and proposes them. Keeps (1).
    func proposeGathered() {
        guard !gathered.isEmpty, persists.count < 3 else { return }
        let commands = gathered
        gathered.removeAll(keepingCapacity: true)
        var payloads: [[UInt8]] = []
        var tickets: [[Ticket]] = []
        for (envelope, ticket) in commands {
            if payloads.isEmpty || payloads[payloads.count - 1].count + envelope.count > Self.entryBytesMax {
                payloads.append([])
                tickets.append([])
            }
            EntryPayload.append(encoded: envelope[...], to: &payloads[payloads.count - 1])
            tickets[tickets.count - 1].append(ticket)
        }
        step(.propose(payloads)) { effect in
            switch effect {
            case .proposed(let first, _, let count):
                for place in 0..<count { proposals[first + UInt64(place)] = tickets[place] }
            case .dropped(let refusal):
                let answer: Answer
                switch refusal {
                case .uncommittedQuota: answer = .overloaded
                case .transferring(let node): answer = .notLeader(node)
                default: answer = .notLeader(raft.leader)
                }
                for ticket in tickets.joined() { world.answer(ticket, answer, from: id) }
            default: break
            }
        }
    }

    /// This node stopped leading: what its proposals came to is unknown.
    func failProposals() {
        for index in proposals.keys.sorted() {
            for ticket in proposals[index] ?? [] { world.answer(ticket, .unknown, from: id) }
        }
        proposals.removeAll()
        for (_, ticket) in gathered { world.answer(ticket, .notLeader(raft.leader), from: id) }
        gathered.removeAll()
    }

    // MARK: the apply thread

    func apply(_ entries: [Entry]) {
        for entry in entries {
            applyQueue.append(CommittedEntry(index: entry.index, term: entry.term, content: content(of: entry)))
            world.checkApplied(entry, self)
        }
        startApplying()
    }

    private func content(of entry: Entry) -> CommittedEntry.Content {
        guard entry.isConfigurationChange else { return .normal(entry.data) }
        guard let change = ConfigurationChange(entry) else { return .configuration(nil) }
        unapplied[entry.index] = change
        return .configuration(MembershipChange(change))
    }

    /// Lets an applied configuration change take effect in consensus, or not.
    private func configured(_ outcome: ConfigurationOutcome) {
        // What was committed until now was committed under the old configuration.
        world.observe(self)
        if let change = unapplied.removeValue(forKey: outcome.index), outcome.refusal == nil {
            var members: Members?
            step(.configurationApplied(change)) { effect in
                if case .configured(let state) = effect { members = Members(state) }
            }
            if members != outcome.members {
                world.fail(
                    "node \(id): consensus has \(String(describing: members)), the state machine \(outcome.members)")
            }
        }
        world.checkConfigured(outcome, self)
    }

    func startApplying() {
        guard !isApplying, !applyQueue.isEmpty, install == nil else { return }
        isApplying = true
        world.schedule(.applied(id, life), after: world.dice.between(20, 400))
    }

    /// The apply thread has written a group. Keeps (4).
    func applied() {
        isApplying = false
        let group = applyQueue
        applyQueue.removeAll(keepingCapacity: true)
        guard let last = group.last else { return }
        if let first = group.first, node.durable.last < last.index || raft.persistedIndex < last.index {
            world.fail("node \(id) applies \(first.index) to \(last.index), durable is \(node.durable.last)")
        }
        var output = ApplyOutput(collectsEvents: false)
        var batch = WriteBatch()
        do throws(RowError) {
            try applier.apply(group, reader: rows, hash: QuickHash.self, into: &batch, output: &output)
            try rows.write(batch)
        } catch {
            return world.fail("node \(id) cannot apply: \(error.message)")
        }
        appliedIndex = last.index
        world.checkState(self, group, output)
        answer(output.outcomes)
        noteChunks(output)
        for outcome in output.configurations { configured(outcome) }
        step(.applied(through: last.index))
        releaseReads()
        if isSweepDue(output) { sweepRows() }
        turn()
        startApplying()
    }

    private func answer(_ outcomes: [CommandOutcome]) {
        guard !proposals.isEmpty else { return }
        for outcome in outcomes {
            guard let tickets = proposals[outcome.index], Int(outcome.ordinal) < tickets.count else { continue }
            let ticket = tickets[Int(outcome.ordinal)]
            // Another site may have begun a higher epoch meanwhile.
            if ticket.isGuarded, let site, !outcome.outcome.isRefused,
                !applier.site.mayAcknowledge(heard: site.heardEpoch)
            {
                world.answer(ticket, .unknown, from: id)
                continue
            }
            if ticket.customer >= 0 { site?.acknowledges(outcome.outcome) }
            world.answer(ticket, .outcome(outcome.outcome), from: id)
        }
        for index in Set(outcomes.map(\.index)).sorted() { proposals[index] = nil }
    }

    private func isSweepDue(_ output: ApplyOutput) -> Bool { output.compacted != nil || !output.models.isEmpty }

    /// A whole pass over the rows that nothing can read any more.
    private func sweepRows() {
        do throws(RowError) {
            var sweep = try CompactionSweep(loading: rows)
            var isOver = false
            while !isOver {
                var batch = WriteBatch()
                isOver = try sweep.step(at: applier.readPoint, rowsMax: 64, rows: rows, into: &batch)
                try rows.write(batch)
            }
        } catch {
            world.fail("node \(id) cannot sweep: \(error.message)")
        }
    }
}

/// A quick hash in the place of SHA-256, which the state machine takes as a parameter.
package struct QuickHash: HashFunction {
    private var words: (UInt64, UInt64) = (0x0123_4567_89AB_CDEF, 0xFEDC_BA98_7654_3210)

    package init() {}

    package mutating func update(_ bytes: UnsafeRawBufferPointer) {
        words.0 = mix(words.0, bytes: bytes)
        words.1 = mix(words.1, words.0)
    }

    package mutating func finish() -> Digest { Digest(words.0, words.1, ~words.0, ~words.1) }
}

extension Outcome {
    /// Nothing was done.
    fileprivate var isRefused: Bool {
        if case .refused = self { true } else { false }
    }
}
