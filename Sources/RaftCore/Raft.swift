/// One replica's consensus: a value that takes events and returns effects, and never calls out.
///
/// Behaviour, message by message, is that of etcd/raft in its asynchronous-storage mode
/// (`Docs/Decisions/0004-twin-of-etcd-raft.md`).
///
/// ```
///              timeout (pre-vote)        pre-vote won            vote won
///   follower ───────────────▶ preCandidate ────▶ candidate ────▶ leader
///      ▲   └─ timeout without pre-vote, or transfer ──▲  │          │
///      └── higher term, leader of this term, election lost ─────────┘ (also: no quorum heard, removed)
/// ```
///
/// Invariants, checked in release builds too:
/// 1. `term` never falls, and `vote` changes only from nobody to somebody within a term.
/// 2. `applied <= applying <= commit <= lastIndex`, and `compacted <= applied` unless a snapshot is being installed.
/// 3. Unless `appliesUnpersisted`, only entries that are durable here are given to apply.
/// 4. A message that promises durability is only ever inside `Persist.responses`, together with or after what it promises.
/// 5. A leader appends only; entries at or below `commit` are never replaced.
/// 6. `match < next` for every member; a leader counts itself for entries of its term only once they are durable.
/// 7. No node is voter and learner at once; a configuration that is not joint has no outgoing part.
/// 8. Persist sequences rise by one; a receipt of an earlier term proves nothing about the log.
/// 9. A position of a read round is never reused within a term.
/// 10. A replica that withholds its vote gives none and does not campaign (`Raft+Amnesia.swift`).
package struct Raft: ~Copyable {
    package let configuration: RaftConfiguration
    /// The current term; 0 before the first election.
    package internal(set) var term: Term
    /// The candidate this replica voted for in `term`, or 0.
    package internal(set) var vote: NodeID
    package internal(set) var role = Role.follower
    /// The leader of `term`, or 0 if unknown.
    package internal(set) var leader = noNode
    /// The voter that leadership is being handed to, or 0.
    package internal(set) var transferee = noNode

    var log: RaftLog
    var members: Membership
    var reads = ReadRounds()

    /// At or above the index of the newest configuration change that may be unapplied; kept by the leader.
    var pendingConfigurationIndex: LogIndex = 0
    /// Payload bytes proposed in this term and not yet applied; may be under, never over.
    var uncommittedBytes = 0
    /// Whether a `timeoutNow` left in this term: its target may campaign at any time, so no lease holds.
    var leaseIsVoid = false

    /// Whether this replica's log was begun anew and its vote must not count yet.
    package internal(set) var withholdsVotes: Bool

    /// Ticks since the last election timeout (leader, candidate) or the last word of the leader (follower).
    var electionElapsed = 0
    var heartbeatElapsed = 0
    /// Ticks since this replica started, from 1; stamps the heartbeats that leases are counted from.
    var ticks: UInt64 = 1
    /// Ticks until a campaign, drawn anew at each change of role.
    package internal(set) var randomizedElectionTicks = 0
    var random: SplitMix

    /// Messages that may leave at once.
    var outbox: [Message] = []
    /// Messages that wait for everything not yet durable.
    var promises: [Message] = []
    /// Reads that became ready.
    var readyReads: [(index: LogIndex, context: UInt64)] = []
    /// Reads of the log store and wishes for snapshots.
    var requests: [Effect] = []

    /// What the last collected turn showed.
    var shownHardState: HardState
    var shownLeadership: Leadership
    var lastSequence: UInt64 = 0
    var receipts: [PersistReceipt] = []
    /// Batches given to apply, oldest first.
    var applyBatches: [ApplyBatch] = []

    /// Starts a replica from what its stores hold.
    ///
    /// Traps if the parts contradict each other; the caller checks its stores before.
    package init(configuration: RaftConfiguration, start: RaftStart) {
        configuration.check()
        self.configuration = configuration
        random = SplitMix(state: configuration.seed)
        log = RaftLog(start: start, configuration: configuration)
        members = Membership(configuration)
        term = start.hardState.term
        vote = start.hardState.vote
        withholdsVotes = start.withholdsVotes
        shownHardState = HardState()
        shownLeadership = Leadership(role: .follower, leader: noNode, term: 0)
        restoreMembers(start.configuration)
        becomeFollower(term: term, leader: noNode)
        shownHardState = hardState
        shownLeadership = leadership
    }

    /// Takes one event; appends what must be done at once to `effects`, and keeps the rest for `.collect`.
    package mutating func step(_ event: Event, into effects: inout [Effect]) {
        switch event {
        case .tick:
            tick()
        case .receive(let message):
            if let refusal = receive(message) { effects.append(.dropped(refusal)) }
        case .propose(let payloads):
            propose(payloads.map { Entry(data: $0) }, into: &effects)
        case .proposeConfiguration(let change):
            propose([Entry(kind: change.entryKind, data: change.encoded())], into: &effects)
        case .readIndex(let context):
            if let refusal = readIndex(context) { effects.append(.dropped(refusal)) }
        case .campaign:
            if !defersToLease { campaignIfAllowed(configuration.preVote ? .preVote : .vote) }
        case .transferLeadership(let target):
            transferLeadership(to: target)
        case .forgetLeader:
            forgetLeader()
        case .unreachable(let node):
            peerUnreachable(node)
        case .snapshotReported(let node, let succeeded):
            snapshotReported(node, succeeded: succeeded)
        case .persisted(let sequence):
            persisted(through: sequence)
        case .applied(let index):
            applied(through: index)
        case .configurationApplied(let change):
            do {
                effects.append(.configured(try apply(change)))
            } catch {
                effects.append(.dropped(.invalidConfiguration(error)))
            }
        case .compacted(let index):
            log.compact(through: index)
        case .snapshotAvailable(let snapshot):
            log.available = snapshot
        case .logRead(let node, let first, let entries):
            logRead(to: node, first: first, entries: entries)
        case .progressForgotten(let node):
            forgetProgress(of: node)
        case .votesAllowed:
            withholdsVotes = false
        case .collect:
            collect(into: &effects)
        }
    }
}

/// Entries given to apply in one effect.
struct ApplyBatch {
    var last: LogIndex
    var encodedBytes: Int
    var payloadBytes: Int
}

/// A small deterministic generator (SplitMix64) for election timeouts.
struct SplitMix {
    var state: UInt64

    mutating func next(below bound: Int) -> Int {
        state &+= 0x9E37_79B9_7F4A_7C15
        var mixed = state
        mixed = (mixed ^ (mixed >> 30)) &* 0xBF58_476D_1CE4_E5B9
        mixed = (mixed ^ (mixed >> 27)) &* 0x94D0_49BB_1331_11EB
        return Int((mixed ^ (mixed >> 31)) % UInt64(bound))
    }
}
