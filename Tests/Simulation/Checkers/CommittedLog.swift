internal import RaftCore

/// What is committed stays: commit indexes rise, no index is committed with two entries, every leader has all of it (leader completeness), and a quorum
/// had it durably when it was committed first.
struct CommittedLog {
    /// Terms of committed entries, by index; place 0 is the empty log.
    private(set) var terms: [Term] = [0]

    /// The highest index that anybody committed.
    var last: LogIndex { LogIndex(terms.count - 1) }

    /// A replica's commit index rose to `commit`; `term` answers its log's terms where it retains them.
    ///
    /// - Returns: a violation, and the indexes committed for the first time.
    mutating func commits(
        _ node: NodeID, from old: LogIndex, to commit: LogIndex, isLeader: Bool, term: (LogIndex) -> Term?
    ) -> String? {
        guard commit >= old else { return "commit index of node \(node) fell from \(old) to \(commit)" }
        var index = min(old, last) + 1
        while index <= commit {
            defer { index += 1 }
            guard let own = term(index) else { continue }
            if index <= last {
                if terms[Int(index)] != own {
                    return "node \(node) committed \(own)/\(index), but \(terms[Int(index)])/\(index) is committed"
                }
                continue
            }
            guard isLeader else { return "node \(node) follows and knows of a commit at \(index) before any leader" }
            terms.append(own)
        }
        return nil
    }

    /// Leader completeness (paper figure 3). By log matching the last committed entry speaks for all before it.
    func leads(_ node: NodeID, _ leaderTerm: Term, firstIndex: LogIndex, term: (LogIndex) -> Term?) -> String? {
        guard last >= firstIndex, term(last) != terms[Int(last)] else { return nil }
        return "leader completeness: node \(node) leads term \(leaderTerm) without \(terms[Int(last)])/\(last)"
    }
}
