/// What a replica may tell others before its disk has caught up; a driver gives it every message that leaves, and every write that ended.
///
/// Effects are given out when they are decided, so that a leader's appends travel while its own write is under way. Two kinds of message would
/// tell more than a crash leaves:
/// 1. A request for votes waits until its term, and with it the vote for itself, is durable. Else a candidate could be elected by the others,
///    forget that in a crash, and lead the same term once more with other entries (paper §5.2: at most one leader a term).
/// 2. A sole voter tells of no commit index that it does not have durably. Else the voter that goes could know durably that it is out, and the
///    one that stays could forget it: it would be in the joint configuration again, and need the vote of one that thinks itself gone. With two
///    voters or more that stay, these are a quorum of the old ones too.
package struct Disclosure: Sendable {
    private var durableTerm: Term
    private var durableCommit: LogIndex
    /// Of one term, the newest that was asked for.
    private var candidacies: [Message] = []

    /// - Parameter raft: the replica as it started: all that it knows is durable.
    package init(of raft: borrowing Raft) {
        durableTerm = raft.hardState.term
        durableCommit = raft.commitIndex
    }

    /// A message as it may leave now; nil if it waits.
    package mutating func disclosed(_ message: Message, by raft: borrowing Raft) -> Message? {
        switch message.kind {
        case .requestVote where message.term > durableTerm:
            if let held = candidacies.first, held.term < message.term { candidacies.removeAll() }
            candidacies.append(message)
            return nil
        case .appendEntries where raft.isSoleVoterAmongOthers, .heartbeat where raft.isSoleVoterAmongOthers:
            var message = message
            message.commit = min(message.commit, durableCommit)
            return message
        default:
            return message
        }
    }

    /// A write ended with this state in it; the messages that waited for it.
    package mutating func wrote(_ state: HardState?) -> [Message] {
        guard let state else { return [] }
        durableCommit = max(durableCommit, state.commit)
        durableTerm = max(durableTerm, state.term)
        guard let held = candidacies.first, held.term <= durableTerm else { return [] }
        defer { candidacies.removeAll() }
        return held.term == durableTerm ? candidacies : []
    }
}

extension Raft {
    /// Whether this replica is the only voter, or will be once a joint configuration is left, and others follow it: learners, or the voter
    /// that goes.
    ///
    /// Then its driver writes every commit index, also one that comes without entries.
    package var isSoleVoterAmongOthers: Bool {
        members.voters.count == 1 && members.voters[0] == id && members.progress.count > 1
    }
}
