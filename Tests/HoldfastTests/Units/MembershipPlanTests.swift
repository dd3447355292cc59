import RaftCore
import ReplicaCore
import Testing

@testable import Holdfast

/// What a leader decides about a change of the members.
@Suite struct MembershipPlanTests {
    /// Three voters and a learner, all well, led by node 1.
    private func view(_ change: (inout MembershipView) -> Void = { _ in }) -> MembershipView {
        var view = MembershipView(
            node: 1, members: Members(voters: [1, 2, 3], learners: [4]), roster: Roster(),
            endpoints: [1: "h:1", 2: "h:2", 3: "h:3", 4: "h:4"], isChanging: false, answering: [1, 2, 3, 4],
            caughtUp: [1, 2, 3, 4], complete: [1, 2, 3, 4])
        change(&view)
        return view
    }

    private func joint(_ steps: [ConfigurationChange.Step]) -> MembershipPlan {
        .propose(ConfigurationChange(steps, transition: .jointImplicit))
    }

    private func refusal(_ plan: MembershipPlan) -> HoldfastError.Code? {
        if case .refuse(let error) = plan { return error.code }
        return nil
    }

    private func sentence(_ plan: MembershipPlan) -> String? {
        switch plan {
        case .wait(let sentence), .waitBriefly(let sentence): sentence
        default: nil
        }
    }

    @Test func `a learner joins directly, voters change through a joint configuration`() {
        #expect(
            MembershipPlan(.addLearner(5, endpoint: "h:5"), view())
                == .propose(ConfigurationChange([.init(.addLearner, 5)])))
        #expect(MembershipPlan(.promote(4), view()) == joint([.init(.addVoter, 4)]))
        #expect(MembershipPlan(.remove(4), view()) == .propose(ConfigurationChange([.init(.remove, 4)])))
        #expect(MembershipPlan(.remove(3), view()) == joint([.init(.remove, 3)]))
        #expect(
            MembershipPlan(.replace(old: 3, new: 4, endpoint: "h:4"), view())
                == joint([.init(.addVoter, 4), .init(.remove, 3)]))
    }

    @Test func `the only voter is replaced by one that votes beside it first`() {
        let request = MembershipRequest.replace(old: 1, new: 2, endpoint: "h:2")
        func alone(_ members: Members) -> MembershipView {
            view {
                $0.members = members
                $0.endpoints = [1: "h:1", 2: "h:2"]
                ($0.answering, $0.caughtUp, $0.complete) = ([1, 2], [1, 2], [1, 2])
            }
        }
        #expect(MembershipPlan(request, alone(Members(voters: [1], learners: [2]))) == joint([.init(.addVoter, 2)]))
        var both = alone(Members(voters: [1, 2]))
        #expect(MembershipPlan(request, both) == .handOver(to: 2))
        both.node = 2
        #expect(MembershipPlan(request, both) == joint([.init(.remove, 1)]))
    }

    @Test func `what is so already is done`() {
        #expect(MembershipPlan(.addLearner(4, endpoint: "h:4"), view()) == .done)
        #expect(MembershipPlan(.addLearner(3, endpoint: "h:3"), view()) == .done)
        #expect(MembershipPlan(.promote(3), view()) == .done)
    }

    @Test func `one change at a time`() {
        for request in [MembershipRequest.promote(4), .remove(3), .addLearner(5, endpoint: "h:5")] {
            #expect(sentence(MembershipPlan(request, view { $0.isChanging = true })) != nil)
            #expect(sentence(MembershipPlan(request, view { $0.members.outgoingVoters = [1, 2] })) != nil)
        }
    }

    @Test func `a learner votes only when it answers, has caught up and holds every chunk`() {
        for request in [MembershipRequest.promote(4), .replace(old: 3, new: 4, endpoint: "h:4")] {
            #expect(sentence(MembershipPlan(request, view { $0.answering.remove(4) }))?.contains("answer") == true)
            #expect(sentence(MembershipPlan(request, view { $0.caughtUp.remove(4) }))?.contains("caught up") == true)
            #expect(sentence(MembershipPlan(request, view { $0.complete.remove(4) }))?.contains("chunk") == true)
        }
        #expect(refusal(MembershipPlan(.promote(9), view())) == .notFound)
    }

    @Test func `a voter leaves only if the rest can decide and holds what is published`() {
        let lonely = view { $0.answering = [1, 3] }
        #expect(sentence(MembershipPlan(.remove(3), lonely))?.contains("no quorum") == true)
        #expect(MembershipPlan(.remove(2), lonely) == joint([.init(.remove, 2)]), "the one that is gone may go")
        let poor = view { $0.complete = [1, 3] }
        #expect(sentence(MembershipPlan(.remove(3), poor))?.contains("published") == true)
        #expect(MembershipPlan(.remove(2), poor) == joint([.init(.remove, 2)]))
        #expect(refusal(MembershipPlan(.remove(9), view())) == .notFound)
        let last = view { $0.members = Members(voters: [1], learners: [4]) }
        #expect(refusal(MembershipPlan(.remove(1), last)) == .preconditionFailed)
    }

    @Test func `a leader that is to leave hands over to a complete voter first`() {
        #expect(MembershipPlan(.remove(1), view()) == .handOver(to: 2))
        let poor = view { $0.complete = [1, 3, 4] }
        #expect(sentence(MembershipPlan(.remove(1), poor))?.contains("published") == true, "2 of 2 are a quorum")
        let five = view {
            $0.members = Members(voters: [1, 2, 3, 5])
            $0.answering = [1, 2, 3, 5]
            $0.caughtUp = [1, 2, 3, 5]
            $0.complete = [1, 3, 5]
        }
        #expect(MembershipPlan(.remove(1), five) == .handOver(to: 3))
        #expect(sentence(MembershipPlan(.remove(1), view { $0.caughtUp = [1] }))?.contains("leadership") == true)
    }

    @Test func `an address belongs to one member, but a new disk may stand where the old one did`() {
        #expect(refusal(MembershipPlan(.addLearner(5, endpoint: "h:3"), view())) == .alreadyExists)
        #expect(refusal(MembershipPlan(.addLearner(4, endpoint: "h:9"), view())) == .alreadyExists)
        let plan = MembershipPlan(.replace(old: 3, new: 5, endpoint: "h:3"), view())
        #expect(plan == .propose(ConfigurationChange([.init(.addLearner, 5)])))
        #expect(refusal(MembershipPlan(.replace(old: 3, new: 5, endpoint: "h:2"), view())) == .alreadyExists)
        #expect(refusal(MembershipPlan(.replace(old: 3, new: 3, endpoint: "h:3"), view())) == .invalidArgument)
        #expect(refusal(MembershipPlan(.replace(old: 9, new: 5, endpoint: "h:5"), view())) == .notFound)
    }

    @Test func `requests and reports survive the wire`() throws {
        let requests: [MembershipRequest] = [
            .addLearner(300, endpoint: "[::1]:7"), .promote(1), .remove(2), .replace(old: 1, new: 2, endpoint: "h:1"),
        ]
        for request in requests {
            var reader = ByteReader(written { request.encode(into: &$0) })
            #expect(try MembershipRequest.decode(from: &reader) == request && reader.remaining == 0)
        }
        let report = MembershipReport(
            cluster: "c", bootstrap: Digest(1, 2, 3, 4), lineage: Lineage(1, 2),
            first: [MemberAddress(node: 1, endpoint: "h:1")],
            members: Members(voters: [1, 4], outgoingVoters: [1, 2], learners: [5]),
            addresses: [1, 2, 4, 5].map {
                MemberAddress(node: $0, endpoint: "h:\($0)", incarnation: Incarnation($0, 1))
            },
            removed: [3], nextID: 6, featureVersion: 2)
        let bytes = written { report.encode(into: &$0) }
        var reader = ByteReader(bytes + [1, 2, 3])
        #expect(try MembershipReport.decode(from: &reader) == report, "later versions may say more")
        #expect(report.clusterMembers.members.map(\.role) == [.voter, .leaving, .voter, .learner])
        for count in 0..<bytes.count {
            var short = ByteReader(Array(bytes[..<count]))
            #expect(throws: DecodeError.self) { try MembershipReport.decode(from: &short) }
        }
    }

    private func written(_ body: (inout ByteWriter) -> Void) -> [UInt8] {
        var writer = ByteWriter()
        body(&writer)
        return writer.bytes
    }

    @Test func `an ID is refused where a disk had it`() throws {
        let report = MembershipReport(
            cluster: "c", bootstrap: .zero, lineage: .zero, first: [MemberAddress(node: 1, endpoint: "h:1")],
            members: Members(voters: [1, 4], learners: [5, 6]),
            addresses: [
                MemberAddress(node: 4, endpoint: "h:4"), MemberAddress(node: 5, endpoint: "h:5"),
                MemberAddress(node: 6, endpoint: "h:6", incarnation: Incarnation(1, 1)),
            ], removed: [3], nextID: 7, featureVersion: 1)
        for used in [UInt64(1), 3, 4, 6] {
            let error = #expect(throws: HoldfastError.self) { try report.checkUnused(used) }
            #expect(error?.code == .alreadyExists && error?.message.contains("7") == true)
        }
        for free in [UInt64(5), 7, 99] { try report.checkUnused(free) }
    }

    /// The state machine and consensus compute a configuration each on its own: they must agree on every change.
    @Test(arguments: UInt64(0)..<20)
    func `consensus and the state machine agree on every change`(seed: UInt64) {
        var random = SeededGenerator(seed: seed)
        var configuration = RaftConfiguration(id: 1)
        configuration.seed = seed
        var membership = Membership(configuration)
        let first = ConfigurationChange([1, 2, 3].map { .init(.addVoter, $0) })
        for step in first.steps {
            guard let next = try? membership.simplyChanged([step], lastIndex: 0) else { continue }
            membership = next
        }
        var members = Members(membership.confState)
        #expect(members == Members(voters: [1, 2, 3]))
        var taken = 0
        for _ in 0..<400 {
            let kinds: [ConfigurationChange.Step.Kind] = [.addVoter, .remove, .update, .addLearner]
            let steps = (0..<Int.random(in: 0...4, using: &random)).map { _ in
                ConfigurationChange.Step(
                    kinds[Int.random(in: 0..<4, using: &random)], UInt64.random(in: 0...6, using: &random))
            }
            let transitions: [ConfigurationChange.Transition] = [.auto, .jointImplicit, .jointExplicit]
            let change = ConfigurationChange(steps, transition: transitions[Int.random(in: 0..<3, using: &random)])
            let consensus = try? membership.changed(by: change, lastIndex: 1)
            let machine = try? members.changed(by: MembershipChange(change))
            #expect((consensus?.confState).map { Members($0) } == machine, "seed \(seed): \(change) of \(members)")
            guard let consensus, let machine else { continue }
            membership = consensus
            members = machine
            taken += 1
        }
        #expect(taken > 20, "seed \(seed): only \(taken) changes fitted")
    }
}

/// SplitMix64: the same seed gives the same numbers on every machine.
private struct SeededGenerator: RandomNumberGenerator {
    private var state: UInt64

    init(seed: UInt64) { state = seed }

    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var mixed = state
        mixed = (mixed ^ (mixed >> 30)) &* 0xBF58_476D_1CE4_E5B9
        mixed = (mixed ^ (mixed >> 27)) &* 0x94D0_49BB_1331_11EB
        return mixed ^ (mixed >> 31)
    }
}
