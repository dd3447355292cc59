// State snapshots as messages (paper §7).
extension Raft {
    /// Sends the newest state snapshot to a follower whose entries are compacted; false, since appends wait for it.
    mutating func sendSnapshot(to place: Int) -> Bool {
        // A silent follower gets none: it could not take it.
        guard members.progress[place].recentActive else { return false }
        let node = members.progress[place].id
        // One from before the start of the log would leave a gap behind it.
        guard let snapshot = log.incoming ?? log.available, snapshot.index > 0, snapshot.index >= log.compacted.index
        else {
            requests.append(.snapshotNeeded(for: node, atLeast: log.compacted.index))
            return false
        }
        guard snapshot.configuration.members.contains(node) else {
            // It joined later, and would refuse a state that does not know it.
            requests.append(.snapshotNeeded(for: node, atLeast: max(snapshot.index + 1, log.compacted.index)))
            return false
        }
        members.progress[place].becomeSnapshot(at: snapshot.index, stream: members.newSession())
        send(
            Message(.installSnapshot, to: node, session: members.progress[place].stream, snapshot: snapshot))
        return true
    }

    /// The transport tells how sending a snapshot ended.
    mutating func snapshotReported(_ node: NodeID, succeeded: Bool) {
        guard role == .leader, let place = members.place(of: node), members.progress[place].state == .snapshot
        else { return }
        // A snapshot that was not installed must not be probed from.
        if !succeeded { members.progress[place].pendingSnapshot = 0 }
        members.progress[place].becomeProbe(stream: members.newSession())
        // Wait for the follower's answer, or for a heartbeat's, before the next append.
        members.progress[place].flowPaused = true
    }

    /// Takes a leader's snapshot, or answers with the commit index if it brings nothing new.
    mutating func install(_ message: Message) {
        guard let snapshot = message.snapshot else { return }
        let taken = restore(snapshot)
        send(
            Message(
                .appendEntriesResponse, to: message.from, index: taken ? log.lastIndex : log.commit,
                session: message.session))
    }

    /// Replaces log and configuration by those of the snapshot; false if it is old, foreign, or what the log holds.
    private mutating func restore(_ snapshot: Snapshot) -> Bool {
        guard snapshot.index > log.commit else { return false }
        precondition(role == .follower, "only a follower takes a snapshot")
        let state = snapshot.configuration
        guard state.voters.contains(id) || state.votersOutgoing.contains(id) || state.learners.contains(id)
        else { return false }
        if log.holds(snapshot.id) {
            // The log already reaches that far; only the commit index is news.
            log.advanceCommit(to: snapshot.index)
            return false
        }
        log.restore(snapshot)
        restoreMembers(state)
        return true
    }
}
