package import RaftCore
package import ReplicaCore

// Consensus and state machine know nothing of each other; whoever holds both translates here what each calls the members.

extension MembershipChange {
    /// Consensus' change in the words of the state machine.
    package init(_ change: ConfigurationChange) {
        self.init(
            change.steps.map { step in
                let kind: Step.Kind =
                    switch step.kind {
                    case .addVoter: .addVoter
                    case .remove: .remove
                    case .update: .update
                    case .addLearner: .addLearner
                    }
                return Step(kind, step.node)
            },
            entersJoint: change.entersJoint, leavesAutomatically: change.entersJoint && change.autoLeaves,
            addresses: MemberAddress.decode(change.context))
    }
}

extension Members {
    /// The configuration of consensus in the words of the state machine.
    package init(_ state: ConfState) {
        self.init(
            voters: state.voters, outgoingVoters: state.votersOutgoing, learners: state.learners,
            nextLearners: state.learnersNext, leavesAutomatically: state.autoLeave)
    }

    /// The configuration as consensus starts from it.
    package var confState: ConfState {
        ConfState(
            voters: voters, votersOutgoing: outgoingVoters, learners: learners, learnersNext: nextLearners,
            autoLeave: leavesAutomatically)
    }
}
