internal import RaftCore

/// Two logs with the same term at an index are the same up to there (paper figure 3).
///
/// Every entry that any replica appends is compared with the first sight of its index and term: same content, and the same term just before it. By
/// induction over the index that is log matching, at a constant cost for each entry.
struct LogMatching {
    private struct Sight {
        var term: Term
        var previousTerm: Term
        var content: UInt64
    }

    /// By index, from 1; a few terms each.
    private var sights: [[Sight]] = [[]]

    /// A replica appends an entry behind one of `previousTerm`.
    mutating func appends(_ node: NodeID, _ entry: Entry, previousTerm: Term) -> String? {
        let index = Int(entry.index)
        while sights.count <= index { sights.append([]) }
        let content = entryHash(entry)
        for sight in sights[index] where sight.term == entry.term {
            if sight.content == content, sight.previousTerm == previousTerm { return nil }
            return
                "log matching: node \(node) holds another entry \(entry.term)/\(entry.index), or another one before it"
        }
        guard previousTerm <= entry.term else {
            return "log matching: on node \(node) terms fall from \(previousTerm) to \(entry.term) at \(entry.index)"
        }
        sights[index].append(Sight(term: entry.term, previousTerm: previousTerm, content: content))
        return nil
    }
}

/// The hash of an entry's kind and data.
func entryHash(_ entry: Entry) -> UInt64 { mix(UInt64(entry.kind.rawValue), bytes: entry.data) }
