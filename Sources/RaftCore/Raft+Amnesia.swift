// A member whose log was damaged: it comes back with less than it had acknowledged, and with its term and vote whole.
//
// Such a log is begun anew at the applied index. What it lacks may have been committed by counting on it, so:
// 1. It has no vote (`RaftStart.withholdsVotes`) and does not campaign, else a leader could be elected without what is committed.
//    It appends and answers as ever: what it acknowledges now is true.
// 2. A leader forgets what it acknowledged before (`.progressForgotten`), and after that confirms by a read index that it leads.
//    Everything that any leader has committed, or will ever commit, by counting on the old log is then at or below that index.
// 3. Once it holds everything through that index, durably and committed, it has its vote again (`.votesAllowed`).
extension Raft {
    /// Takes what a member acknowledged back, and asks its log anew where it ends.
    mutating func forgetProgress(of node: NodeID) {
        guard role == .leader, node != id else { return }
        members.forgetProgress(of: node, lastIndex: log.lastIndex)
        // It would not campaign.
        if transferee == node { transferee = noNode }
    }

    /// Whether a commit index told by a heartbeat counts: it is told from what the leader believes this member to hold, and of a log
    /// that was begun anew it may believe more than is here until it was told to forget. Then an append tells the commit index again.
    func believes(commit: LogIndex) -> Bool { !withholdsVotes || commit <= log.lastIndex }

    /// Whether everything through `index` is here, durable and committed: then a log that was begun anew holds all that counted on it.
    package func holds(committedThrough index: LogIndex) -> Bool {
        log.commit >= index && log.persistedThrough >= index
    }
}

extension Membership {
    /// Knows nothing of a member's log any more; answers to appends that left before count no more.
    mutating func forgetProgress(of node: NodeID, lastIndex: LogIndex) {
        guard let place = place(of: node) else { return }
        let old = progress[place]
        progress[place] = Progress(
            id: old.id, next: lastIndex + 1, inflights: inflights, isLearner: old.isLearner,
            recentActive: old.recentActive, session: newSession())
    }
}
