/// One message between replicas: a flat record whose `kind` says which fields mean something.
///
/// | kind | fields beside `to`, `from`, `term` |
/// |---|---|
/// | appendEntries | logTerm, index (the entry before), entries, commit, session |
/// | appendEntriesResponse | index (last matched), or reject with index, rejectHint, logTerm; session |
/// | requestVote, requestPreVote | logTerm, index (last entry), context (1: leadership transfer) |
/// | requestVoteResponse, requestPreVoteResponse | reject |
/// | heartbeat, heartbeatResponse | commit, context (read round, 0 for none), session (the leader's tick, echoed) |
/// | installSnapshot | snapshot, session |
/// | propose | entries |
/// | readIndex, readIndexResponse | context (the reader's), index |
/// | transferLeadership | from (the target), not the sender |
/// | timeoutNow | none |
package struct Message: Sendable, Equatable {
    /// What a message asks or answers; raw values are stable and go over the wire.
    package enum Kind: UInt8, Sendable, CaseIterable {
        case propose = 1
        case appendEntries = 2
        case appendEntriesResponse = 3
        case requestVote = 4
        case requestVoteResponse = 5
        case requestPreVote = 6
        case requestPreVoteResponse = 7
        case heartbeat = 8
        case heartbeatResponse = 9
        case installSnapshot = 10
        case transferLeadership = 11
        case timeoutNow = 12
        case readIndex = 13
        case readIndexResponse = 14

        /// Whether the kind answers another; an answer from a node that is no member is ignored.
        package var isResponse: Bool {
            switch self {
            case .appendEntriesResponse, .requestVoteResponse, .requestPreVoteResponse, .heartbeatResponse,
                .readIndexResponse:
                true
            default: false
            }
        }
    }

    package var kind: Kind
    package var reject: Bool
    package var to: NodeID
    package var from: NodeID
    /// The sender's term (for pre-votes, the term it would campaign at); 0 for propose and readIndex.
    package var term: Term
    package var logTerm: Term
    package var index: LogIndex
    package var commit: LogIndex
    package var rejectHint: LogIndex
    package var context: UInt64
    /// The stream of appends to the follower (0: none), see `Progress.stream`.
    package var session: UInt64
    package var entries: [Entry]
    package var snapshot: Snapshot?

    package init(
        _ kind: Kind, to: NodeID, from: NodeID = noNode, term: Term = 0, logTerm: Term = 0, index: LogIndex = 0,
        commit: LogIndex = 0, reject: Bool = false, rejectHint: LogIndex = 0, context: UInt64 = 0,
        session: UInt64 = 0, entries: [Entry] = [], snapshot: Snapshot? = nil
    ) {
        self.kind = kind
        self.reject = reject
        self.to = to
        self.from = from
        self.term = term
        self.logTerm = logTerm
        self.index = index
        self.commit = commit
        self.rejectHint = rejectHint
        self.context = context
        self.session = session
        self.entries = entries
        self.snapshot = snapshot
    }

    /// The `context` of a vote request that a leadership transfer asked for; it overrides leases (thesis §4.2.3).
    package static let transferContext: UInt64 = 1
}
