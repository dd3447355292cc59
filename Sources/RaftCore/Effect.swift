/// What the driver must do. `.proposed`, `.dropped` and `.configured` come at once, the others when the turn is collected.
package enum Effect: Sendable {
    /// Write this; operations are written in the order of their sequence numbers.
    case persist(Persist)
    /// Send this now; it promises nothing that is not durable.
    case send(Message)
    /// Apply these committed entries in order, then answer `.applied(through:)`.
    case apply([Entry])
    /// A read is linearizable once `index` is applied.
    case readReady(index: LogIndex, context: UInt64)
    /// The role, the leader or the term changed.
    case leadership(Leadership)
    /// Read entries for a follower from the log store, then answer `.logRead`. Once until answered, per follower.
    /// At least one entry, then as many as fit `bytesMax` (`Entry.encodedSize`).
    case readLog(to: NodeID, first: LogIndex, bytesMax: Int)
    /// A follower needs a state snapshot at or above this index, and none is at hand: make one, then `.snapshotAvailable`.
    case snapshotNeeded(for: NodeID, atLeast: LogIndex)
    /// The proposal in this very step took `count` indexes from `first` at `term`.
    case proposed(first: LogIndex, term: Term, count: Int)
    /// The request in this very step was refused; nothing of it happened or will happen.
    case dropped(Refusal)
    /// The configuration in this very step took effect.
    case configured(ConfState)
}

/// One write of hard state, entries and snapshot, with the messages that may leave only after it is durable.
package struct Persist: Sendable, Equatable {
    /// 1, 2, …; operation n is durable only if all before it are.
    package var sequence: UInt64
    /// The new hard state if it changed.
    package var hardState: HardState?
    /// Entries to append; those at and above `entries[0].index` in the log store are replaced.
    package var entries: [Entry]
    /// A received state snapshot to install; it replaces log and state, and counts as durable only when both are swapped.
    package var snapshot: Snapshot?
    /// Whether term, vote or entries changed, so that the write needs a sync (a commit index alone does not).
    package var mustSync: Bool
    /// Messages that promise this write; after it is durable, those to this node go to `.receive`, the others to the network.
    package var responses: [Message]
    /// What the durable write proves; nil if the replica needs no `.persisted` for it (sending one is harmless).
    package var receipt: PersistReceipt?

    /// Whether the driver must sync before it delivers `responses` and `.persisted`.
    package var requiresSync: Bool { mustSync || snapshot != nil }
}

/// What a replica may conclude once a persist operation is durable; kept in the replica, shown for tests.
package struct PersistReceipt: Sendable, Equatable {
    package var sequence: UInt64
    /// The term of the replica when it released the write; the log part is void in a later term.
    package var term: Term
    /// The last entry of the log at that time, if part of the log was not known durable.
    package var last: EntryID?
    /// The snapshot in the write.
    package var snapshot: Snapshot?
}

/// Who leads, as far as this replica knows.
package struct Leadership: Sendable, Equatable {
    package var role: Role
    /// The leader of `term`, or 0 if unknown.
    package var leader: NodeID
    package var term: Term

    package init(role: Role, leader: NodeID, term: Term) {
        self.role = role
        self.leader = leader
        self.term = term
    }
}

/// The four states of a replica (paper §5.1; pre-candidate: thesis §9.6).
package enum Role: UInt8, Sendable {
    case follower
    case candidate
    case leader
    case preCandidate
}

/// Why a request was refused.
package enum Refusal: Sendable, Equatable {
    /// No leader is known; try again later.
    case noLeader
    /// Another node leads and proposals are not forwarded.
    case notLeader(NodeID)
    /// This leader is no member of the configuration any more.
    case notMember
    /// Leadership is being handed to this node.
    case transferring(NodeID)
    /// Too many bytes are uncommitted: overloaded, try again later.
    case uncommittedQuota
    /// Too many reads wait: overloaded, try again later.
    case readQuota
    /// A configuration change is, or may be, in the log and not applied (thesis §4.1).
    case configurationPending(at: LogIndex)
    /// The joint configuration must be left first.
    case mustLeaveJoint
    /// There is no joint configuration to leave.
    case notJoint
    /// The change does not fit the configuration it meets.
    case invalidConfiguration(ConfigurationError)
    /// An answer from a node that is no member.
    case unknownPeer(NodeID)
}
