internal import RaftCore

/// What one node has made durable, as the simulated disk completed it; the log store's own word is not asked.
///
/// Whatever a node promises (an append answered, a vote given) must be in here when the message leaves, and a restart must find all of it.
struct DurableLog {
    private struct Record {
        var term: Term
        var content: UInt64
    }

    private(set) var base: LogIndex = 0
    private(set) var baseTerm: Term = 0
    private var records: [Record] = []
    private(set) var term: Term = 0
    private(set) var vote: NodeID = noNode

    /// Index of the last durable entry.
    var last: LogIndex { base + LogIndex(records.count) }

    /// The term of a durable entry or of the point before the first; nil outside.
    func term(at index: LogIndex) -> Term? {
        if index == base { return baseTerm }
        guard index > base, index <= last else { return nil }
        return records[Int(index - base) - 1].term
    }

    /// A write is durable.
    mutating func wrote(_ state: HardState?, _ entries: [Entry]) {
        if let state {
            term = state.term
            vote = state.vote
        }
        guard let first = entries.first, first.index > base else { return }
        if first.index <= last { records.removeLast(Int(last - first.index) + 1) }
        for entry in entries { records.append(Record(term: entry.term, content: entryHash(entry))) }
    }

    /// A snapshot took the log's place.
    mutating func reset(to index: LogIndex, _ newTerm: Term) {
        base = index
        baseTerm = newTerm
        records = []
    }

    /// Durable before acknowledged: why a message may not leave now.
    ///
    /// A promise of an older term may leave after a newer leader's entries took the place of the promised ones in the same write: whoever counts it
    /// leads no more, since the quorum that elected the newer leader had accepted nothing that it lacks.
    func objection(to message: Message) -> String? {
        switch message.kind {
        case .appendEntriesResponse where !message.reject && message.term >= term:
            guard message.index <= last else {
                return "node \(message.from) acknowledges \(message.index), durable is \(last)"
            }
            guard message.term == term else {
                return "node \(message.from) answers in term \(message.term), durable is term \(term)"
            }
        case .requestVote:
            guard term >= message.term else {
                return "node \(message.from) asks for votes in term \(message.term), durable is term \(term)"
            }
        case .requestVoteResponse where !message.reject:
            guard term > message.term || (term == message.term && vote == message.to) else {
                return "node \(message.from) votes for \(message.to) in \(message.term); durable: \(vote) in \(term)"
            }
        default: break
        }
        return nil
    }

    /// What a restart found must be what was durable; entries at or above `inFlight` were being replaced and may be either.
    mutating func restarts(
        _ node: NodeID, found state: HardState, previous: EntryID, last found: LogIndex, inFlight: LogIndex,
        isVoteInFlight: Bool, entries: [Entry]
    ) -> String? {
        if isVoteInFlight ? state.term < term : state.term != term || state.vote != vote {
            return "node \(node) restarts in term \(state.term) with vote \(state.vote); durable: \(term), \(vote)"
        }
        let needed = min(last, inFlight - 1)
        guard found >= needed else { return "node \(node) restarts with a log up to \(found), durable was \(needed)" }
        for entry in entries where entry.index > base && entry.index <= needed {
            let record = records[Int(entry.index - base) - 1]
            guard record.term == entry.term, record.content == entryHash(entry) else {
                return "node \(node) restarts with another entry at \(entry.index)"
            }
        }
        reset(to: previous.index, previous.term)
        wrote(state, entries)
        return nil
    }
}
