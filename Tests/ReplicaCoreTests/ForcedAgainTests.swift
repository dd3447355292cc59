import Testing

@testable import ReplicaCore

@Suite struct ForcedAgainTests {
    @Test func `a former primary that is forced again keeps its feed from where the other site stands`() throws {
        var pair = try SitePair()
        for number in 0..<3 { _ = try pair.sites[0].put("a", "\(number)") }
        try pair.settle()
        // The standby takes over behind the third; the old primary has two more by then.
        for number in 3..<5 { _ = try pair.sites[0].put("a", "\(number)") }
        #expect(try pair.sites[1].run(.force(seen: 1)).refusal == nil)
        _ = try pair.sites[1].put("b", "1")
        try pair.poll(0)
        #expect(pair.sites[0].record.role == .fenced)
        // And the old primary again, which then gives up its history.
        #expect(try pair.sites[0].run(.force(seen: 2)).refusal == nil)
        let end = pair.sites[0].replica.applier.state.revision
        _ = try pair.sites[0].run(.compact(revision: end))
        try pair.settle()
        #expect(pair.sites[1].record.role == .fenced)
        // What the two share is still in the feed: the other site can be rewound to it and follow.
        let common = try pair.common()
        #expect(common == 3)
        #expect(pair.sites[0].replica.applier.state.feedFloor <= common)
        let from = pair.sites[1].position
        #expect(try pair.sites[1].run(.rewind(SiteRewind(from: from, revision: common))).refusal == nil)
        try pair.settle()
        #expect(pair.sites[1].record.role == .standby)
        #expect(pair.sites[1].position == pair.sites[0].position)
    }
}
