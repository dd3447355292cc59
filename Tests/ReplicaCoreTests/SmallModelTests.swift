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
        let sites = [left, right]
        for (site, other) in [(left, right), (right, left)] {
            if site.record.role == .standby, other.record.epoch == site.record.epoch, other.record.role != .standby,
                !other.feed.starts(with: site.feed)
            {
                return "the standby is not a prefix of its primary"
            }
            if Set(site.feed).count != site.feed.count { return "a write was applied twice" }
            if site.record.role == .primary, site.record.seen != site.record.epoch {
                return "a primary that has seen a higher epoch"
            }
        }
        if left.epochs & right.epochs != 0 { return "two sites acknowledged in one epoch" }
        let acknowledged = left.acknowledged | right.acknowledged
        let kept = sites.filter { $0.record.role == .primary || $0.record.role == .fenced }.map(\.feed)
        let safe = SmallModelTests.mask(kept.flatMap { $0 } + left.orphans + right.orphans)
        if acknowledged & ~safe != 0 { return "an acknowledged write is nowhere" }
        guard left.used.forces + right.used.forces == 0 else { return nil }
        let primaries = sites.filter { $0.record.role == .primary }
        if primaries.count > 1 { return "two primaries, and nobody was forced" }
        if !(left.orphans + right.orphans).isEmpty { return "orphans, and nobody was forced" }
        // Between the grant and the promotion both have everything.
        for site in primaries.isEmpty ? sites : primaries
        where acknowledged & ~SmallModelTests.mask(site.feed) != 0 {
            return "a planned switchover has lost an acknowledged write"
        }
        return nil
    }

    private static func mask(_ writes: [UInt8]) -> UInt32 { writes.reduce(0) { $0 | 1 << UInt32($1) } }

    private func check(_ name: String, _ bounds: SmallSite.Bounds, messages: Int) {
        var model = SmallModel(bounds: bounds, messagesMax: messages, fault: SmallModelTests.fault)
        let (primary, standby) = pair()
        let report = model.run(primary, standby)
        print("small model, \(name): states=\(report.states) pairs=\(report.pairs)")
        if let fault = report.fault { Issue.record("\(name): \(fault)") }
        #expect(report.states > 1_000)
    }

    @Test func `a planned switchover loses nothing and never has two primaries`() {
        check("switchovers", SmallSite.Bounds(writes: 2, switchovers: 2), messages: 2)
    }

    @Test func `every acknowledged write is somewhere whatever is forced`() {
        check("forced", SmallSite.Bounds(writes: 1, forces: 1), messages: 3)
        check("forced and switched over", SmallSite.Bounds(writes: 1, forces: 1, switchovers: 1), messages: 2)
    }
}
