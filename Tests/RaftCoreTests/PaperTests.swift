@testable internal import RaftCore
internal import Testing

/// One test for each rule of the Raft paper (Ongaro and Ousterhout, 2014) and thesis (Ongaro, 2014).
@Suite("Rules of the paper and the thesis")
struct PaperTests {
    /// A cluster whose node 1 leads and has committed its first entry.
    private func led(_ count: Int = 3, adjust: (inout RaftConfiguration) -> Void = { _ in }) -> Simulation {
        let simulation = Simulation(voters: Array(1...NodeID(count)), count: count, adjust: adjust)
        simulation.step(1, .campaign)
        simulation.settle()
        return simulation
    }

    /// A core of voters 1, 2, 3 with the given log of terms, at `term`.
    private func node(_ id: NodeID = 1, terms: [Term] = [], term: Term, commit: LogIndex = 0, vote: NodeID = 0)
        -> SimulatedNode
    {
        var disk = Disk()
        disk.configuration = ConfState(voters: [1, 2, 3])
        disk.hardState = HardState(term: term, vote: vote, commit: commit)
        disk.entries = terms.enumerated().map { Entry(term: $1, index: LogIndex($0) + 1) }
        var settings = RaftConfiguration(id: id)
        settings.preVote = false
        settings.checkQuorum = false
        return SimulatedNode(settings: settings, disk: disk)
    }

    /// The messages of a turn that may leave at once, and those that wait for its write.
    private func turn(_ node: SimulatedNode, _ event: Event) -> (sent: [Message], promised: [Message]) {
        var sent: [Message] = []
        var promised: [Message] = []
        for effect in node.step(event) + node.step(.collect) {
            if case .send(let message) = effect { sent.append(message) }
            if case .persist(let persist) = effect { promised += persist.responses }
        }
        return (sent, promised)
    }

    // MARK: terms and roles

    /// Paper §5.1.
    @Test(
        "a higher term turns every role into a follower of that term", arguments: [Role.follower, .candidate, .leader])
    func higherTermStepsDown(role: Role) {
        let node = node(term: 1)
        if role != .follower { _ = node.step(.campaign) }
        if role == .leader {
            for other in [NodeID(2), 3] {
                _ = node.step(.receive(Message(.requestVoteResponse, to: 1, from: other, term: 2)))
            }
        }
        #expect(node.raft.role == role)
        _ = node.step(.receive(Message(.appendEntries, to: 1, from: 3, term: 9)))
        #expect(node.raft.role == .follower)
        #expect(node.raft.term == 9)
        #expect(node.raft.leader == 3)
    }

    /// Paper §5.1.
    @Test("a message of an older term changes nothing")
    func olderTermIsIgnored() {
        let node = node(terms: [1], term: 5)
        let turn = turn(
            node, .receive(Message(.appendEntries, to: 1, from: 2, term: 4, entries: [Entry(term: 4, index: 1)])))
        #expect(node.raft.term == 5)
        #expect(node.raft.lastTerm == 1)
        #expect(node.raft.leader == noNode)
        #expect(turn.sent.isEmpty)
    }

    /// Paper §5.2.
    @Test("a candidate follows the leader that won its term")
    func candidateYieldsToTheWinner() {
        let node = node(term: 1)
        _ = node.step(.campaign)
        _ = node.step(.receive(Message(.heartbeat, to: 1, from: 2, term: 2)))
        #expect(node.raft.role == .follower)
        #expect(node.raft.leader == 2)
        #expect(node.raft.term == 2)
    }

    // MARK: elections

    /// Paper §5.2.
    @Test("a follower that hears nothing for an election timeout campaigns for the next term")
    func silenceStartsAnElection() {
        let node = node(term: 4)
        var sent: [Message] = []
        for _ in 0..<node.raft.randomizedElectionTicks { sent += turn(node, .tick).sent }
        #expect(node.raft.role == .candidate)
        #expect(node.raft.term == 5)
        #expect(node.raft.vote == 1)
        #expect(sent.map(\.kind) == [.requestVote, .requestVote])
    }

    /// Paper §5.2.
    @Test("election timeouts are drawn from one to two times the setting, and differ")
    func electionTimeoutsAreRandom() {
        var drawn: Set<Int> = []
        for seed in 0..<200 {
            var settings = RaftConfiguration(id: 1)
            settings.seed = UInt64(seed)
            drawn.insert(SimulatedNode(settings: settings, disk: Disk()).raft.randomizedElectionTicks)
        }
        #expect(drawn == Set(6..<12))
    }

    /// Paper §5.2.
    @Test("a majority of votes, its own among them once durable, makes a leader")
    func majorityWins() {
        let node = node(term: 0)
        let own = turn(node, .campaign).promised
        #expect(own.map(\.kind) == [.requestVoteResponse])
        #expect(node.raft.role == .candidate)
        for message in own { _ = node.step(.receive(message)) }
        #expect(node.raft.role == .candidate)
        _ = node.step(.receive(Message(.requestVoteResponse, to: 1, from: 3, term: 1)))
        #expect(node.raft.role == .leader)
    }

    /// Paper §5.2.
    @Test("a candidate that a majority refused becomes a follower")
    func majorityRefuses() {
        let node = node(term: 0)
        _ = node.step(.campaign)
        for other in [NodeID(2), 3] {
            _ = node.step(.receive(Message(.requestVoteResponse, to: 1, from: other, term: 1, reject: true)))
        }
        #expect(node.raft.role == .follower)
        #expect(node.raft.term == 1)
    }

    /// Paper §5.2.
    @Test("a node votes once in a term, first come first served")
    func oneVoteATerm() {
        let node = node(term: 1)
        let first = turn(node, .receive(Message(.requestVote, to: 1, from: 2, term: 2)))
        let second = turn(node, .receive(Message(.requestVote, to: 1, from: 3, term: 2)))
        let again = turn(node, .receive(Message(.requestVote, to: 1, from: 2, term: 2)))
        #expect(first.promised.map(\.reject) == [false])
        #expect(second.promised.map(\.reject) == [true])
        #expect(again.promised.map(\.reject) == [false])
    }

    /// Paper §5.4.1.
    @Test(
        "a vote goes only to a log that is at least as complete",
        arguments: [
            (EntryID(term: 2, index: 2), true), (EntryID(term: 2, index: 3), true), (EntryID(term: 3, index: 1), true),
            (EntryID(term: 2, index: 1), false), (EntryID(term: 1, index: 9), false),
        ])
    func votesNeedACompleteLog(last: EntryID, isGranted: Bool) {
        let node = node(terms: [1, 2], term: 3)
        let request = Message(.requestVote, to: 1, from: 2, term: 4, logTerm: last.term, index: last.index)
        #expect(turn(node, .receive(request)).promised.map(\.reject) == [!isGranted])
    }

    /// Paper figure 2; thesis §3.8.
    @Test("a vote leaves only with the write that makes it durable")
    func votesWaitForTheDisk() {
        let node = node(term: 1)
        _ = node.step(.receive(Message(.requestVote, to: 1, from: 2, term: 2)))
        var persisted: Persist?
        for effect in node.step(.collect) {
            if case .send(let message) = effect { Issue.record("\(message.kind) left at once") }
            if case .persist(let persist) = effect { persisted = persist }
        }
        #expect(persisted?.hardState == HardState(term: 2, vote: 2, commit: 0))
        #expect(persisted?.mustSync == true)
        #expect(persisted?.responses.map(\.kind) == [.requestVoteResponse])
    }

    /// Thesis §9.6.
    @Test("a pre-vote changes neither term nor vote on either side")
    func preVoteChangesNothing() {
        let simulation = Simulation(voters: [1, 2, 3], count: 3)
        simulation.step(1, .campaign)
        #expect(simulation[1].raft.role == .preCandidate)
        #expect(simulation[1].raft.hardState == HardState())
        simulation.step(2, .receive(Message(.requestPreVote, to: 2, from: 1, term: 1)))
        #expect(simulation[2].raft.hardState == HardState())
    }

    /// Thesis §4.2.3.
    @Test("a follower of a live leader refuses candidates, unless leadership is being handed over")
    func liveLeaderIsProtected() {
        let simulation = led()
        let last = simulation[2].raft.lastIndex
        simulation.step(2, .receive(Message(.requestVote, to: 2, from: 3, term: 9, logTerm: 9, index: last)))
        #expect(simulation[2].raft.term == 1)
        simulation.step(
            2,
            .receive(
                Message(
                    .requestVote, to: 2, from: 3, term: 9, logTerm: 9, index: last, context: Message.transferContext)))
        #expect(simulation[2].raft.term == 9)
    }

    /// Thesis §6.2.
    @Test("a leader that hears no quorum for an election timeout steps down")
    func lonelyLeaderStepsDown() {
        let simulation = led()
        for _ in 0..<12 {
            simulation.step(1, .tick)
            simulation.loseMail()
        }
        #expect(simulation[1].raft.role == .follower)
    }

    // MARK: replication

    /// Paper §5.2.
    @Test("a leader sends heartbeats to all at every heartbeat interval")
    func leaderSendsHeartbeats() {
        let simulation = led()
        let sent = turn(simulation[1], .tick).sent
        #expect(sent.map(\.kind) == [.heartbeat, .heartbeat])
        #expect(sent.map(\.to) == [2, 3])
    }

    /// Paper §5.3.
    @Test("a proposal goes to all followers while the leader writes, and commits at a majority")
    func proposalCommitsAtAMajority() {
        let simulation = led()
        let before = simulation[1].raft.commitIndex
        simulation.propose(1, [7])
        for _ in 0..<3 { simulation.settleExcept(3) }
        #expect(simulation[1].raft.commitIndex == before + 1)
        #expect(simulation.history.last?.data == [7])
    }

    /// Paper §5.3; thesis §10.2.1.
    @Test("a leader that has not written an entry does not count itself for it")
    func unwrittenEntriesDoNotCount() {
        let simulation = led()
        let leader = simulation[1]
        let index = leader.raft.lastIndex + 1
        _ = leader.step(.propose([[7]]))
        _ = leader.step(.collect)
        _ = leader.step(.receive(leader.acknowledgement(from: 2, of: index)))
        #expect(leader.raft.commitIndex == index - 1)
        _ = leader.step(.receive(leader.acknowledgement(from: 3, of: index)))
        #expect(leader.raft.commitIndex == index)
        // Committed by the others, but not to be applied here before it is durable here.
        for effect in leader.step(.collect) {
            if case .apply = effect { Issue.record("applied before it was durable") }
        }
    }

    /// Paper §5.3.
    @Test("an append that does not fit is refused, with a hint where the logs may meet")
    func misfitIsRefused() {
        let node = node(terms: [1, 2, 2], term: 3)
        let append = Message(.appendEntries, to: 1, from: 2, term: 3, logTerm: 1, index: 3)
        let answer = turn(node, .receive(append)).promised
        #expect(answer.map(\.reject) == [true])
        #expect(answer.map(\.rejectHint) == [1])
        #expect(answer.map(\.logTerm) == [1])
    }

    /// Paper §5.3.
    @Test("conflicting entries of a follower are replaced, matching ones are kept")
    func conflictsAreReplaced() {
        let node = node(terms: [1, 2, 2], term: 3)
        let entries = [Entry(term: 1, index: 1), Entry(term: 3, index: 2)]
        let answer = turn(
            node, .receive(Message(.appendEntries, to: 1, from: 2, term: 3, entries: entries))
        ).promised
        #expect(answer.map(\.index) == [2])
        #expect(node.raft.lastIndex == 2)
        #expect(node.raft.lastTerm == 3)
        // A delayed, shorter append of the same leader takes nothing away.
        _ = turn(node, .receive(Message(.appendEntries, to: 1, from: 2, term: 3, entries: [entries[0]])))
        #expect(node.raft.lastIndex == 2)
    }

    /// Paper §5.3.
    @Test("a follower commits no further than the entries it was told of")
    func commitStopsAtWhatMatches() {
        let node = node(terms: [1, 1, 1], term: 2)
        _ = node.step(.receive(Message(.appendEntries, to: 1, from: 2, term: 2, logTerm: 1, index: 1, commit: 3)))
        #expect(node.raft.commitIndex == 1)
    }

    /// Paper §5.4.2, figure 8.
    @Test("entries of earlier terms commit only with one of the leader's own")
    func earlierTermsCommitIndirectly() {
        let node = node(terms: [1, 2], term: 2)
        for message in turn(node, .campaign).promised { _ = node.step(.receive(message)) }
        _ = node.step(.receive(Message(.requestVoteResponse, to: 1, from: 2, term: 3)))
        #expect(node.raft.role == .leader)
        _ = node.step(.collect)
        _ = node.step(.receive(node.acknowledgement(from: 2, of: 2)))
        _ = node.step(.receive(node.acknowledgement(from: 3, of: 2)))
        #expect(node.raft.commitIndex == 0)
        _ = node.step(.receive(node.acknowledgement(from: 2, of: 3)))
        _ = node.step(.receive(node.acknowledgement(from: 3, of: 3)))
        #expect(node.raft.commitIndex == 3)
    }

    /// Paper §7.
    @Test("a follower whose entries are compacted gets a snapshot and continues after it")
    func laggardGetsASnapshot() {
        let simulation = led()
        for number in 0..<5 {
            simulation.propose(1, [UInt8(number)])
            for _ in 0..<4 { simulation.settleExcept(3) }
        }
        simulation.compact(1)
        for _ in 0..<3 {
            simulation.step(1, .tick)
            simulation.settle()
        }
        #expect(simulation[3].raft.appliedIndex == simulation[1].raft.appliedIndex)
        #expect(simulation[3].raft.firstIndex == simulation[1].raft.firstIndex)
        #expect(simulation.violations.isEmpty)
    }

    /// A node that joins after a snapshot was made would refuse it for ever: that state does not know it.
    @Test("a follower is sent no snapshot from before it joined; another one is asked for")
    func snapshotKnowsItsReceiver() {
        var disk = Disk()
        disk.configuration = ConfState(voters: [1], learners: [2])
        disk.hardState = HardState(term: 1, vote: 1, commit: 9)
        disk.applied = 9
        disk.compacted = EntryID(term: 1, index: 9)
        let leader = SimulatedNode(settings: RaftConfiguration(id: 1), disk: disk)
        _ = leader.step(.campaign)
        for message in turn(leader, .collect).promised where message.to == 1 { _ = leader.step(.receive(message)) }
        for message in turn(leader, .persisted(through: 1)).promised where message.to == 1 {
            _ = leader.step(.receive(message))
        }
        #expect(leader.raft.role == .leader)
        _ = leader.step(
            .snapshotAvailable(Snapshot(index: 9, term: 1, configuration: ConfState(voters: [1]))))
        let rejection = Message(
            .appendEntriesResponse, to: 1, from: 2, term: 2, index: 9, reject: true, rejectHint: 0,
            session: leader.raft.progress(of: 2)?.stream ?? 0)
        let effects = leader.step(.receive(rejection)) + leader.step(.collect)
        #expect(
            !effects.contains { if case .send(let message) = $0 { message.kind == .installSnapshot } else { false } })
        #expect(effects.contains { if case .snapshotNeeded(for: 2, atLeast: 10) = $0 { true } else { false } })
    }

    // MARK: leadership transfer, membership, reads

    /// Thesis §3.10.
    @Test("leadership moves to the chosen voter, and proposals wait meanwhile")
    func leadershipIsHandedOver() {
        let simulation = led()
        simulation.step(1, .transferLeadership(to: 3))
        #expect(
            simulation[1].step(.propose([[1]])).contains {
                if case .dropped(.transferring(3)) = $0 { true } else { false }
            })
        simulation.settle()
        #expect(simulation[3].raft.role == .leader)
        #expect(simulation[1].raft.role == .follower)
    }

    /// Thesis §4.1.
    @Test("one configuration change at a time")
    func oneChangeAtATime() {
        let simulation = led()
        let add = ConfigurationChange([.init(.addLearner, 4)])
        #expect(
            simulation[1].step(.proposeConfiguration(add)).contains { if case .proposed = $0 { true } else { false } })
        #expect(
            simulation[1].step(.proposeConfiguration(add)).contains {
                if case .dropped(.configurationPending) = $0 { true } else { false }
            })
    }

    /// Thesis §4.3.
    @Test("a joint configuration decides by both majorities and is left automatically")
    func jointConfigurationIsLeft() {
        let simulation = Simulation(voters: [1, 2, 3], count: 5)
        simulation.step(1, .campaign)
        simulation.settle()
        let change = ConfigurationChange([
            .init(.addVoter, 4), .init(.addVoter, 5), .init(.remove, 3), .init(.remove, 2),
        ])
        simulation.step(1, .proposeConfiguration(change))
        var wasJoint = false
        for _ in 0..<6 {
            simulation.settle()
            wasJoint = wasJoint || simulation[1].raft.confState.isJoint
            simulation.step(1, .tick)
        }
        #expect(simulation[1].raft.confState == ConfState(voters: [1, 4, 5]))
        #expect(simulation[4].raft.confState == ConfState(voters: [1, 4, 5]))
        #expect(simulation.violations.isEmpty)
    }

    /// Thesis §4.2.2.
    @Test("a leader that is removed steps down once the change is applied")
    func removedLeaderStepsDown() {
        let simulation = led()
        simulation.step(1, .proposeConfiguration(ConfigurationChange([.init(.remove, 1)])))
        simulation.settle()
        #expect(simulation[1].raft.role == .follower)
        #expect(simulation[1].raft.confState.voters == [2, 3])
    }

    /// Thesis §4.2.1.
    @Test("a learner gets entries and does not campaign")
    func learnersDoNotCampaign() {
        var settings = RaftConfiguration(id: 3)
        settings.checkQuorum = false
        var disk = Disk()
        disk.configuration = ConfState(voters: [1, 2], learners: [3])
        let learner = SimulatedNode(settings: settings, disk: disk)
        for _ in 0..<30 { _ = learner.step(.tick) }
        #expect(learner.raft.role == .follower)
        #expect(learner.raft.term == 0)
    }

    /// As etcd/raft; it keeps an old configuration from electing a leader of its own.
    @Test("a node with a committed and unapplied configuration change does not campaign")
    func unappliedChangeForbidsCampaigns() {
        var disk = Disk()
        disk.configuration = ConfState(voters: [1, 2, 3])
        let change = ConfigurationChange([.init(.addVoter, 4)])
        disk.entries = [Entry(kind: change.entryKind, term: 1, index: 1, data: change.encoded())]
        disk.hardState = HardState(term: 1, vote: 0, commit: 1)
        let node = SimulatedNode(settings: RaftConfiguration(id: 1), disk: disk)
        _ = node.step(.campaign)
        #expect(node.raft.role == .follower)
        #expect(node.raft.hasUnappliedConfiguration == true)
    }

    /// Thesis §6.4.
    @Test("a read waits for a quorum of heartbeats, and for the first commit of the term")
    func readsAskAQuorum() {
        let simulation = led()
        simulation.read(1)
        #expect(simulation.readsAnswered == 0)
        simulation.settleExcept(3)
        simulation.settleExcept(3)
        #expect(simulation.readsAnswered == 1)
        simulation.read(2)
        simulation.settle()
        #expect(simulation.readsAnswered == 2)
    }

    /// Thesis §6.4.1.
    @Test("a lease answers reads at once, and ends before any follower may vote")
    func leasesEnd() {
        let simulation = led { $0.readMode = .lease(driftTicks: 1) }
        // A node that just started keeps quiet for an election timeout, so nobody leads before.
        for _ in 0..<40 {
            for id in 1...NodeID(3) { simulation.step(id, .tick) }
            simulation.settle()
        }
        guard let leader = simulation.leader else {
            Issue.record("nobody leads")
            return
        }
        #expect(leader.raft.holdsLease == true)
        simulation.read(leader.id)
        #expect(simulation.readsAnswered == 1)
        for _ in 0..<4 {
            simulation.step(leader.id, .tick)
            simulation.loseMail()
        }
        #expect(leader.raft.holdsLease == false)
    }
}
