internal import NIOCore
internal import RaftCore

extension Replica {
    /// A peer cannot be reached. `isGone`: its address refuses connections, so its process has ended (design: a refused
    /// reconnect to the leader's address counts as forget-leader).
    func peerLost(_ node: NodeID, isGone: Bool) {
        unreachable(node)
        if isGone, raft.leader == node, raft.role != .leader { step(.forgetLeader) }
        turn()
    }

    /// Hands leadership to `node`; answered once it leads, or with a failure after two election timeouts.
    func transferLeadership(to node: NodeID, reply: Reply) {
        guard !isStopped else { return reply.fail(HoldfastError(.unavailable, "the node is stopping")) }
        guard raft.role == .leader else { return reply.fail(notLeader()) }
        guard raft.confState.voters.contains(node) else {
            return reply.fail(HoldfastError(.invalidArgument, "node \(node) is not a voter of this cluster"))
        }
        guard node != raft.id else { return reply.succeed { _ in } }
        var refusal: HoldfastError?
        step(.transferLeadership(to: node)) { effect in
            if case .dropped(let reason) = effect { refusal = error(reason) }
        }
        if let refusal { return reply.fail(refusal) }
        failTransfer("another transfer took the place of the one to node \(transfer?.target ?? noNode)")
        transfer = LeadershipTransfer(target: node, deadline: .now() + .seconds(2), reply: reply)
        turn()
    }

    /// Answers a transfer that has succeeded, or whose time is over.
    func settleTransfer(now: NIODeadline) {
        guard let waiting = transfer else { return }
        if raft.leader == waiting.target {
            transfer = nil
            waiting.reply.succeed { _ in }
        } else if now >= waiting.deadline {
            transfer = nil
            waiting.reply.fail(
                HoldfastError(
                    .unavailable, "node \(waiting.target) did not take over in time; is it running and caught up?"))
        }
    }

    /// The log or the rows have failed. Nothing can be acknowledged any more: callers hear it now, and a leader hands over instead of
    /// holding the cluster up until its process ends.
    func disable(_ error: HoldfastError) {
        guard !isStopped, disability == nil else { return }
        disability = error
        failProposals(HoldfastError(.outcomeUnknown, "the node failed before the answer: \(error.message)"))
        failReads(HoldfastError(.unavailable, error.message))
        yieldLeadership()
        turn()
    }

    /// A leader whose disk has failed, or stalls for longer than any election timeout, hands over (design: storage faults). Called once
    /// a tick.
    func watchDisk() {
        let isStalled = diskWatch.tick(waitingSince: log.flushStarted)
        if disability != nil || quarantine != nil || isStalled { yieldLeadership() }
    }

    /// Lets the best follower take over, without waiting for it.
    func yieldLeadership() {
        guard raft.role == .leader, raft.transferee == noNode, let successor else { return }
        step(.transferLeadership(to: successor))
    }

    /// Answers a transfer that somebody still waits for.
    func failTransfer(_ reason: String) {
        guard let waiting = transfer else { return }
        transfer = nil
        waiting.reply.fail(HoldfastError(.unavailable, reason))
    }

    /// The voter that would take over best: connected, with a log that is not far behind, complete, and with the longest log.
    var successor: NodeID? {
        let able = raft.followers.filter {
            $0.id != raft.id && raft.confState.voters.contains($0.id) && peers.isConnected($0.id)
        }
        let longest = able.map(\.match).max() ?? 0
        let near = able.filter { $0.match + MembershipRequests.caughtUpEntries >= longest && isComplete($0.id) }
        return (near.isEmpty ? able : near).max { $0.match < $1.match }?.id
    }

    /// Asked every tick: a new leader that is not complete looks for one that is (design: completeness).
    func preferComplete(_ now: MemberState.Values, lacks: Bool?) {
        let leads = raft.role == .leader && raft.term(at: raft.commitIndex) == raft.term && raft.transferee == noNode
        let successor = preference.successor(term: leads ? raft.term : nil, lacks: lacks, now: .now()) {
            let view = membershipView(now, needed: now.publishedRevision)
            return raft.confState.voters.filter { $0 != raft.id }.map { node in
                LeaderPreference.Candidate(
                    node: node, answers: view.answering.contains(node), isCaughtUp: view.caughtUp.contains(node),
                    isComplete: view.complete.contains(node))
            }
        }
        guard let successor else { return }
        logger.notice(
            "this leader lacks published chunks and hands over to a node that has them",
            metadata: ["to": "\(successor)"])
        figures.handOvers.increment()
        step(.transferLeadership(to: successor))
        turn()
    }

    /// Whether nobody waits for this replica any more.
    var isQuiet: Bool {
        gathered.isEmpty && proposals.isEmpty && changes.isEmpty && reads.gathered.isEmpty && reads.asked.isEmpty
            && reads.waiting.isEmpty
    }
}

/// A transfer of leadership that somebody waits for.
struct LeadershipTransfer {
    var target: NodeID
    var deadline: NIODeadline
    var reply: Reply
}

extension Replica {
    /// Campaigns at once: a node without peers need not wait for an election timeout.
    func campaign() {
        step(.campaign)
        turn()
    }
}
