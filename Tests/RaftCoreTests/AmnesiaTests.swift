@testable internal import RaftCore
internal import Testing

/// A member whose log was damaged and begun anew.
@Suite("A damaged log")
struct AmnesiaTests {
    private func led() -> Simulation {
        let simulation = Simulation(voters: [1, 2, 3], count: 3)
        simulation.step(1, .campaign)
        simulation.settle()
        for number in 0..<5 { simulation.propose(1, [UInt8(number)]) }
        simulation.settle()
        return simulation
    }

    /// Node 3 has acknowledged entry 7 with the leader only, has not applied it, and loses its log.
    private func damaged() -> Simulation {
        let simulation = led()
        simulation.propose(1, [99])
        for _ in 0..<3 { simulation.settleExcept(2) }
        simulation[3].disk.applied = 6
        simulation.damage(3)
        return simulation
    }

    @Test("a replica that withholds its vote gives none, does not campaign, and takes no leadership")
    func votesAreWithheld() {
        let simulation = damaged()
        let node = simulation[3]
        for kind in [Message.Kind.requestVote, .requestPreVote] {
            _ = node.step(.tick)
            let term = node.raft.term + 1
            for _ in 0..<40 { _ = node.step(.tick) }
            _ = node.step(.receive(Message(kind, to: 3, from: 2, term: term, logTerm: 9, index: 90)))
            let answers = node.step(.collect).flatMap { effect -> [Message] in
                if case .persist(let persist) = effect { persist.responses } else { [] }
            }
            #expect(answers.allSatisfy { $0.reject })
            #expect(node.raft.vote == noNode)
        }
        _ = node.step(.campaign)
        _ = node.step(.receive(Message(.timeoutNow, to: 3, from: 1, term: node.raft.term)))
        #expect(node.raft.role == .follower)
        _ = node.step(.votesAllowed)
        _ = node.step(.campaign)
        #expect(node.raft.role != .follower)
    }

    @Test("a commit index beyond what is left of the log is not believed")
    func heartbeatsMayKnowTooMuch() {
        let simulation = damaged()
        let node = simulation[3]
        _ = node.step(
            .receive(Message(.heartbeat, to: 3, from: 1, term: node.raft.term, commit: node.raft.lastIndex + 1)))
        #expect(node.raft.commitIndex == 6)
    }

    @Test("what a member acknowledged before is forgotten, and answers from before count no more")
    func progressIsForgotten() {
        let simulation = damaged()
        let leader = simulation[1]
        let before = leader.raft.progress(of: 3)
        #expect(before?.match == 7)
        let late = leader.acknowledgement(from: 3, of: 7)
        _ = leader.step(.progressForgotten(of: 3))
        #expect(leader.raft.progress(of: 3)?.match == 0)
        _ = leader.step(.receive(late))
        #expect(leader.raft.progress(of: 3)?.match == 0)
        #expect(leader.raft.commitIndex == 7, "what was committed stays so")
        for _ in 0..<6 {
            simulation.step(1, .tick)
            simulation.settle()
        }
        #expect(leader.raft.progress(of: 3)?.match == 7)
        #expect(simulation[3].raft.lastIndex == 7)
    }

    @Test("a member that rejects what it had acknowledged is asked once a heartbeat, not again and again")
    func lostEntriesAreNotAskedForInCircles() {
        let simulation = damaged()
        let leader = simulation[1]
        func appends(_ event: Event) -> Int {
            (leader.step(event) + leader.step(.collect)).count { effect in
                if case .send(let message) = effect { message.kind == .appendEntries && message.to == 3 } else { false }
            }
        }
        _ = appends(.unreachable(3))
        let heartbeat = Message(.heartbeatResponse, to: 1, from: 3, term: leader.raft.term)
        let rejection = Message(
            .appendEntriesResponse, to: 1, from: 3, term: leader.raft.term, logTerm: 1, index: 7, reject: true,
            rejectHint: 6, session: leader.raft.progress(of: 3)?.stream ?? 0)
        #expect(appends(.receive(heartbeat)) == 1)
        #expect(appends(.receive(rejection)) == 0)
        #expect(appends(.receive(heartbeat)) == 1)
        _ = leader.step(.progressForgotten(of: 3))
        #expect(appends(.receive(heartbeat)) == 1)
        #expect(leader.raft.progress(of: 3)?.match == 0)
    }

    @Test("without the vote of the damaged node nobody leads who lacks what it had acknowledged")
    func theCommittedEntrySurvives() {
        let simulation = damaged()
        simulation[1].restart()
        for _ in 0..<60 {
            for id in [NodeID(2), 3] { simulation.step(id, .tick) }
            simulation.settleExcept(1)
        }
        #expect(simulation.nodes.allSatisfy { $0.raft.role != .leader })
        #expect(simulation.violations.isEmpty)
    }

    @Test("the vote comes back when everything that counted on the old log is here")
    func theVoteComesBack() {
        let simulation = damaged()
        simulation.recover()
        #expect(simulation[3].disk.withholdsVotes)
        simulation.forget(at: 1)
        simulation.recover()
        #expect(simulation[3].disk.withholdsVotes, "before the leader has confirmed that it leads")
        for _ in 0..<6 {
            simulation.step(1, .tick)
            simulation.settle()
        }
        simulation.recover()
        #expect(!simulation[3].disk.withholdsVotes)
        #expect(simulation[3].raft.lastIndex == 7)
    }
}
