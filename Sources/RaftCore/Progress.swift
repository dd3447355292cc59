/// What a leader knows of one member's log, and how it sends to it.
///
/// ```
///            answer matches                rejected, unreachable
///   probe ───────────────────▶ replicate ───────────────────────▶ probe
///     └──▶ snapshot ◀── entries compacted ──┘      snapshot ── installed, failed ──▶ probe
/// ```
/// Invariants: 1. `match < next`. 2. In `snapshot`, `next == pendingSnapshot + 1` and nothing is sent.
package struct Progress: Sendable {
    /// How entries are sent.
    package enum State: UInt8, Sendable {
        /// Where the logs meet is unknown: one append at a time.
        case probe
        /// Appends follow each other without waiting, within the in-flight limits.
        case replicate
        /// A state snapshot is on its way; appends wait.
        case snapshot
    }

    package let id: NodeID
    /// The member's log is known to equal the leader's up to here.
    package internal(set) var match: LogIndex
    /// The next entry to send; those above `match` and below are on their way.
    package internal(set) var next: LogIndex
    /// The highest commit index on its way; falls when messages may be lost.
    var sentCommit: LogIndex = 0
    package internal(set) var state = State.probe
    /// The index of the snapshot on its way, or 0.
    package internal(set) var pendingSnapshot: LogIndex = 0
    /// Whether it answered since the last check of the quorum.
    package internal(set) var recentActive: Bool
    /// Whether appends wait for an answer or a heartbeat's answer.
    var flowPaused = false
    package internal(set) var inflights: Inflights
    package internal(set) var isLearner: Bool
    /// Names this membership of the node: given when it joins, carried by appends and echoed by their answers, so that
    /// an answer from before a removal proves nothing. 0 when sessions are off.
    let session: UInt64
    /// Names the appends since the state last changed, from the same numbers as `session`: they carry it. An acknowledgement of any stream of this
    /// membership counts; a rejection only of the present one, else every append that a network repeats, or brings out of order, would be
    /// answered with a window of others.
    package internal(set) var stream: UInt64
    /// Whether a read of the log store for it is under way.
    var awaitsRead = false
    /// The leader's tick at which the newest answered heartbeat left, or 0.
    var heardAt: UInt64 = 0

    /// Whether no append goes out before an answer, or the snapshot's end.
    package var isPaused: Bool { state == .snapshot || flowPaused }

    init(
        id: NodeID, match: LogIndex = 0, next: LogIndex, inflights: Inflights, isLearner: Bool, recentActive: Bool,
        session: UInt64
    ) {
        self.id = id
        self.match = match
        self.next = next
        self.inflights = inflights
        self.isLearner = isLearner
        self.recentActive = recentActive
        self.session = session
        stream = session
    }

    private mutating func enter(_ newState: State, stream newStream: UInt64) {
        stream = newStream
        flowPaused = false
        pendingSnapshot = 0
        state = newState
        inflights.reset()
    }

    /// Sends one append at a time from after what is known to match, or from after the snapshot that was sent.
    mutating func becomeProbe(stream: UInt64) {
        let installed = state == .snapshot ? pendingSnapshot : 0
        enter(.probe, stream: stream)
        next = max(match, installed) + 1
        sentCommit = min(sentCommit, next - 1)
    }

    /// Streams from after what is known to match.
    mutating func becomeReplicate(stream: UInt64) {
        enter(.replicate, stream: stream)
        next = match + 1
    }

    /// Waits for the snapshot at `index`.
    mutating func becomeSnapshot(at index: LogIndex, stream: UInt64) {
        enter(.snapshot, stream: stream)
        pendingSnapshot = index
        next = index + 1
        sentCommit = index
    }

    /// Records an append with `count` entries from `next`.
    mutating func sent(entries count: Int, bytes: Int, commit: LogIndex) {
        switch state {
        case .replicate:
            if count > 0 {
                next += UInt64(count)
                inflights.add(last: next - 1, bytes: bytes)
            }
            // A message that fills the window, or an empty one into a full window, is a probe: wait for word.
            flowPaused = inflights.isFull
        case .probe:
            if count > 0 { flowPaused = true }
        case .snapshot:
            preconditionFailure("an append to a member that awaits a snapshot")
        }
        sentCommit = commit
    }

    /// Whether telling `commit` could raise the member's commit index.
    func gains(fromCommit commit: LogIndex) -> Bool {
        commit > sentCommit && sentCommit < next - 1
    }

    /// Takes an acknowledgement of `index`; false if it is old news.
    mutating func acknowledge(_ index: LogIndex) -> Bool {
        guard index > match else { return false }
        match = index
        next = max(next, index + 1)
        flowPaused = false
        return true
    }

    /// Takes a rejection of an append after `rejected`; false if it leads nowhere. `hint` is where the logs may meet.
    ///
    /// Unlike etcd/raft: a member that rejects what it had acknowledged has lost its log, and would reject the same again as fast as it were asked,
    /// until what it acknowledged is forgotten. It is asked once a heartbeat.
    mutating func reject(_ rejected: LogIndex, hint: LogIndex) -> Bool {
        if state == .replicate {
            guard rejected > match else { return false }
            next = match + 1
        } else {
            guard next - 1 == rejected else { return false }
            let lower = max(min(rejected, hint + 1), match + 1)
            guard lower < next else { return false }
            next = lower
            flowPaused = false
        }
        sentCommit = min(sentCommit, next - 1)
        return true
    }
}
