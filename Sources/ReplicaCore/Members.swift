/// A configuration of the cluster as applied: consensus' configuration state, every list ascending.
package struct Members: Sendable, Hashable {
    package var voters: [UInt64]
    /// The voters of the old half while a joint configuration is active; else empty.
    package var outgoingVoters: [UInt64]
    package var learners: [UInt64]
    /// Voters of the old half that become learners when the joint configuration is left.
    package var nextLearners: [UInt64]
    /// The joint configuration is left without being asked.
    package var leavesAutomatically: Bool

    package init(
        voters: [UInt64],
        outgoingVoters: [UInt64] = [],
        learners: [UInt64] = [],
        nextLearners: [UInt64] = [],
        leavesAutomatically: Bool = false
    ) {
        self.voters = voters.sorted()
        self.outgoingVoters = outgoingVoters.sorted()
        self.learners = learners.sorted()
        self.nextLearners = nextLearners.sorted()
        self.leavesAutomatically = leavesAutomatically
    }

    /// The node votes or learns.
    package func contains(_ node: UInt64) -> Bool {
        voters.contains(node) || outgoingVoters.contains(node) || learners.contains(node) || nextLearners.contains(node)
    }

    /// The nodes are a majority of the voters, and of the outgoing voters while the configuration is joint.
    /// A configuration with no voters has no quorum.
    package func isQuorum(_ nodes: some Collection<UInt64>) -> Bool {
        func majority(_ half: [UInt64]) -> Bool { half.count(where: { nodes.contains($0) }) > half.count / 2 }
        return majority(voters) && (outgoingVoters.isEmpty || majority(outgoingVoters))
    }
}
