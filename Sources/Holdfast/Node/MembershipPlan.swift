internal import RaftCore
internal import ReplicaCore

/// A wish to change who is a member.
enum MembershipRequest: Sendable, Hashable {
    case addLearner(NodeID, endpoint: String)
    case promote(NodeID)
    case remove(NodeID)
    /// `new` takes the part of `old`: a voter's once it has all that a voter must have.
    case replace(old: NodeID, new: NodeID, endpoint: String)
}

/// What a leader knows when it decides about a change of the members.
struct MembershipView: Sendable {
    /// The leader itself.
    var node: NodeID
    var members: Members
    var roster: Roster
    /// `HOST:PORT` of the members.
    var endpoints: [NodeID: String]
    /// A configuration change is in the log and not applied, or may be, or a crash could make its end unknown.
    var isChanging: Bool
    /// Members that answered a moment ago, the leader among them.
    var answering: Set<NodeID>
    /// Members whose log is, but for what is on its way, the leader's.
    var caughtUp: Set<NodeID>
    /// Members that hold every byte that is published.
    var complete: Set<NodeID>
}

/// The next step towards what was asked for; a pure decision, made anew after every step, so that a request may be repeated at any
/// leader at any time.
enum MembershipPlan: Equatable {
    /// It is so.
    case done
    /// It cannot be so.
    case refuse(HoldfastError)
    /// It may become possible; the sentence says what for.
    case wait(String)
    /// It is possible only while the node answers.
    case waitBriefly(String)
    case propose(ConfigurationChange)
    /// Another node must lead before this one can leave.
    case handOver(to: NodeID)

    init(_ request: MembershipRequest, _ view: MembershipView) {
        if view.members.isJoint || view.isChanging {
            self = .wait("another change of the members is under way")
            return
        }
        switch request {
        case .addLearner(let node, let endpoint): self = .adding(node, endpoint, besides: nil, view)
        case .promote(let node): self = .promoting(node, view)
        case .remove(let node): self = .removing(node, view)
        case .replace(let old, let new, let endpoint): self = .replacing(old, new, endpoint, view)
        }
    }

    /// `besides` is a member whose address the new one may take over.
    private static func adding(
        _ node: NodeID, _ endpoint: String, besides old: NodeID?, _ view: MembershipView
    ) -> MembershipPlan {
        if view.members.contains(node) {
            guard let known = view.endpoints[node], known != endpoint else { return .done }
            return .refuse(
                HoldfastError(
                    .alreadyExists,
                    "node \(node) is a member at \(known); a node has one address, and a new disk needs a new ID, such as "
                        + "\(view.roster.nextID(beside: view.members))"))
        }
        if view.roster[node] != nil {
            return .refuse(HoldfastError(view.roster.refusal(ofUsed: node, beside: view.members)))
        }
        if let other = view.members.everyone.first(where: { view.endpoints[$0] == endpoint && $0 != old }) {
            return .refuse(
                HoldfastError(.alreadyExists, "node \(other) has the address \(endpoint); give each node its own"))
        }
        guard view.members.everyone.count < Limits.membersMax else {
            return .refuse(HoldfastError(.resourceExhausted, "a cluster has at most \(Limits.membersMax) members"))
        }
        return .propose(ConfigurationChange([.init(.addLearner, node)]))
    }

    private static func promoting(_ node: NodeID, _ view: MembershipView) -> MembershipPlan {
        if view.members.voters.contains(node) { return .done }
        guard view.members.contains(node) else { return .refuse(stranger(node, view)) }
        if let lack = lack(of: node, view) { return lack }
        return passing(to: view.members.voters + [node], [.init(.addVoter, node)], view)
    }

    private static func removing(_ node: NodeID, _ view: MembershipView) -> MembershipPlan {
        guard view.members.contains(node) else {
            return view.roster[node] == nil ? .refuse(stranger(node, view)) : .done
        }
        let left = view.members.voters.filter { $0 != node }
        guard left.count < view.members.voters.count else {
            return .propose(ConfigurationChange([.init(.remove, node)]))
        }
        guard !left.isEmpty else {
            return .refuse(
                HoldfastError(
                    .preconditionFailed,
                    "node \(node) is the only voter: without it nothing could be written; add and promote another first"
                ))
        }
        return passing(to: left, [.init(.remove, node)], leaving: node, view)
    }

    private static func replacing(
        _ old: NodeID, _ new: NodeID, _ endpoint: String, _ view: MembershipView
    ) -> MembershipPlan {
        guard old != new else {
            return .refuse(
                HoldfastError(
                    .invalidArgument,
                    "node \(old) cannot replace itself: a new disk needs a new ID, such as "
                        + "\(view.roster.nextID(beside: view.members))"))
        }
        guard view.members.contains(old) else {
            if view.roster[old] == nil { return .refuse(stranger(old, view)) }
            // A repeated request: the first one did it.
            if view.members.contains(new) { return .done }
            return .refuse(
                HoldfastError(
                    .preconditionFailed,
                    "node \(old) is no member any more; add node \(new) with 'holdfast cluster add-learner \(new)=\(endpoint)'"
                ))
        }
        if !view.members.contains(new) || view.endpoints[new] != endpoint {
            let plan = adding(new, endpoint, besides: old, view)
            guard plan == .done else { return plan }
        }
        guard view.members.voters.contains(old), !view.members.voters.contains(new) else { return removing(old, view) }
        if let lack = lack(of: new, view) { return lack }
        // Nobody but the one that leaves could lead: the new one votes beside it first, and is handed the leadership.
        if view.members.voters == [old] { return passing(to: [old, new], [.init(.addVoter, new)], view) }
        return passing(
            to: view.members.voters.filter { $0 != old } + [new], [.init(.addVoter, new), .init(.remove, old)],
            leaving: old, view)
    }

    /// Why a learner cannot vote yet, if so.
    private static func lack(of node: NodeID, _ view: MembershipView) -> MembershipPlan? {
        if !view.answering.contains(node) {
            return .waitBriefly(
                "node \(node) does not answer at \(view.endpoints[node] ?? "its address"); is it running?")
        }
        if !view.caughtUp.contains(node) { return .wait("node \(node) has not caught up with the log yet") }
        if !view.complete.contains(node) { return .wait("node \(node) does not hold every published chunk yet") }
        return nil
    }

    /// Through a joint configuration to these voters, if they can decide and hold what is published.
    private static func passing(
        to voters: [NodeID], _ steps: [ConfigurationChange.Step], leaving: NodeID? = nil, _ view: MembershipView
    ) -> MembershipPlan {
        let next = Members(voters: voters)
        let answering = next.voters.filter(view.answering.contains)
        guard next.isQuorum(answering) else {
            return .waitBriefly(
                "of the voters \(next.voters) that would be left only \(answering) answer, which is no quorum: the cluster "
                    + "would stand still; start the others, or replace them first")
        }
        let complete = next.voters.filter(view.complete.contains)
        guard next.isQuorum(complete) else {
            return .wait(
                "of the voters \(next.voters) only \(complete) hold every published chunk, which is no quorum; wait until "
                    + "'holdfast cluster status' shows more of them complete")
        }
        if leaving == view.node {
            let able = next.voters.filter { view.answering.contains($0) && view.caughtUp.contains($0) }
            guard let successor = able.first(where: view.complete.contains) ?? able.first else {
                return .wait("no other voter has caught up, so node \(view.node) cannot hand its leadership over yet")
            }
            return .handOver(to: successor)
        }
        return .propose(ConfigurationChange(steps, transition: .jointImplicit))
    }

    private static func stranger(_ node: NodeID, _ view: MembershipView) -> HoldfastError {
        HoldfastError(
            .notFound, "node \(node) is no member of this cluster; its members are \(view.members.everyone)")
    }
}
