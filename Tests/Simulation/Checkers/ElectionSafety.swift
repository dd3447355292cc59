internal import RaftCore

/// At most one leader in a term (paper figure 3).
struct ElectionSafety {
    private var leaders: [Term: NodeID] = [:]

    /// A replica says that it leads a term.
    mutating func leads(_ node: NodeID, _ term: Term) -> String? {
        guard let other = leaders.updateValue(node, forKey: term), other != node else { return nil }
        return "election safety: nodes \(other) and \(node) both lead term \(term)"
    }
}
