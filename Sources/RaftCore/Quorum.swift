/// The outcome of a vote so far.
package enum VoteResult: Sendable {
    /// Neither side has a quorum yet.
    case pending
    /// A quorum can no longer be reached.
    case lost
    /// A quorum granted it.
    case won
}

/// Decisions by majority of a set of voters, and by two majorities at once in a joint configuration (thesis §4.3).
package enum Quorum {
    /// The highest index that a majority of `voters` acknowledged, 0 if none; an empty set acknowledges everything,
    /// so that the empty half of a joint configuration leaves the decision to the other.
    package static func committed(_ voters: [NodeID], _ acknowledged: (NodeID) -> LogIndex?) -> LogIndex {
        guard !voters.isEmpty else { return .max }
        let needed = voters.count / 2 + 1
        var best: LogIndex = 0
        // Quadratic in a handful of voters, and without the copy that sorting would need.
        for voter in voters {
            guard let index = acknowledged(voter), index > best else { continue }
            var count = 0
            for other in voters {
                if let reached = acknowledged(other), reached >= index { count += 1 }
            }
            if count >= needed { best = index }
        }
        return best
    }

    /// The highest index acknowledged by a majority of both sets.
    package static func committed(
        _ incoming: [NodeID], _ outgoing: [NodeID], _ acknowledged: (NodeID) -> LogIndex?
    ) -> LogIndex {
        min(committed(incoming, acknowledged), committed(outgoing, acknowledged))
    }

    /// The outcome among `voters`; an empty set always grants.
    package static func vote(_ voters: [NodeID], _ granted: (NodeID) -> Bool?) -> VoteResult {
        guard !voters.isEmpty else { return .won }
        let needed = voters.count / 2 + 1
        var yes = 0
        var open = 0
        for voter in voters {
            switch granted(voter) {
            case .some(true): yes += 1
            case .some(false): break
            case .none: open += 1
            }
        }
        if yes >= needed { return .won }
        return yes + open >= needed ? .pending : .lost
    }

    /// The outcome that needs both sets.
    package static func vote(
        _ incoming: [NodeID], _ outgoing: [NodeID], _ granted: (NodeID) -> Bool?
    ) -> VoteResult {
        let first = vote(incoming, granted)
        let second = vote(outgoing, granted)
        if first == second { return first }
        return first == .lost || second == .lost ? .lost : .pending
    }
}
