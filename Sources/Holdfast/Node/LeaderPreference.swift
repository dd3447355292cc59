internal import NIOCore
internal import RaftCore

/// Leadership goes to a complete node by preference: a new leader that lacks published chunks hands over to a voter that holds them all,
/// once its first entry is committed. A pure decision, asked every tick.
///
/// Invariant: a leader hands over at most once a term, and only at the term's beginning, so that two nodes never pass leadership back and
/// forth because of what is published meanwhile, and a leader that was chosen by hand stays.
struct LeaderPreference {
    /// A voter that could lead.
    struct Candidate: Equatable {
        var node: NodeID
        var answers: Bool
        var isCaughtUp: Bool
        var isComplete: Bool
    }

    /// How long after its first committed entry a leader looks: followers answer, and its own disk has been looked through.
    static let patience = TimeAmount.seconds(5)

    private var term: Term = 0
    private var until = NIODeadline.uptimeNanoseconds(0)
    private var isSettled = false

    /// Whom to hand over to now, if anybody.
    ///
    /// - Parameters:
    ///   - term: the term that this node leads, after an entry of it was committed; nil otherwise.
    ///   - lacks: whether this node lacks published chunks; nil while it does not know.
    mutating func successor(
        term: Term?, lacks: Bool?, now: NIODeadline, candidates: () -> [Candidate]
    ) -> NodeID? {
        guard let term else { return nil }
        if term != self.term {
            self.term = term
            until = now + Self.patience
            isSettled = false
        }
        guard !isSettled else { return nil }
        if lacks == false || now > until {
            isSettled = true
            return nil
        }
        guard lacks == true else { return nil }
        let able = candidates().first { $0.answers && $0.isCaughtUp && $0.isComplete }
        if able != nil { isSettled = true }
        return able?.node
    }
}
