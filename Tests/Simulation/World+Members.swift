internal import RaftCore
internal import ReplicaCore

// The operator: changes the membership one step at a time, as a person with a plan would.
extension World {
    /// Does the next step that makes sense, at the leader; false if there is none, or no leader.
    @discardableResult
    func operate() -> Bool {
        if isCalm { schedule(.operate, after: 400_000) }
        retireRemoved()
        guard let leader = leaderOfAll, !leader.raft.confState.isJoint, !leader.raft.hasUnappliedConfiguration else {
            return false
        }
        let members = leader.applier.members
        let gone = members.voters.filter { node($0).isGone }
        if let dead = members.learners.first(where: { node($0).isGone }) {
            return propose([.init(.remove, dead)], leader)
        }
        if let ready = members.learners.first(where: { isReady($0, leader) }) {
            return promote(ready, gone.first, leader)
        }
        guard members.learners.isEmpty else { return false }
        if !gone.isEmpty, isCalm || dice.chance(perMille: 700) {
            return members.voters.count > 3 && dice.chance(perMille: 400)
                ? remove(gone[0], leader) : addLearner(leader)
        }
        return !isCalm && change(members, leader)
    }

    private func change(_ members: Members, _ leader: Process) -> Bool {
        switch dice.below(3) {
        case 0 where members.voters.count > 1: return remove(dice.pick(members.voters), leader)
        case 1 where nodes.count > members.everyone.count:
            // An ID that was used before: refused when it is applied. No voter is made a learner: nobody can ask for that.
            let others = nodes.map(\.id).filter { !members.voters.contains($0) }
            return !others.isEmpty && propose([.init(.addLearner, dice.pick(others))], leader)
        default: return members.voters.count < 6 && nodes.count < 16 && addLearner(leader)
        }
    }

    /// Removes a voter; a leader hands over first, as the product's plan demands.
    private func remove(_ voter: NodeID, _ leader: Process) -> Bool {
        guard voter == leader.id else { return propose([.init(.remove, voter)], leader) }
        guard let successor = leader.successor else { return false }
        leader.step(.transferLeadership(to: successor))
        leader.turn()
        return true
    }

    private func addLearner(_ leader: Process) -> Bool {
        guard nodes.count < 24 else { return false }
        let node = addNode(Members(voters: (1...UInt64(climate.voters)).map { $0 }))
        note { "the operator adds node \(node.id)" }
        start(node)
        return propose([.init(.addLearner, node.id)], leader)
    }

    /// Makes a voter of a learner, in the place of a voter that is gone if there is one.
    private func promote(_ learner: NodeID, _ gone: NodeID?, _ leader: Process) -> Bool {
        propose([.init(.addVoter, learner)] + (gone.map { [.init(.remove, $0)] } ?? []), leader)
    }

    private func propose(
        _ steps: [ConfigurationChange.Step], _ leader: Process
    ) -> Bool {
        guard survives(steps, leader.applier.members) else { return false }
        lastChange = now
        let addresses = steps.filter { $0.kind != .remove }.map {
            MemberAddress(node: $0.node, endpoint: "node-\($0.node)", incarnation: node($0.node).incarnation)
        }
        // Voters change through a joint configuration only.
        let isOfVoters = steps.contains { $0.kind == .addVoter || leader.applier.members.voters.contains($0.node) }
        let transition: ConfigurationChange.Transition = isOfVoters ? .jointImplicit : .auto
        note { "the operator asks node \(leader.id) for \(steps)" }
        leader.step(
            .proposeConfiguration(
                ConfigurationChange(steps, transition: transition, context: MemberAddress.encode(addresses))))
        unsettledChanges.append((leader.raft.lastIndex, voters(of: leader.applier.members, after: steps)))
        leader.turn()
        return true
    }

    private func voters(of members: Members, after steps: [ConfigurationChange.Step]) -> [NodeID] {
        var voters = members.voters
        for step in steps {
            voters.removeAll { $0 == step.node }
            if step.kind == .addVoter { voters.append(step.node) }
        }
        return voters
    }

    /// Whether the voters that are left after a change have a quorum that is not lost, as the product's own check demands.
    private func survives(_ steps: [ConfigurationChange.Step], _ members: Members) -> Bool {
        let voters = voters(of: members, after: steps)
        return Members(voters: voters).isQuorum(voters.filter { node($0).isSound })
    }

    /// Whether a learner is caught up.
    private func isReady(_ learner: NodeID, _ leader: Process) -> Bool {
        guard node(learner).isRunning, let progress = leader.raft.progress(of: learner) else { return false }
        return progress.match + 5 >= leader.raft.commitIndex
    }

    /// Who leads the highest term and is not stopped.
    var leaderOfAll: Process? {
        nodes.compactMap(\.process).filter { $0.raft.role == .leader && $0.node.pausedUntil <= now }
            .max { $0.raft.term < $1.raft.term }
    }

    /// Nodes that were removed some time ago are switched off; until then they may do what they like.
    private func retireRemoved() {
        let members = newestMembers
        for node in nodes where !node.isGone && node.isRunning && !members.contains(node.id) {
            let isNew = leaderOfAll?.applier.roster[node.id] == nil
            if isNew ? isCalm && members.learners.isEmpty : dice.chance(perMille: 400) && canLose(node) { lose(node) }
        }
    }
}
