internal import RaftCore

/// What is committed stays: commit indexes rise, no index is committed with two entries, every leader has all of it (leader completeness), and a quorum
/// had it durably when it was committed first.
struct CommittedLog {
    /// Terms of committed entries, by index; place 0 is the empty log.
    private(set) var terms: [Term] = [0]
    /// The terms of the leaders that committed them first, by index; they never fall.
    private var committers: [Term] = [0]

    /// The highest index that anybody committed.
    var last: LogIndex { LogIndex(terms.count - 1) }

    /// A replica's commit index rose to `commit`, in the term that it leads or `nil`; `term` answers its log's terms where it retains them.
    ///
    /// - Returns: a violation, and the indexes committed for the first time.
    mutating func commits(
        _ node: NodeID, from old: LogIndex, to commit: LogIndex, leading: Term?, term: (LogIndex) -> Term?
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
            guard let leading else { return "node \(node) follows and knows of a commit at \(index) before any leader" }
            terms.append(own)
            committers.append(leading)
        }
        return nil
    }

    /// Leader completeness (paper figure 3): a leader has all that leaders of earlier terms committed. One whose votes came late may find a newer leader
    /// at work, and lacks what that one committed. By log matching the last entry speaks for all before it.
    func leads(_ node: NodeID, _ leaderTerm: Term, firstIndex: LogIndex, term: (LogIndex) -> Term?) -> String? {
        guard let place = committers.lastIndex(where: { $0 < leaderTerm }) else { return nil }
        guard LogIndex(place) >= firstIndex, term(LogIndex(place)) != terms[place] else { return nil }
        return "leader completeness: node \(node) leads term \(leaderTerm) without \(terms[place])/\(place)"
    }
}
