/// The search for the highest revision after which two feeds have the same chain hash. The hash covers all before it: feeds that agree at
/// a revision agree below it, and nowhere above the one that is found.
///
/// Invariant: if the feeds agree at `low`, what is looked for is between `low` and `high`.
package struct CommonRevision: Sendable, Hashable {
    private var low: UInt64
    private var high: UInt64
    /// Whether the feeds are known to agree at `low`; before the first revision all do.
    private var agreesAtLow: Bool
    private var isOver: Bool
    /// One of the feeds no longer reached back to a probe: nothing is known, and the search has to begin anew.
    package private(set) var isVoid = false

    /// Between the highest of both feeds' floors and the lowest of their ends.
    package init(floor: UInt64, end: UInt64) {
        low = floor
        high = end
        agreesAtLow = floor == 0
        isOver = floor > end
    }

    /// Revisions whose hashes tell more, ascending; none when the search is over.
    package var probes: [UInt64] {
        guard !isOver else { return [] }
        guard agreesAtLow else { return [low] }
        guard low < high else { return [] }
        let step = max((high - low) / 64, 1)
        return Array(stride(from: low + step, through: high, by: Int(step)).prefix(Limits.siteHashesMax))
    }

    /// The revision found, once there are no more probes; nil if the feeds agree nowhere that both reach back to.
    package var found: UInt64? { agreesAtLow && !isVoid ? low : nil }

    /// Takes the hashes after the revisions of `probes` in both feeds; zero for a revision that a feed does not have, or no longer has: that is
    /// no difference between them.
    package mutating func compare(_ ours: [Digest], _ theirs: [Digest]) {
        let probes = probes
        guard ours.count == probes.count, theirs.count == probes.count, !ours.contains(.zero), !theirs.contains(.zero)
        else {
            // Where it begins, a feed may have nothing to compare with: a seed's has not.
            isVoid = agreesAtLow
            isOver = true
            return
        }
        let agreed = zip(ours, theirs).prefix { $0 == $1 }.count
        guard agreesAtLow else {
            agreesAtLow = agreed > 0
            isOver = agreed == 0
            return
        }
        if agreed > 0 { low = probes[agreed - 1] }
        if agreed < probes.count { high = probes[agreed] - 1 }
    }
}
