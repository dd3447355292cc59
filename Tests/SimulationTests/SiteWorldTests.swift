internal import Simulation
internal import Testing

/// Two sites in one world.
struct SiteWorldTests {
    /// A rejoin that took compacted revisions for other ones, and rewound too far. A write that was proposed just before its leader applied the promotion, and was acknowledged after it had heard of a higher epoch.
    /// A primary that was set back while it seeded: the standby took the rows of another history for those of its target.
    @Test("two sites that broke a promise once break none", arguments: [1434, 2677, 74] as [UInt64])
    func keptSeed(_ seed: UInt64) {
        let violation = TwoSites(seed: seed).run()
        #expect(violation == nil)
    }

    @Test("the same seed gives the same two sites, event by event", arguments: [3, 8] as [UInt64])
    func sameSeed(_ seed: UInt64) {
        let first = TwoSites(seed: seed)
        let second = TwoSites(seed: seed)
        #expect(first.run() == nil)
        #expect(second.run() == nil)
        #expect(first.events == second.events)
        #expect(first.traceHash == second.traceHash)
    }

    @Test("the storms of a few seeds reach all that two sites are about, and break nothing")
    func reach() {
        var sum = SiteTally()
        for seed in UInt64(1)...12 {
            let sites = TwoSites(seed: seed)
            let violation = sites.run()
            #expect(violation == nil, "seed \(seed)")
            sum += sites.tally
        }
        #expect(sum.acknowledgements > 100)
        #expect(sum.plannedTakeovers > 0)
        #expect(sum.forcedTakeovers > 0)
        #expect(sum.undone > 0)
        #expect(sum.shippedVersions > 0)
        #expect(sum.setBacks > 0)
        #expect(sum.recoveryPoints > 100)
        #expect(sum.seeds > 3)
        #expect(sum.seedsGivenUp > 0)
        #expect(sum.promotedSeeding > 0)
    }

    @Test(
        "two sites have their storm, some thousand events and three kinds of fault at least",
        arguments: [1, 7] as [UInt64])
    func size(_ seed: UInt64) {
        let sites = TwoSites(seed: seed)
        #expect(sites.run() == nil)
        #expect(sites.now >= 35_000_000)
        #expect(sites.events >= 4_000)
        #expect(sites.climate.kinds.count >= 3)
        #expect(sites.kindsSeen.nonzeroBitCount >= 2)
    }
}
