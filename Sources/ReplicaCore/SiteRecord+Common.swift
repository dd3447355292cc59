// How far two sites have the same history, where their feeds no longer say it.
extension SiteRecord {
    /// The end of what two histories share.
    package struct Common: Sendable, Hashable {
        package var revision: UInt64
        /// The chain hash after it, where a branch of the other one names it: whoever still has the revision compares.
        package var hash: Digest?
    }

    /// The highest revision through which two histories of one lineage are the same, by where their epochs began; nil if too many epochs
    /// were begun since they parted.
    ///
    /// Of each epoch there is one writer. So histories that have an epoch in common, with the same beginning, have the same revisions
    /// from there until the first of them goes over to another epoch, or ends. Before the first epoch the lineage's founder wrote alone.
    static func common(
        _ own: [Branch], through ownEnd: UInt64, _ other: [Branch], through otherEnd: UInt64
    ) -> Common? {
        var next = (own: 0, other: 0)
        for (place, branch) in own.enumerated().reversed() {
            guard let match = other.lastIndex(of: branch) else { continue }
            next = (place + 1, match + 1)
            break
        }
        if next.own == 0, own.count >= Limits.siteBranchesMax || other.count >= Limits.siteBranchesMax { return nil }
        let ownNext = next.own < own.count ? min(own[next.own].position.revision, ownEnd) : ownEnd
        let otherNext = next.other < other.count ? other[next.other].position : nil
        let revision = min(ownNext, min(otherNext?.revision ?? otherEnd, otherEnd))
        return Common(revision: revision, hash: otherNext.flatMap { $0.revision == revision ? $0.hash : nil })
    }
}
