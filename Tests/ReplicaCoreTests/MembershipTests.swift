import Testing

@testable import ReplicaCore

/// Random changes of a small cluster.
enum MembershipTraffic {
    /// A change that often fits; nil for one that could not be read.
    static func change(_ random: inout SeededRandom) -> MembershipChange? {
        if random.chance(1, in: 20) { return nil }
        if random.chance(1, in: 3) { return .leaveJoint }
        let kinds: [MembershipChange.Step.Kind] = [.addVoter, .remove, .update, .addLearner]
        let steps = (0..<(1 + random.below(3))).map { _ in
            MembershipChange.Step(kinds[random.below(kinds.count)], UInt64(random.below(9)))
        }
        let addresses = random.chance(1, in: 8) ? nil : (1...9).map { MemberAddress(node: $0, endpoint: "host:\($0)") }
        return MembershipChange(
            steps, entersJoint: steps.count > 1 || random.chance(1, in: 2), leavesAutomatically: true,
            addresses: addresses)
    }
}

@Suite struct MembershipTests {
    private func add(_ node: UInt64, _ kind: MembershipChange.Step.Kind = .addLearner) -> MembershipChange {
        MembershipChange([.init(kind, node)], addresses: [MemberAddress(node: node, endpoint: "host:\(node)")])
    }

    @Test func `a configuration, its addresses and its index are what a restart finds`() throws {
        var replica = try TestReplica()
        #expect(replica.applier.roster == Roster())
        #expect(try replica.configure(add(9)) == nil)
        let joint = MembershipChange(
            [.init(.addVoter, 4), .init(.addLearner, 3)], entersJoint: true, leavesAutomatically: true,
            addresses: replica.addresses([4]))
        #expect(try replica.configure(joint) == nil)
        let members = Members(
            voters: [1, 2, 4], outgoingVoters: [1, 2, 3], learners: [9], nextLearners: [3], leavesAutomatically: true)
        #expect(replica.applier.members == members)
        #expect(replica.output.members == members && replica.output.roster == replica.applier.roster)
        let before = replica.applier.roster
        try replica.restart()
        #expect(replica.applier.members == members && replica.applier.roster == before)
        #expect(before.index == 2 && before.records.map(\.node) == [1, 2, 3, 4, 9])
        #expect(before[4] == MemberRecord(node: 4, endpoint: "host:4", incarnation: Incarnation(4, 4), joined: 2))
        #expect(try replica.configure(.leaveJoint) == nil)
        #expect(replica.applier.members == Members(voters: [1, 2, 4], learners: [3, 9]))
    }

    @Test func `a node ID is never used again`() throws {
        var replica = try TestReplica()
        #expect(try replica.configure(MembershipChange([.init(.remove, 3)])) == nil)
        #expect(replica.applier.roster[3]?.removed == 1)
        try replica.restart()
        for kind in [MembershipChange.Step.Kind.addLearner, .addVoter] {
            let refusal = try replica.configure(add(3, kind))
            #expect(refusal?.code == .alreadyExists && refusal?.message.contains("such as 4") == true)
        }
        #expect(replica.applier.members == Members(voters: [1, 2]))
        #expect(try replica.configure(add(4)) == nil)
        #expect(try replica.configure(MembershipChange([.init(.remove, 4)])) == nil)
        #expect(try replica.configure(add(4))?.code == .alreadyExists)
        #expect(replica.applier.roster.nextID(beside: replica.applier.members) == 5)
    }

    @Test func `a change that does not fit does nothing and says why`() throws {
        var replica = try TestReplica(members: Members(voters: [1]))
        let changes: [MembershipChange?] = [
            nil, .leaveJoint, MembershipChange([.init(.remove, 1)]), MembershipChange([.init(.addLearner, 2)]),
            MembershipChange([.init(.addVoter, 2)], addresses: nil),
            MembershipChange(
                [.init(.addVoter, 2), .init(.addVoter, 3)], addresses: replica.addresses([2, 3])),
        ]
        for change in changes {
            #expect(try replica.configure(change) != nil, "\(String(describing: change))")
            #expect(replica.applier.members == Members(voters: [1]) && replica.output.members == nil)
        }
        #expect(replica.applier.roster == Roster())
        let joint = MembershipChange([.init(.addVoter, 2)], entersJoint: true, addresses: replica.addresses([2]))
        #expect(try replica.configure(joint) == nil)
        #expect(try replica.configure(add(3))?.code == .preconditionFailed, "one change at a time")
    }

    @Test func `a configuration whose voters lack something published is refused until a quorum of them has it`() throws
    {
        var replica = try TestReplica()
        let id = UploadID(7, 7)
        let chunk = ChunkID(1, 2, 3, 4)
        _ = try replica.run(.uploadBegin(id, name: "m", version: nil))
        _ = try replica.run(.uploadAdd(id, first: 0, ids: [chunk]))
        let life = Incarnation(1, 1)
        let receipts = [UInt64(1), 2].map { Publication.Receipt(node: $0, incarnation: life) }
        let publication = Publication(
            upload: id, name: "m", version: nil, root: chunk, bytes: 1, chunks: 1, files: 1, durableOn: receipts)
        let revision = try #require(try replica.run(.publish(publication)).model?.publishedRevision)
        #expect(try replica.configure(add(4)) == nil, "a learner changes no quorum")
        for node in [UInt64(1), 2] {
            _ = try replica.run(.complete(node: node, incarnation: life, through: revision))
        }
        // Of 2, 3, 4 only node 2 has it; of 1, 2, 4 both that had it.
        let away = MembershipChange([.init(.addVoter, 4), .init(.remove, 1)], entersJoint: true)
        let refusal = try replica.configure(away)
        #expect(refusal?.code == .unavailable && refusal?.message.contains("no quorum") == true)
        #expect(replica.applier.members == Members(voters: [1, 2, 3], learners: [4]))
        _ = try replica.run(.complete(node: 4, incarnation: life, through: revision))
        #expect(try replica.configure(away) == nil)
        #expect(try replica.configure(.leaveJoint) == nil)
        #expect(replica.applier.members == Members(voters: [2, 3, 4]))
        #expect(replica.applier.completeness.map(\.node) == [2, 4], "what a removed node had counts no more")
        try replica.restart()
        #expect(replica.applier.completeness.map(\.node) == [2, 4])
        // A lowered completeness counts too, and a retired version below the floor does not.
        _ = try replica.run(.complete(node: 4, incarnation: life, through: 0))
        let less = MembershipChange([.init(.remove, 3)], entersJoint: true)
        #expect(try replica.configure(less)?.code == .unavailable)
        _ = try replica.run(.retire(name: "m", version: "1"))
        #expect(try replica.configure(less)?.code == .unavailable)
        _ = try replica.run(.compact(revision: replica.applier.state.revision))
        #expect(try replica.configure(less) == nil)
    }

    @Test func `addresses survive their encoding, and other bytes are refused`() {
        let addresses = [MemberAddress(node: 300, endpoint: "[::1]:7001", incarnation: Incarnation(1, 2))]
        let bytes = MemberAddress.encode(addresses)
        #expect(MemberAddress.decode(bytes) == addresses)
        #expect(MemberAddress.decode([]) == [] && MemberAddress.encode([]) == [])
        for count in 1..<bytes.count { #expect(MemberAddress.decode(Array(bytes[..<count])) == nil) }
        #expect(MemberAddress.decode(bytes + [0]) == nil)
    }
}
