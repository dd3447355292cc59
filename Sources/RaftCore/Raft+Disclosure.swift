// What a sole voter tells those that do not vote with it.
extension Raft {
    /// Whether this replica is the only voter, or will be once a joint configuration is left, and others follow it: learners, or the voter
    /// that goes.
    ///
    /// Then its driver writes every commit index, also one that comes without entries.
    package var isSoleVoterAmongOthers: Bool {
        members.voters.count == 1 && members.voters[0] == id && members.progress.count > 1
    }

    /// A message as it may leave: a sole voter tells of no commit index that it does not have durably.
    ///
    /// Else the voter that goes could know durably that it is out, and the one that stays could forget it in a crash: it would be in the joint
    /// configuration again, and need the vote of one that thinks itself gone. With two voters or more that stay, these are a quorum of the old
    /// ones too.
    package func disclosed(_ message: Message, durableCommit: LogIndex) -> Message {
        guard message.kind == .appendEntries || message.kind == .heartbeat, message.commit > durableCommit,
            isSoleVoterAmongOthers
        else { return message }
        var message = message
        message.commit = durableCommit
        return message
    }
}
