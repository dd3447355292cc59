/// The settings of one replica. The defaults are the product's; tests and scripts switch parts off.
package struct RaftConfiguration: Sendable {
    /// How a leader proves that a read is linearizable.
    package enum ReadMode: Sendable, Equatable {
        /// By a round of heartbeats (thesis §6.4).
        case quorum
        /// By a lease (thesis §6.4.1), else by a round. `driftTicks` bounds by how many ticks any two clocks may
        /// diverge within one election timeout; beyond it reads may be stale. Needs check-quorum.
        case lease(driftTicks: Int)

        /// Whether leases are on.
        package var isLease: Bool { self != .quorum }
    }

    /// This replica; not 0.
    package var id: NodeID
    /// Ticks without a leader before a campaign, at least; drawn from `electionTicks ..< 2 * electionTicks`.
    package var electionTicks = 6
    /// Ticks between heartbeats; less than `electionTicks`.
    package var heartbeatTicks = 1
    /// Seeds the generator that draws election timeouts; give every node and start another one.
    package var seed: UInt64 = 0
    /// Bytes of entries in one append message, one entry at least.
    package var messageBytesMax = 1 << 20
    /// Bytes of entries given to apply and not yet reported applied.
    package var applyingBytesMax = 16 << 20
    /// Payload bytes in the leader's log that are not yet applied; more are refused, except into an empty tail.
    package var uncommittedBytesMax = 64 << 20
    /// Bytes of entries that a follower holds and has not applied; beyond that it takes no entries, and the leader sends them
    /// again later (soft: one message may pass it).
    package var unappliedBytesMax = 128 << 20
    /// Append messages on their way to one follower.
    package var inflightMessagesMax = 256
    /// Bytes of entries on their way to one follower (soft: the last message may pass it); 0 for no limit.
    package var inflightBytesMax = 16 << 20
    /// Reads that wait for a round of heartbeats or for the first commit of a term.
    package var pendingReadsMax = 65_536
    /// Bytes of applied entries kept in memory for followers that lag; older ones are read with `.readLog`.
    package var windowBytesMax = 16 << 20
    /// A candidate first asks whether it would win (thesis §9.6).
    package var preVote = true
    /// A leader that hears no quorum for an election timeout steps down, and followers of a live leader refuse votes
    /// (thesis §6.2, §4.2.3).
    package var checkQuorum = true
    package var readMode = ReadMode.quorum
    /// Followers forward proposals to the leader instead of refusing them.
    package var forwardsProposals = false
    /// Skip the checks of a configuration change when it is proposed (scripts only).
    package var skipsConfigurationChecks = false
    /// A leader that is removed or demoted becomes a follower when the change is applied.
    package var stepsDownOnRemoval = true
    /// Commands may be applied before they are durable in the local log (scripts only; the product never does).
    package var appliesUnpersisted = false
    /// Answers from an earlier membership of a follower are ignored (off in the scripts).
    package var usesSessions = true
    /// With leases, a replica that started less than an election timeout ago gives no vote, since it forgot whom it
    /// heard, and `.campaign` is ignored while a leader is heard (off in the scripts).
    package var guardsLeases = true

    package init(id: NodeID) {
        self.id = id
    }

    /// Traps on settings that cannot work together.
    func check() {
        precondition(id != noNode, "a replica needs an id other than 0")
        precondition(heartbeatTicks > 0 && electionTicks > heartbeatTicks, "electionTicks must exceed heartbeatTicks")
        precondition(inflightMessagesMax > 0, "inflightMessagesMax must be positive")
        precondition(inflightBytesMax == 0 || inflightBytesMax >= messageBytesMax, "inflightBytesMax < messageBytesMax")
        precondition(!readMode.isLease || checkQuorum, "leases need check-quorum")
    }
}

/// What a replica finds in its stores when it starts.
package struct RaftStart: Sendable {
    package var hardState = HardState()
    /// The membership at the applied index; on a node that joins with an empty log, the one that the log starts from.
    package var configuration = ConfState()
    /// The applied index of the state machine; entries through it are not applied again.
    package var applied: LogIndex = 0
    /// The entry just before the first retained one: (0, 0) for a log that was never compacted.
    package var compacted = EntryID(term: 0, index: 0)
    /// The terms of all retained entries, as runs in ascending order; the first run starts at `compacted.index + 1`.
    package var terms: [TermRun] = []
    /// The last retained index; `compacted.index` if the log is empty.
    package var lastIndex: LogIndex = 0
    /// The tail of the log with payloads: contiguous, ends at `lastIndex`, starts at or below `applied + 1`.
    /// Entries in it need no run in `terms`.
    package var tail: [Entry] = []
    /// The log was damaged and begun anew, so that this replica may lack what it had acknowledged: it gives no vote and does not
    /// campaign before `.votesAllowed`.
    package var withholdsVotes = false

    package init() {}
}

/// Entries of one term: from `first` up to the next run.
package struct TermRun: Sendable, Equatable {
    package var first: LogIndex
    package var term: Term

    package init(first: LogIndex, term: Term) {
        self.first = first
        self.term = term
    }
}
