@testable internal import RaftCore
internal import Testing

/// Known failures of other systems' consensus, each held off by one guard; `Tests/mutations` removes the guards.
@Suite("Scenarios of consensus")
struct ScenarioTests {
    /// A cluster whose node 1 leads and has committed its first entry.
    private func led(_ adjust: (inout RaftConfiguration) -> Void = { _ in }) -> Simulation {
        let simulation = Simulation(voters: [1, 2, 3], count: 4, adjust: adjust)
        simulation.step(1, .campaign)
        simulation.settle()
        return simulation
    }

    /// A core of voters 1, 2, 3 with the given log of terms, at `term`.
    private func node(_ terms: [Term], term: Term, commit: LogIndex = 0) -> SimulatedNode {
        var disk = Disk()
        disk.configuration = ConfState(voters: [1, 2, 3])
        disk.hardState = HardState(term: term, vote: 0, commit: commit)
        disk.entries = terms.enumerated().map { Entry(term: $1, index: LogIndex($0) + 1) }
        var settings = RaftConfiguration(id: 1)
        settings.preVote = false
        settings.checkQuorum = false
        return SimulatedNode(settings: settings, disk: disk)
    }

    /// Steps a node, ends its turn, and completes all that it writes.
    @discardableResult
    private func turn(_ node: SimulatedNode, _ event: Event) -> (sent: [Message], reads: [UInt64]) {
        var sent: [Message] = []
        var reads: [UInt64] = []
        var effects = node.step(event) + node.step(.collect)
        while !effects.isEmpty {
            var more: [Effect] = []
            for effect in effects {
                switch effect {
                case .send(let message): sent.append(message)
                case .readReady(_, let context): reads.append(context)
                case .persist(let persist):
                    for response in persist.responses {
                        if response.to == node.id {
                            more += node.step(.receive(response))
                        } else {
                            sent.append(response)
                        }
                    }
                    more += node.step(.persisted(through: persist.sequence)) + node.step(.collect)
                default: break
                }
            }
            effects = more
        }
        return (sent, reads)
    }

    /// A node of voters 1, 2, 3 that leads `term + 1`.
    private func leader(_ terms: [Term], term: Term) -> SimulatedNode {
        let node = node(terms, term: term)
        turn(node, .campaign)
        turn(node, .receive(Message(.requestVoteResponse, to: 1, from: 2, term: term + 1)))
        return node
    }

    private func acknowledgement(_ node: SimulatedNode, from peer: NodeID, of index: LogIndex) -> Message {
        Message(
            .appendEntriesResponse, to: node.id, from: peer, term: node.raft.term, index: index,
            session: node.raft.progress(of: peer)?.session ?? 0)
    }

    @Test(
        "a sole voter tells nobody of a commit that it could forget in a crash: who goes must not know first that it is out"
    )
    func soleVoterTellsOnlyWhatIsDurable() {
        /// The commit index that leaves, of 9, when 7 is durable.
        func told(_ configuration: ConfState, _ kind: Message.Kind = .appendEntries, durable: LogIndex = 7) -> LogIndex?
        {
            var disk = Disk()
            disk.configuration = configuration
            disk.hardState = HardState(term: 3, vote: 1, commit: durable)
            disk.entries = (1...9).map { Entry(term: 3, index: $0) }
            let node = SimulatedNode(settings: RaftConfiguration(id: 1), disk: disk)
            var disclosure = Disclosure(of: node.raft)
            return disclosure.disclosed(Message(kind, to: 2, from: 1, term: 3, commit: 9), by: node.raft)?.commit
        }
        let leaving = ConfState(voters: [1], votersOutgoing: [1, 2], autoLeave: true)
        #expect(told(leaving) == 7)
        #expect(told(leaving, .heartbeat) == 7)
        #expect(told(leaving, durable: 9) == 9)
        #expect(told(ConfState(voters: [1], learners: [2])) == 7)
        // Two that stay are a quorum of three, and one without others tells nobody.
        #expect(told(ConfState(voters: [1, 3], votersOutgoing: [1, 2, 3], autoLeave: true)) == 9)
        #expect(told(ConfState(voters: [1])) == 9)
    }

    @Test("a candidate asks for votes once its own term is durable: else it could lead the same term twice")
    func candidateAsksOnceItsTermIsDurable() {
        let node = node([1, 1], term: 1)
        var disclosure = Disclosure(of: node.raft)
        /// Campaigns; what leaves at once, and the write that follows.
        func campaign() -> (left: [Message], states: [HardState]) {
            var left: [Message] = []
            var states: [HardState] = []
            for effect in node.step(.campaign) + node.step(.collect) {
                switch effect {
                case .send(let message): left += disclosure.disclosed(message, by: node.raft).map { [$0] } ?? []
                case .persist(let write): states += write.hardState.map { [$0] } ?? []
                default: break
                }
            }
            return (left, states)
        }
        let first = campaign()
        let second = campaign()
        #expect(first.left.isEmpty && second.left.isEmpty)
        #expect(first.states.map(\.term) == [2] && second.states.map(\.term) == [3])
        // The writes end one after the other: nobody is asked in a term that is over.
        #expect(first.states.flatMap { disclosure.wrote($0) }.isEmpty)
        let asked = second.states.flatMap { disclosure.wrote($0) }
        #expect(asked.map(\.kind) == [.requestVote, .requestVote] && asked.map(\.to).sorted() == [2, 3])
        #expect(asked.allSatisfy { $0.term == 3 && disclosure.disclosed($0, by: node.raft) == $0 })
        #expect(disclosure.wrote(second.states.last).isEmpty)
        // What it says in a term that it has durably leaves at once.
        #expect(disclosure.disclosed(Message(.requestPreVote, to: 2, from: 1, term: 4), by: node.raft) != nil)
    }

    @Test(
        "a sole voter answers no read before an entry of its term is committed: its log may hold more than it knows to be committed"
    )
    func soleVoterReadsAfterItsFirstCommit() {
        var disk = Disk()
        disk.configuration = ConfState(voters: [1], learners: [2])
        disk.hardState = HardState(term: 3, vote: 1, commit: 1)
        // The second was answered before the crash; that it is committed was known in memory only.
        disk.entries = [Entry(term: 3, index: 1), Entry(term: 3, index: 2)]
        let node = SimulatedNode(settings: RaftConfiguration(id: 1), disk: disk)
        _ = node.step(.campaign)
        func act(_ effects: [Effect]) -> (writes: [Persist], answers: [LogIndex]) {
            var writes: [Persist] = []
            var answers: [LogIndex] = []
            for effect in effects {
                switch effect {
                case .persist(let write): writes.append(write)
                case .readReady(let index, _): answers.append(index)
                case .send(let message) where message.kind == .readIndexResponse: answers.append(message.index)
                default: break
                }
            }
            return (writes, answers)
        }
        // The vote for itself becomes durable, and it leads; its first entry is still on its way to the disk.
        var (writes, answers) = act(node.step(.collect))
        while node.raft.role != .leader, !writes.isEmpty {
            for write in writes {
                for response in write.responses { _ = node.step(.receive(response)) }
                _ = node.step(.persisted(through: write.sequence))
            }
            (writes, answers) = act(node.step(.collect))
        }
        #expect(node.raft.role == .leader && node.raft.commitIndex == 1 && answers.isEmpty)
        let asked =
            node.step(.readIndex(context: 1))
            + node.step(.receive(Message(.readIndex, to: 1, from: 2, context: 2)))
        #expect(act(asked + node.step(.collect)).answers.isEmpty)
        for write in writes {
            for response in write.responses { _ = node.step(.receive(response)) }
            _ = node.step(.persisted(through: write.sequence))
        }
        #expect(act(node.step(.collect)).answers == [3, 3])
    }

    @Test("a leader counts itself only once its own write is durable")
    func leaderWaitsForItsOwnWrite() {
        let simulation = led()
        let before = simulation[1].raft.commitIndex
        simulation.propose(1, [7])
        simulation.deliverMail(to: 2)
        simulation.finishWrite(2)
        simulation.deliverMail(to: 1)
        #expect(simulation[1].raft.commitIndex == before, "one durable copy of three")
        while !simulation[1].writes.isEmpty { simulation.finishWrite(1) }
        #expect(simulation[1].raft.commitIndex == before + 1)
    }

    /// Figure 8 of the paper.
    @Test("an entry of an earlier term is never committed by counting copies")
    func figureEight() {
        // Leader of term 4 whose log ends with an entry of term 2; its own empty entry is at 3.
        let node = leader([1, 2], term: 3)
        #expect(node.raft.role == .leader)
        turn(node, .receive(acknowledgement(node, from: 2, of: 2)))
        turn(node, .receive(acknowledgement(node, from: 3, of: 2)))
        #expect(node.raft.commitIndex == 0, "all hold entry 2, and a leader of term 3 may still replace it")
        turn(node, .receive(acknowledgement(node, from: 2, of: 3)))
        #expect(node.raft.commitIndex == 3)
    }

    @Test("an acknowledgement from before a node was removed and added again counts for nothing")
    func lateAcknowledgement() {
        let node = leader([], term: 1)
        turn(node, .propose([[1], [2], [3]]))
        let late = acknowledgement(node, from: 3, of: 4)
        turn(node, .receive(acknowledgement(node, from: 2, of: 1)))
        turn(node, .configurationApplied(ConfigurationChange([.init(.remove, 3)])))
        turn(node, .configurationApplied(ConfigurationChange([.init(.addLearner, 3)])))
        // Its disk is new: what the old one held is gone.
        turn(node, .receive(late))
        #expect(node.raft.progress(of: 3)?.match == 0)
    }

    @Test("while one change of the configuration is under way a second one does nothing")
    func oneConfigurationAtATime() {
        let simulation = led()
        simulation.step(1, .proposeConfiguration(ConfigurationChange([.init(.addLearner, 4)])))
        let effects = simulation[1].step(.proposeConfiguration(ConfigurationChange([.init(.remove, 3)])))
        #expect(
            effects.contains { if case .dropped(.configurationPending) = $0 { true } else { false } })
        simulation.settle()
        #expect(simulation[1].raft.confState.voters == [1, 2, 3])
        #expect(simulation[1].raft.confState.learners == [4])
        #expect(simulation.violations.isEmpty)
    }

    @Test("a new leader takes no change of the configuration before it has applied its log")
    func newLeaderKnowsOfNoOldChange() {
        // A change of an older leader may lie in the tail: two at one index would decide in two configurations.
        let node = leader([1, 1], term: 1)
        let effects = node.step(.proposeConfiguration(ConfigurationChange([.init(.remove, 3)])))
        #expect(effects.contains { if case .dropped(.configurationPending) = $0 { true } else { false } })
    }

    @Test("a late answer to an earlier read round never confirms a later read")
    func readRoundIsNeverReused() {
        let node = leader([], term: 1)
        turn(node, .receive(acknowledgement(node, from: 2, of: 1)))
        #expect(node.raft.commitIndex == 1)
        let asked = turn(node, .readIndex(context: 70))
        guard let heartbeat = asked.sent.first(where: { $0.kind == .heartbeat && $0.to == 2 }) else {
            Issue.record("no round of heartbeats")
            return
        }
        let answer = Message(
            .heartbeatResponse, to: 1, from: 2, term: node.raft.term, context: heartbeat.context,
            session: heartbeat.session)
        #expect(turn(node, .receive(answer)).reads == [70])
        // The leader is paused here, another one leads and writes, and the network repeats the old answer.
        turn(node, .readIndex(context: 71))
        #expect(turn(node, .receive(answer)).reads.isEmpty)
    }

    @Test("an answer of an older term confirms no read")
    func readOfAnotherTermIsNotConfirmed() {
        let node = leader([], term: 1)
        turn(node, .receive(acknowledgement(node, from: 2, of: 1)))
        turn(node, .readIndex(context: 70))
        let answer = Message(.heartbeatResponse, to: 1, from: 2, term: node.raft.term - 1, context: 1, session: 1)
        #expect(turn(node, .receive(answer)).reads.isEmpty)
    }

    @Test("a deposed leader's entries are not taken by those that know of a later one")
    func deposedLeaderIsIgnored() {
        let node = node([1, 2], term: 3)
        turn(
            node,
            .receive(
                Message(
                    .appendEntries, to: 1, from: 2, term: 2, logTerm: 1, index: 1, commit: 3,
                    entries: [Entry(term: 2, index: 2), Entry(term: 2, index: 3)])))
        #expect(node.raft.lastIndex == 2)
        #expect(node.raft.commitIndex == 0)
        #expect(node.raft.leader == noNode)
    }

    @Test("a leader that hears no quorum for an election timeout leads no more")
    func cutOffLeaderStepsDown() {
        let simulation = led()
        for _ in 0..<(2 * simulation[1].settings.electionTicks + 1) {
            simulation.step(1, .tick)
            simulation.loseMail()
        }
        #expect(simulation[1].raft.role == .follower)
    }

    @Test("a longer log of an older term and a shorter one of a newer term elect a leader")
    func preVotesDoNotDeadlock() {
        let simulation = Simulation(voters: [1, 2, 3], count: 3)
        simulation[1].disk.hardState = HardState(term: 4)
        simulation[1].disk.entries = [Entry(term: 1, index: 1)]
        simulation[3].disk.hardState = HardState(term: 1)
        simulation[3].disk.entries = [Entry(term: 1, index: 1), Entry(term: 1, index: 2)]
        simulation[1].restart()
        simulation[3].restart()
        // Node 2 is down.
        for _ in 0..<100 {
            for id in [NodeID(1), 3] { simulation.step(id, .tick) }
            for _ in 0..<4 { simulation.settleExcept(2) }
        }
        #expect(simulation[3].raft.role == .leader)
        #expect(simulation.violations.isEmpty)
    }
}
