internal import NIOCore
internal import ReplicaCore

/// The members of the cluster and their changes. Every change may be repeated: what is so already is no error.
extension Store {
    /// Who is a member now.
    public func members() async throws(HoldfastError) -> ClusterMembers {
        try await membership(.linearizable).clusterMembers
    }

    /// Adds a node that receives everything and does not vote.
    ///
    /// - Parameters:
    ///   - id: an ID that was never used in this cluster.
    ///   - endpoint: where the node listens, `HOST:PORT`. It need not run yet.
    /// - Throws: `alreadyExists` for an ID that was used before or an address that another member has; `preconditionFailed` where a node
    ///   of another cluster or with another ID answers there.
    @discardableResult
    public func addLearner(_ id: UInt64, endpoint: String) async throws(HoldfastError) -> ClusterMembers {
        try await change(.addLearner(id, endpoint: endpoint))
    }

    /// Makes a learner a voter, once it has caught up with the log and holds every published chunk; waits for that until the timeout.
    ///
    /// - Throws: `notFound` for a node that is no member, `preconditionFailed` with what it still lacks at the timeout.
    @discardableResult
    public func promote(_ id: UInt64) async throws(HoldfastError) -> ClusterMembers {
        try await change(.promote(id))
    }

    /// Removes a member; its process is told and stops. Its ID is never used again.
    ///
    /// - Throws: `notFound` for an ID that was never a member's, `preconditionFailed` where the rest would have no quorum that
    ///   answers and holds everything published.
    @discardableResult
    public func removeMember(_ id: UInt64) async throws(HoldfastError) -> ClusterMembers {
        try await change(.remove(id))
    }

    /// Puts a new node in the place of a member: adds it, waits until it has everything, and changes one for the other in one step.
    ///
    /// - Throws: as `addLearner`, `promote` and `removeMember`. After `preconditionFailed` at the timeout the new node is a learner, and
    ///   the same call goes on from there.
    @discardableResult
    public func replaceMember(
        _ old: UInt64, with id: UInt64, endpoint: String
    ) async throws(HoldfastError) -> ClusterMembers {
        try await change(.replace(old: old, new: id, endpoint: endpoint))
    }

    private func change(_ request: MembershipRequest) async throws(HoldfastError) -> ClusterMembers {
        let limit = deadline
        let answer = try await router.send(
            .changeMembership, .written { request.encode(into: &$0) }, to: .leader, deadline: limit, isWrite: true,
            attempt: max(limit - .now(), .seconds(1)))
        return try Self.decode(answer) { reader throws(DecodeError) in
            try MembershipReport.decode(from: &reader)
        }.clusterMembers
    }

    /// Everything that a node tells of its cluster's members.
    func membership(_ consistency: ReadConsistency) async throws(HoldfastError) -> MembershipReport {
        let answer = try await router.send(
            .membership, .written { $0.byte(consistency.tag) }, to: .any, deadline: deadline)
        return try Self.decode(answer) { reader throws(DecodeError) in
            try MembershipReport.decode(from: &reader)
        }
    }
}

extension MembershipReport {
    /// The report in public words.
    var clusterMembers: ClusterMembers {
        ClusterMembers(
            members: addresses.map { address in
                let role: ClusterMembers.Member.Role =
                    if members.voters.contains(address.node) {
                        .voter
                    } else if members.outgoingVoters.contains(address.node) {
                        .leaving
                    } else {
                        .learner
                    }
                return ClusterMembers.Member(id: address.node, endpoint: address.endpoint, role: role)
            },
            removed: removed, nextID: nextID, isChanging: members.isJoint)
    }
}
