internal import RaftCore

/// No two replicas apply different entries at an index, and the state after it is the same on all (paper figure 3, and our determinism of apply).
struct StateMachineSafety {
    private struct Applied {
        var term: Term
        var content: UInt64
        /// 0 until a replica ended a group of entries there.
        var state: UInt64 = 0
    }

    private var applied: [Applied?] = [nil]

    /// A replica applies an entry; true in `isFirst` if no replica did before.
    mutating func applies(
        _ node: NodeID, _ index: LogIndex, term: Term, content: UInt64
    ) -> (violation: String?, isFirst: Bool) {
        let place = Int(index)
        while applied.count <= place { applied.append(nil) }
        guard let first = applied[place] else {
            applied[place] = Applied(term: term, content: content)
            return (nil, true)
        }
        if first.term == term, first.content == content { return (nil, false) }
        return (
            "state machine safety: node \(node) applies another entry at \(index): \(term), not \(first.term)", false
        )
    }

    /// A replica's state after it applied everything through `index`.
    mutating func reaches(_ node: NodeID, _ index: LogIndex, state: UInt64) -> String? {
        let place = Int(index)
        guard place < applied.count, let first = applied[place] else { return nil }
        guard first.state != 0 else {
            applied[place]?.state = state
            return nil
        }
        return first.state == state ? nil : "state machine safety: the state of node \(node) differs after \(index)"
    }
}
