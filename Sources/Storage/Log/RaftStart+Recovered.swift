package import RaftCore

extension RaftStart {
    /// What consensus starts from: what the log held, and how far the rows are.
    ///
    /// Commit is the larger of the hard state's and the rows' applied index. A log that does not hold the entry that the rows were applied through is
    /// one that a crash within the install of a snapshot left: it ends below, or its tail is of another history. Then the replica begins behind the rows,
    /// and `needsReset` says that the log must be reset to there first.
    package init(
        _ recovered: RecoveredLog, applied: EntryID, configuration: ConfState, log: LogStore, needsReset: inout Bool
    ) throws(LogError) {
        self.init()
        hardState = recovered.hardState
        hardState.commit = max(recovered.hardState.commit, applied.index)
        self.configuration = configuration
        self.applied = applied.index
        needsReset = recovered.term(at: applied.index) != applied.term
        guard !needsReset else {
            compacted = applied
            lastIndex = applied.index
            return
        }
        compacted = EntryID(term: recovered.previousTerm, index: recovered.previousIndex)
        terms = recovered.terms.map { RaftCore.TermRun(first: $0.first, term: $0.term) }
        lastIndex = recovered.lastIndex
        var next = applied.index + 1
        while next <= recovered.lastIndex {
            let entries = try log.read(from: next, to: recovered.lastIndex, bytesMax: 16 << 20)
            tail.append(contentsOf: entries)
            next += UInt64(entries.count)
        }
    }
}

extension RecoveredLog {
    /// The term of a retained entry, or of the point before the first; nil outside.
    func term(at index: LogIndex) -> Term? {
        if index == previousIndex { return previousTerm }
        guard index > previousIndex, index <= lastIndex else { return nil }
        return terms.last { $0.first <= index }?.term
    }
}
