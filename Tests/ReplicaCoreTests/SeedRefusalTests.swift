import Testing

@testable import ReplicaCore

/// What a site that could be promoted refuses of a seed, so that it stays what it is.
@Suite struct SeedRefusalTests {
    /// A standby that its primary's feed does not reach any more.
    private func behind() throws -> SitePair {
        var pair = try SitePair()
        for number in 0..<6 { _ = try pair.sites[0].put("key-\(number)", "old") }
        try pair.settle()
        for number in 3..<9 { _ = try pair.sites[0].put("key-\(number)", "new") }
        try pair.sites[0].run(.delete(.key("key-0".asBytes)))
        try pair.giveUpFeed()
        return pair
    }

    @Test func `a seed begins where the site is, with the feed row of where it ends`() throws {
        var pair = try behind()
        let head = try pair.seedHead()
        var other = head
        other.from = .start
        #expect(try pair.sites[1].run(.seed(other)).refusal?.code == .preconditionFailed)
        other = head
        other.target.hash.word0 ^= 1
        #expect(try pair.sites[1].run(.seed(other)).refusal?.code == .corrupted)
        #expect(pair.seed() == nil)
        #expect(try pair.sites[1].run(.seed(head)).refusal == nil)
    }

    @Test func `a seed ends above the next revision, so that what it removes is above the site's own`() throws {
        var pair = try SitePair()
        _ = try pair.sites[0].put("a", "1")
        try pair.settle()
        _ = try pair.sites[0].put("a", "2")
        let near = try pair.seedHead()
        #expect(near.target.revision == pair.sites[1].position.revision + 1)
        #expect(try pair.sites[1].run(.seed(near)).refusal?.code == .preconditionFailed)
        _ = try pair.sites[0].put("a", "3")
        #expect(try pair.sites[1].run(.seed(try pair.seedHead())).refusal == nil)
    }

    @Test func `nothing of a seed is taken once a higher epoch was heard of, and the site is promoted as it was`()
        throws
    {
        var pair = try behind()
        let before = pair.sites[1]
        let head = try pair.seedHead()
        #expect(try pair.sites[1].run(.seed(head)).refusal == nil)
        var filled = pair
        while filled.seed()?.isFilled != true { _ = try filled.seedOnce() }
        let step = try #require(try pair.seedSteps().first)
        #expect(try pair.sites[1].run(.fence(epoch: 2, by: SiteID(5, 5))).refusal == nil)
        #expect(try filled.sites[1].run(.fence(epoch: 2, by: SiteID(5, 5))).refusal == nil)
        #expect(try pair.sites[1].run(.seedStep(step)).refusal?.code == .fenced)
        let end = try filled.sites[1].run(.seedEnd(revision: head.target.revision))
        #expect(end.refusal?.code == .fenced)
        #expect(filled.sites[1].position == before.position)
        #expect(try filled.sites[1].run(.force(seen: 2)).refusal == nil)
        try filled.clearSeed()
        #expect(filled.sites[1].shared == before.shared)
        #expect(try filled.sites[1].visible == before.visible)
    }
}
