/// Everything that can happen to a replica; `Raft.step(_:into:)` takes one at a time.
package enum Event: Sendable {
    /// One tick of the driver's clock passed; election and heartbeat timeouts count ticks.
    case tick
    /// A message arrived: from a peer, or from itself out of `Persist.responses`.
    case receive(Message)
    /// Append one normal entry a payload, all or none; answered at once by `.proposed` or `.dropped`,
    /// or by nothing when it was forwarded to the leader. Batch: one event a turn costs one message a follower.
    case propose([[UInt8]])
    /// Append a configuration change; answered like `.propose`.
    case proposeConfiguration(ConfigurationChange)
    /// Ask for an index such that a read served at or above it is linearizable (thesis §6.4);
    /// answered by `.readReady`, or at once by `.dropped`. A change of leader or term may leave it unanswered.
    /// `context` comes back with the answer, more than once if the network repeats messages; never reuse it.
    case readIndex(context: UInt64)
    /// Campaign now, as if the election timeout had passed.
    case campaign
    /// Hand leadership to a voter (thesis §3.10); a follower forwards it to the leader.
    case transferLeadership(to: NodeID)
    /// A follower's leader is known to be gone: stop deferring to it without starting an election.
    case forgetLeader
    /// The last message to this peer could not be delivered.
    case unreachable(NodeID)
    /// An `installSnapshot` message ended: delivered and installed, or not.
    case snapshotReported(NodeID, succeeded: Bool)
    /// Every persist operation through this sequence is durable. Deliver `Persist.responses` first.
    case persisted(through: UInt64)
    /// Every entry through this index is applied. Report configuration changes among them first.
    case applied(through: LogIndex)
    /// A committed configuration change is applied and takes effect (not sent if the layer above made it a no-op).
    /// Answered at once by `.configured`, or by `.dropped` if the change does not fit the configuration.
    case configurationApplied(ConfigurationChange)
    /// The log store no longer holds entries through this index (at most the applied index counts).
    case compacted(through: LogIndex)
    /// The newest state snapshot that may be sent to a follower; nil if none at or above the compacted index is at hand.
    case snapshotAvailable(Snapshot?)
    /// The answer to `.readLog`: entries from `first`, contiguous; empty when the read failed.
    case logRead(to: NodeID, first: LogIndex, entries: [Entry])
    /// A member's log was damaged and begun anew: what it acknowledged until now counts no more. Only a leader has something to forget;
    /// ask for a read index afterwards, and give the member its vote back once it holds everything through that.
    case progressForgotten(of: NodeID)
    /// A replica that started with `withholdsVotes` holds everything that may have counted on it (`Raft.holds(committedThrough:)`).
    case votesAllowed
    /// The turn ends: release the work that gathered since the last `.collect`.
    case collect
}
