import Testing

@testable import ReplicaCore

/// The verbs of two sites, looked at exhaustively: every order of everything that can happen within the bounds.
@Suite struct SmallModelTests {
    /// A primary with one write that its standby has, too.
    private func pair() -> (SmallSite, SmallSite) {
        var primary = SmallSite(place: 0)
        var standby = SmallSite(place: 1)
        primary.apply(.enroll(token: Digest(1, 1, 1, 1), expires: 1))
        primary.apply(
            .admit(token: Digest(1, 1, 1, 1), SitePeer(site: SmallSite.id(1), endpoints: ["s:1"])))
        let follow = SiteFollow(
            primary: SitePeer(site: SmallSite.id(0), endpoints: ["p:1"]), lineage: primary.record.lineage,
            epoch: primary.record.epoch, position: .start)
        standby.apply(.follow(follow))
        return (primary, standby)
    }

    /// What must hold of two sites at every instant.
    private static func fault(_ left: SmallSite, _ right: SmallSite) -> String? {
        brokenHistory(left, right) ?? brokenPromise(left, right) ?? brokenPlan(left, right) ?? notHealed(left, right)
    }

    /// Feeds are histories that have happened, and a standby's is a prefix of its primary's.
    private static func brokenHistory(_ left: SmallSite, _ right: SmallSite) -> String? {
        for (site, other) in [(left, right), (right, left)] {
            if Set(site.feed).count != site.feed.count { return "a write was applied twice" }
            for (place, write) in site.feed.enumerated() {
                let writer = Int(write) / SmallSite.writesMax == left.place ? left : right
                if writer.bases[Int(write) % SmallSite.writesMax] != Array(site.feed[..<place]) {
                    return "a write follows on another history than it did"
                }
            }
            if left.used.restores + right.used.restores == 0, site.record.role == .standby,
                other.record.epoch == site.record.epoch, other.record.role != .standby,
                !other.feed.starts(with: site.feed)
            {
                return "the standby is not a prefix of its primary"
            }
            if site.record.role == .primary, site.record.seen != site.record.epoch {
                return "a primary that has seen a higher epoch"
            }
        }
        return left.epochs & right.epochs == 0 ? nil : "two sites acknowledged in one epoch"
    }

    /// Acknowledged is somewhere: on the primary, on a site that is not demoted yet, or among the orphans.
    private static func brokenPromise(_ left: SmallSite, _ right: SmallSite) -> String? {
        // A source that was set back has lost what it had.
        guard left.used.restores + right.used.restores == 0 else { return nil }
        let kept = [left, right].filter { $0.record.role == .primary || $0.record.role == .fenced }.map(\.feed)
        let safe = mask(kept.flatMap { $0 } + left.orphans + right.orphans)
        return (left.acknowledged | right.acknowledged) & ~safe == 0 ? nil : "an acknowledged write is nowhere"
    }

    /// As long as nobody was forced and nothing was set back.
    private static func brokenPlan(_ left: SmallSite, _ right: SmallSite) -> String? {
        guard left.isPlanned, right.isPlanned else { return nil }
        let sites = [left, right]
        let primaries = sites.filter { $0.record.role == .primary }
        if primaries.count > 1 { return "two primaries, and nobody was forced" }
        if !(left.orphans + right.orphans).isEmpty { return "orphans, and nobody was forced" }
        // Between the grant and the promotion both have everything.
        for site in primaries.isEmpty ? sites : primaries
        where (left.acknowledged | right.acknowledged) & ~mask(site.feed) != 0 {
            return "a planned switchover has lost an acknowledged write"
        }
        return nil
    }

    /// Once the two hear each other, and an operator lets go what only one has, there is one primary and a standby with its feed.
    private static func notHealed(_ left: SmallSite, _ right: SmallSite) -> String? {
        var sites = [left, right]
        for rejoins in [false, true] {
            for round in 0..<16 {
                let (asking, asked) = (round % 2, 1 - round % 2)
                let (next, sent) = sites[asked].polled(sites[asking].report)
                sites[asked] = next
                guard case .answer(let answer, let feed)? = sent.first?.content else { continue }
                sites[asking] = sites[asking].answered(answer, feed: feed, rejoins: rejoins).0
            }
            let primaries = sites.filter { $0.record.role == .primary }
            if primaries.count > 1 { return "two primaries that hear each other" }
            if primaries.isEmpty, left.isPlanned, right.isPlanned { return "no primary, and nobody was forced" }
        }
        guard let primary = sites.first(where: { $0.record.role == .primary }),
            let other = sites.first(where: { $0.record.role != .primary })
        else { return nil }
        return other.record.role == .standby && other.feed == primary.feed
            ? nil : "a site that never becomes a standby: \(other.record.role) \(other.feed) of \(primary.feed)"
    }

    private static func mask(_ writes: [UInt8]) -> UInt32 { writes.reduce(0) { $0 | 1 << UInt32($1) } }

    private func check(_ name: String, _ bounds: SmallSite.Bounds, messages: Int) {
        var model = SmallModel(bounds: bounds, messagesMax: messages, fault: SmallModelTests.fault)
        let (primary, standby) = pair()
        let report = model.run(primary, standby)
        print("small model, \(name): states=\(report.states) pairs=\(report.pairs)")
        if let fault = report.fault { Issue.record("\(name): \(fault)") }
        #expect(report.states > 500)
    }

    @Test func `a planned switchover loses nothing and never has two primaries`() {
        check("switchovers", SmallSite.Bounds(writes: 2, switchovers: 2), messages: 2)
    }

    @Test func `a primary that was set back never mixes two histories`() {
        check("set back", SmallSite.Bounds(writes: 2, restores: 1), messages: 2)
        check("set back, and forced", SmallSite.Bounds(writes: 1, forces: 1, restores: 1), messages: 2)
    }

    @Test func `every acknowledged write is somewhere whatever is forced`() {
        check("forced", SmallSite.Bounds(writes: 1, forces: 1), messages: 3)
        check("forced and switched over", SmallSite.Bounds(writes: 1, forces: 1, switchovers: 1), messages: 2)
    }
}

extension SmallSite {
    /// Nothing happened to the site but what was planned.
    fileprivate var isPlanned: Bool { used.forces + used.restores == 0 }
}
