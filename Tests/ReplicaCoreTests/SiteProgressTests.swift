import Testing

@testable import ReplicaCore

@Suite struct SiteProgressTests {
    /// Bytes of the feed's entries above the floor.
    private func keptBytes(_ site: TestSite) throws -> UInt64 {
        let state = site.replica.applier.state
        let entries = try SiteFeed.entries(
            from: max(state.feedFloor, 1), entriesMax: .max, bytesMax: .max, at: site.replica.point,
            rows: site.replica.rows)
        return UInt64(entries.dropFirst(state.feedFloor > 0 ? 1 : 0).reduce(0) { $0 + $1.bytes.count })
    }

    @Test func `the feed is kept from what the standby has acknowledged, whatever is compacted`() throws {
        var pair = try SitePair()
        for number in 0..<10 { _ = try pair.sites[0].put("key", "\(number)") }
        try pair.settle()
        for number in 10..<20 { _ = try pair.sites[0].put("key", "\(number)") }
        try pair.sites[0].run(.compact(revision: 18))
        #expect(pair.sites[0].replica.applier.state.compactRevision == 18)
        #expect(pair.sites[0].replica.applier.state.feedFloor == 10)
        try pair.sites[0].replica.sweep()
        try pair.settle()
        #expect(pair.sites[1].position == pair.sites[0].position)
        #expect(pair.sites[0].replica.applier.state.feedFloor == 18, "nobody needs it any more")
        #expect(pair.sites[1].replica.applier.state.compactRevision == 18)
        try pair.sites[0].checkGroupings(seed: 1)
        try pair.sites[1].checkGroupings(seed: 1)
    }

    @Test func `what is kept is let go at the word of this epoch's standby alone`() throws {
        var pair = try SitePair()
        for number in 0..<4 { _ = try pair.sites[0].put("key", "\(number)") }
        try pair.settle()
        for number in 4..<8 { _ = try pair.sites[0].put("key", "\(number)") }
        try pair.sites[0].run(.compact(revision: 8))
        func word(_ revision: UInt64, epoch: UInt64 = 1, of site: SiteID) -> SiteCommand {
            let position = SitePosition(revision: revision, hash: Digest(revision, 0, 0, 0))
            return .acknowledge(SiteAcknowledgement(site: site, epoch: epoch, position: position))
        }
        let standby = pair.sites[1].id
        for late in [
            word(6, epoch: 0, of: standby), word(6, epoch: 3, of: standby), word(6, of: SiteID(5, 5)),
            word(9, of: standby),
        ] {
            #expect(try pair.sites[0].run(late).refusal?.code == .preconditionFailed)
            #expect(pair.sites[0].replica.applier.siteProgress.hold == 4)
            #expect(pair.sites[0].replica.applier.state.feedFloor == 4)
        }
        #expect(try pair.sites[0].run(word(6, of: standby)).refusal == nil)
        #expect(pair.sites[0].replica.applier.state.feedFloor == 6)
        // It is no primary any more.
        #expect(try pair.sites[0].run(.fence(epoch: 2, by: standby)).refusal == nil)
        #expect(try pair.sites[0].run(word(8, of: standby)).refusal?.code == .preconditionFailed)
    }

    @Test(arguments: [UInt64(0), 1, 2, 3]) func `what is kept for a standby that is gone stays under the cap in bytes`(
        seed: UInt64
    ) throws {
        var random = SeededRandom(seed: seed)
        var pair = try SitePair()
        try pair.sites[0].run(.limit(SiteCaps(bytes: 4_000, milliseconds: 1_000_000)))
        var wasReleased = false
        for number in 0..<200 {
            _ = try pair.sites[0].put("key", String(repeating: "v", count: random.below(200)))
            try pair.sites[0].run(.compact(revision: pair.sites[0].position.revision))
            if number < 20 { try pair.poll(1) }
            let kept = try keptBytes(pair.sites[0])
            #expect(kept <= 4_000, "seed \(seed) write \(number)")
            wasReleased = wasReleased || pair.sites[0].replica.applier.siteProgress.hold == nil
        }
        #expect(wasReleased)
        let poll = try pair.sites[1].report
        #expect(try pair.sites[0].relation(of: poll.position) == .belowFloor, "said, and never a silent gap")
        let before = pair.sites[1].position
        try pair.settle()
        #expect(pair.sites[1].position == before, "the old prefix stays, and can be promoted")
        try pair.sites[1].run(.force(seen: 1))
        #expect(pair.sites[1].record.role == .primary)
        try pair.sites[0].checkGroupings(seed: seed)
    }

    @Test func `what is kept for a standby that is gone stays under the cap in age`() throws {
        var pair = try SitePair()
        try pair.sites[0].run(.limit(SiteCaps(bytes: 1 << 30, milliseconds: 10_000)))
        // Time alone costs a standby nothing: it has everything.
        pair.sites[0].replica.time = 50_000
        try pair.sites[0].run(.tick)
        _ = try pair.sites[0].put("key", "1")
        try pair.sites[0].run(.tick)
        #expect(pair.sites[0].replica.applier.siteProgress.hold == 0)
        pair.sites[0].replica.time = 60_000
        try pair.sites[0].run(.tick)
        #expect(pair.sites[0].replica.applier.siteProgress.hold == 0)
        pair.sites[0].replica.time = 60_001
        try pair.sites[0].run(.tick)
        #expect(pair.sites[0].replica.applier.siteProgress.hold == nil)
        try pair.sites[0].checkGroupings(seed: 1)
    }

    @Test func `a release costs a standby nothing that still finds all it needs`() throws {
        var pair = try SitePair()
        try pair.sites[0].run(.limit(SiteCaps(bytes: 100, milliseconds: 10_000)))
        for number in 0..<10 { _ = try pair.sites[0].put("key", "value \(number)") }
        #expect(pair.sites[0].replica.applier.siteProgress.hold == nil)
        try pair.settle()
        #expect(pair.sites[1].position == pair.sites[0].position, "nobody has compacted")
    }

    @Test func `what the feed had before a standby was admitted counts`() throws {
        var site = try TestSite(1)
        let (token, peer) = (Digest(7, 7, 7, 7), try TestSite(2).peer)
        for number in 0..<20 { _ = try site.put("key", String(repeating: "v", count: 100 + number)) }
        try site.run(.enroll(token: token, expires: .max))
        var small = site
        try site.run(.admit(token: token, peer))
        #expect(site.replica.applier.siteProgress.hold == 0)
        let kept = try keptBytes(site)
        #expect(kept > 2_000)
        #expect(site.replica.applier.siteProgress.heldBytes >= kept)
        try site.run(.limit(SiteCaps(bytes: kept / 2, milliseconds: 1_000_000)))
        #expect(site.replica.applier.siteProgress.hold == nil)
        // Not more than the caps in the first place.
        try small.run(.limit(SiteCaps(bytes: kept / 2, milliseconds: 1_000_000)))
        try small.run(.admit(token: token, peer))
        #expect(small.replica.applier.siteProgress.hold == nil)
        try site.checkGroupings(seed: 1)
    }

    @Test func `a feed that is long, or does not begin at 1, is not held for a standby that has nothing`() throws {
        for isCompacted in [false, true] {
            var site = try TestSite(1)
            let (token, peer) = (Digest(7, 7, 7, 7), try TestSite(2).peer)
            for number in 0..<(isCompacted ? 9 : Limits.admitRevisionsMax + 1) { _ = try site.put("key", "\(number)") }
            if isCompacted { try site.run(.compact(revision: 5)) }
            try site.run(.enroll(token: token, expires: .max))
            try site.run(.admit(token: token, peer))
            #expect(site.replica.applier.siteProgress.hold == nil)
            try site.run(.compact(revision: 9))
            #expect(site.replica.applier.state.feedFloor == 9)
        }
    }

    @Test func `the feed is held again for a standby that came back under the caps`() throws {
        var pair = try SitePair()
        try pair.sites[0].run(.limit(SiteCaps(bytes: 1_000, milliseconds: 10_000)))
        for number in 0..<40 { _ = try pair.sites[0].put("key", "value \(number)") }
        #expect(pair.sites[0].replica.applier.siteProgress.hold == nil)
        try pair.poll(1)
        // Too far behind still: it has acknowledged what it had.
        #expect(pair.sites[0].replica.applier.siteProgress.hold == nil)
        try pair.settle()
        let held = pair.sites[0].position.revision
        #expect(pair.sites[0].replica.applier.siteProgress.hold == held)
        for number in 0..<4 { _ = try pair.sites[0].put("key", "later \(number)") }
        try pair.sites[0].run(.compact(revision: held + 4))
        #expect(pair.sites[0].replica.applier.state.feedFloor == held)
        #expect(pair.sites[0].replica.applier.siteProgress.heldBytes >= (try keptBytes(pair.sites[0])))
        try pair.settle()
        #expect(pair.sites[1].position == pair.sites[0].position)
        try pair.sites[0].checkGroupings(seed: 1)
    }
}
