// What the driver may ask; nothing here changes anything.
extension Raft {
    package var id: NodeID { configuration.id }
    package var commitIndex: LogIndex { log.commit }
    /// The highest index that the driver reported applied.
    package var appliedIndex: LogIndex { log.applied }
    package var lastIndex: LogIndex { log.lastIndex }
    /// The lowest retained index; above `lastIndex` if the log is empty.
    package var firstIndex: LogIndex { log.compacted.index + 1 }
    package var lastTerm: Term { log.lastID.term }
    /// The highest index that is durable in the local log.
    package var persistedIndex: LogIndex { log.persistedThrough }

    /// The hard state as of now; durable only as far as `.persisted` was told.
    package var hardState: HardState { HardState(term: term, vote: vote, commit: log.commit) }
    package var leadership: Leadership { Leadership(role: role, leader: leader, term: term) }
    /// The index of a received snapshot that is not yet installed durably; nil for none.
    package var installing: LogIndex? { log.incoming?.index }
    /// The configuration that is in force here.
    package var confState: ConfState { members.confState }

    /// Whether `.collect` would release anything.
    package var hasWork: Bool {
        role != shownLeadership.role || leader != shownLeadership.leader || hardState != shownHardState
            || !outbox.isEmpty || !promises.isEmpty || !readyReads.isEmpty || !requests.isEmpty
            || log.hasUnreleasedSnapshot || log.hasUnreleasedEntries || log.hasAppliable
    }

    /// Whether a configuration change is in the log and not applied, or may be: on a leader of any entry,
    /// elsewhere among the committed entries.
    package var hasUnappliedConfiguration: Bool {
        role == .leader ? pendingConfigurationIndex > log.applied : log.hasUnappliedConfigurationChange
    }

    /// The index up to which a leader must have applied before no configuration change is unapplied. 0 on others.
    package var configurationsEnd: LogIndex { role == .leader ? pendingConfigurationIndex : 0 }

    /// What a leader knows of the member; nil on others and for strangers.
    package func progress(of node: NodeID) -> Progress? {
        guard role == .leader, let place = members.place(of: node) else { return nil }
        return members.progress[place]
    }

    /// What a leader knows of all members, ascending; empty on others.
    package var followers: [Progress] { role == .leader ? members.progress : [] }

    /// The term of a retained entry or of the one before the first; nil outside of that.
    package func term(at index: LogIndex) -> Term? { log.term(at: index) }

    /// Whether a read at the commit index is linearizable now without asking anybody (thesis §6.4.1).
    ///
    /// A follower refuses votes for `electionTicks - 1` full ticks after it hears its leader. The leader counts from the
    /// tick at which it sent the oldest heartbeat of the newest answered by a quorum; one tick is lost to counting,
    /// `driftTicks` to clocks. A leader that asked another node to campaign has no lease for the rest of its term.
    package var holdsLease: Bool {
        guard case .lease(let driftTicks) = configuration.readMode, role == .leader, !leaseIsVoid,
            transferee == noNode, hasCommittedInTerm
        else { return false }
        let heard = members.lastHeardByQuorum(selfID: id, now: ticks)
        return heard > 0 && ticks - heard + 2 + UInt64(driftTicks) <= UInt64(configuration.electionTicks)
    }

    /// Sets the ticks until the next campaign; it lasts until the role changes. For tests and scripts.
    package mutating func setRandomizedElectionTicks(_ value: Int) {
        randomizedElectionTicks = value
    }
}
