/// How much of its log a leader keeps for its followers: what the slowest of those that are there lacks, but never more than a bound.
///
/// A follower that is not heard for long holds nothing back, and one that falls behind the bound neither: both get a state snapshot.
/// While one is on its way to a follower, the log behind that snapshot is kept for it.
package struct LogRetention: Sendable {
    /// Entries kept at most.
    package let entriesMax: UInt64
    /// How long a follower may be silent before it no longer counts, in the unit of `now`.
    package let absenceMax: UInt64
    /// When each follower was heard last, ascending by node.
    private var heard: [(node: NodeID, at: UInt64)] = []

    package init(entriesMax: UInt64, absenceMax: UInt64) {
        self.entriesMax = entriesMax
        self.absenceMax = absenceMax
    }

    /// Forgets whom it heard: this node leads no longer.
    package mutating func forget() { heard.removeAll() }

    /// The followers that held nothing back at the last look.
    package private(set) var absent: [NodeID] = []

    /// The index through which the log may be let go, as far as the followers go. To be asked once in a while by a leader.
    ///
    /// - Parameters:
    ///   - followers: what the leader knows of all members, itself among them.
    ///   - lastIndex: the end of the log.
    ///   - bytesPoint: the index through which entries pass the bound in bytes; 0 if none do.
    ///   - now: any clock that does not go back.
    ///   - sendsSnapshots: whether every member can take a state snapshot; else the log waits for all of them, whatever their number.
    package mutating func floor(
        followers: [Progress], lastIndex: LogIndex, bytesPoint: LogIndex, now: UInt64, sendsSnapshots: Bool = true
    ) -> LogIndex {
        guard sendsSnapshots else { return followers.map(\.match).min() ?? 0 }
        var known: [(node: NodeID, at: UInt64)] = []
        var needed = lastIndex
        absent.removeAll(keepingCapacity: true)
        for follower in followers {
            // One that is met for the first time has the whole time before it.
            let before = heard.first { $0.node == follower.id }?.at ?? now
            let at = follower.recentActive ? now : before
            known.append((follower.id, at))
            if now - min(now, at) > absenceMax {
                absent.append(follower.id)
                continue
            }
            let isFetching = follower.state == .snapshot
            needed = min(needed, isFetching ? max(follower.pendingSnapshot, follower.match) : follower.match)
        }
        heard = known
        let bound = lastIndex > entriesMax ? lastIndex - entriesMax : 0
        return max(needed, bound, bytesPoint)
    }
}
