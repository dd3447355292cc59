extension Replica {
    /// The rows here are not to be relied on: nothing is answered from them any more, and a leader hands over. Whatever was
    /// proposed here may have been applied wrongly, so its callers learn only that its outcome is unknown.
    func enterQuarantine(_ error: HoldfastError) {
        guard !isStopped else { return }
        quarantine = error
        failProposals(HoldfastError(.outcomeUnknown, "the node was quarantined before the answer: \(error.message)"))
        failReads(error)
        yieldLeadership()
        turn()
    }

    /// The rows here are relied on again.
    func leaveQuarantine() { quarantine = nil }
}
