import Testing

@testable import ReplicaCore

/// Known failures of other systems' state machines, each held off by one guard of apply.
@Suite struct ScenarioTests {
    private typealias Replica = TestReplica

    @Test("the applied index is in the rows with what was applied: a restart applies nothing twice")
    func appliedIndexGoesWithTheData() throws {
        var replica = try Replica()
        try replica.run(.openSession, session: 5)
        for number in 1...6 as ClosedRange<UInt64> {
            try replica.run(
                .put(key: [1], value: [UInt8(number)], lease: 0), session: 5, sequence: number)
            // A crash here finds these rows.
            let found = try AppliedState(loading: replica.rows)
            #expect(found == replica.applier.state)
            #expect(found.index == number + 1)
            #expect(found.revision == number)
        }
    }

    @Test("a node ID that was wiped and removed is refused when it comes back")
    func removedIDStaysRemoved() throws {
        var replica = try Replica()
        let address = MemberAddress(node: 3, endpoint: "c:1")
        #expect(try replica.configure(MembershipChange([.init(.remove, 3)])) == nil)
        #expect(replica.applier.members.voters == [1, 2])
        let refusal = try replica.configure(MembershipChange([.init(.addLearner, 3)], addresses: [address]))
        #expect(refusal?.code == .alreadyExists)
        #expect(!replica.applier.members.contains(3))
    }

    @Test("voters that do not hold what is published do not become the quorum")
    func newVotersNeedPublishedChunks() throws {
        var replica = try Replica(members: Members(voters: [1]))
        let upload = UploadID(1, 1)
        let chunk = ChunkID(0, 0, 0, 9)
        try replica.run(.uploadBegin(upload, name: "m", version: nil))
        try replica.run(.uploadAdd(upload, first: 0, ids: [chunk]))
        let outcome = try replica.run(
            .publish(
                Publication(
                    upload: upload, name: "m", version: nil, root: chunk, bytes: 1, chunks: 1, files: 1,
                    durableOn: [.init(node: 1, incarnation: Incarnation(0, 1))])))
        guard case .model = outcome else { throw Failure() }
        try replica.run(.complete(node: 1, incarnation: Incarnation(0, 1), through: 1))
        let join = MembershipChange(
            [.init(.addVoter, 2)], entersJoint: true, leavesAutomatically: true,
            addresses: [MemberAddress(node: 2, endpoint: "b:1")])
        #expect(try replica.configure(join)?.code == .unavailable)
        #expect(replica.applier.members == Members(voters: [1]))
    }

    @Test("a publish whose receipts are no quorum of the configuration at its place in the log is refused")
    func publishNeedsAQuorum() throws {
        var replica = try Replica()
        let upload = UploadID(1, 1)
        let chunk = ChunkID(0, 0, 0, 9)
        try replica.run(.uploadBegin(upload, name: "m", version: nil))
        try replica.run(.uploadAdd(upload, first: 0, ids: [chunk]))
        let outcome = try replica.run(
            .publish(
                Publication(
                    upload: upload, name: "m", version: nil, root: chunk, bytes: 1, chunks: 1, files: 1,
                    durableOn: [.init(node: 1, incarnation: Incarnation(0, 1))])))
        guard case .refused(let refusal) = outcome else { throw Failure() }
        #expect(refusal.code == .unavailable)
    }

    @Test("a chunk that an open upload names is pinned before anybody says 'have it', and until it is published")
    func namedChunksArePinned() throws {
        var replica = try Replica()
        let upload = UploadID(1, 1)
        let chunk = ChunkID(0, 0, 0, 9)
        #expect(try !Pins.isPinned(chunk, at: replica.applier.readPoint, rows: replica.rows))
        try replica.run(.uploadBegin(upload, name: "m", version: nil))
        try replica.run(.uploadAdd(upload, first: 0, ids: [chunk]))
        #expect(try Pins.isPinned(chunk, at: replica.applier.readPoint, rows: replica.rows))
        try replica.run(.uploadAbort(upload))
        #expect(try !Pins.isPinned(chunk, at: replica.applier.readPoint, rows: replica.rows))
    }

    @Test("a command that a client repeats in its session is applied once")
    func repeatedCommandIsAppliedOnce() throws {
        var replica = try Replica()
        try replica.run(.openSession, session: 5)
        let put = Command.put(key: [1], value: [1], lease: 0)
        let first = try replica.run(put, session: 5, sequence: 1)
        let again = try replica.run(put, session: 5, sequence: 1)
        #expect(first == again)
        #expect(replica.applier.state.revision == 1)
    }

    private struct Failure: Error {}
}

extension TestReplica {
    /// Applies one command in a session, or one that has none.
    @discardableResult
    fileprivate mutating func run(_ command: Command, session: UInt64, sequence: UInt64 = 0) throws -> Outcome {
        try #require(
            try apply([
                Envelope(
                    session: session, sequence: sequence, lowestUnanswered: min(1, sequence), time: time,
                    command: command)
            ]).first)
    }
}
