import Foundation
import Logging
import NIOCore
import ReplicaCore
import Testing

@testable import Holdfast

extension ClusterTests {
    /// Standbys that the primary's feed does not reach.
    @Suite(.serialized) struct SeedTests {
        /// Two clusters of so many members, not yet a pair.
        private func withClusters(
            _ members: Int, _ body: (TestCluster, TestCluster) async throws -> Void
        ) async throws {
            let primary = try TestCluster(members, name: "primary")
            let standby = try TestCluster(members, name: "standby")
            do {
                for cluster in [primary, standby] {
                    try await cluster.start()
                    try await eventually("the feature version rises") {
                        try await cluster.store(1).status().featureVersion >= Feature.sites.since
                    }
                }
                try await body(primary, standby)
            } catch {
                await primary.stop()
                await standby.stop()
                throw error
            }
            await primary.stop()
            await standby.stop()
        }

        /// The standby follows, however it gets there.
        private func pair(_ primary: TestCluster, _ standby: TestCluster) async throws {
            let token = try await primary.client().enrollSite()
            try await standby.client().followSite(at: primary.members.values.sorted(), token: token)
        }

        private func caughtUp(_ primary: Store, _ standby: Store) async throws {
            try await eventually("the standby has everything") {
                let (here, there) = (try await primary.siteStatus(), try await standby.siteStatus())
                return there.revision == here.revision && there.seeding == nil && there.link == .connected
            }
        }

        private func fill(_ store: Store, _ count: Int, _ text: String, from first: Int = 0) async throws {
            for start in stride(from: first, to: first + count, by: 100) {
                let puts = (start..<min(start + 100, first + count)).map { number in
                    Transaction.Operation.put(Key("key-\(number)"), Array("\(text) \(number)".utf8))
                }
                _ = try await store.transaction(Transaction(then: puts))
            }
        }

        /// The primary gives up its feed, and what it keeps for a standby.
        private func giveUpFeed(_ store: Store) async throws {
            try await store.limitSite(bytes: 1, seconds: 1)
            try await store.compact(through: try await store.siteStatus().revision)
            try await store.put("after", "1")
            try await store.limitSite(bytes: 1 << 30, seconds: 3_600)
        }

        @Test func `a new standby of a primary that was compacted gets everything, models included`() async throws {
            try await withClusters(3) { primary, standby in
                let here = try await primary.client()
                let scratch = try Scratch()
                let directory = try scratch.model("model", seed: 7)
                try await fill(here, 500, "old")
                try await fill(here, 300, "new")
                _ = try await here.push(directory, as: "m")
                _ = try await here.delete(Key("key-499"))
                try await here.compact(through: try await here.siteStatus().revision)
                try await here.put("last", "1")
                try await pair(primary, standby)
                let there = try await standby.client()
                try await caughtUp(here, there)
                #expect(try await there.text("key-1", consistency: .stale) == "new 1")
                #expect(try await there.text("key-498", consistency: .stale) == "old 498")
                #expect(try await there.text("key-499", consistency: .stale) == nil)
                try await standby.agree()
                #expect(
                    try await standby.statuses().first?.feedHash == (try await primary.statuses().first?.feedHash))
                try await standby.waitComplete()
                for id in primary.running { try await primary.stop(id) }
                try await there.promoteSite(acceptingLossOf: nil)
                let client = try await standby.client()
                _ = try await client.pull(ModelReference(parsing: "m"), into: scratch("pulled"))
                try expectSameFiles(directory, scratch("pulled"))
                try await client.put("mine", "1")
            }
        }

        @Test func `a seed goes on whoever leads, and only what differs crosses`() async throws {
            try await withClusters(3) { primary, standby in
                let here = try await primary.client()
                try await pair(primary, standby)
                let there = try await standby.client()
                let wide = String(repeating: "x", count: 1_000)
                try await fill(here, 4_000, wide)
                try await caughtUp(here, there)
                let before = try await there.siteStatus().revision
                for id in standby.ids { try await standby.stop(id) }
                try await fill(here, 2_000, "other " + wide, from: 2_000)
                try await giveUpFeed(here)
                for id in standby.ids { try await standby.start(id) }
                var killed = false
                var seen: SiteStatus.Seeding?
                try await eventually("the standby is seeded") {
                    let status = try await there.siteStatus()
                    if let seeding = status.seeding {
                        #expect(status.revision == before, "it is what it was")
                        seen = seeding
                        if !killed, seeding.rows > 0 {
                            killed = true
                            let (left, right) = (try await primary.leader(), try await standby.leader())
                            try await primary.stop(left)
                            try await standby.stop(right)
                            try await primary.start(left)
                            try await standby.start(right)
                        }
                    }
                    return status.revision > before && status.seeding == nil
                }
                #expect(killed, "the leaders were lost in the middle of it")
                let last = try #require(seen)
                #expect(last.rows <= 2_001 && last.sameRanges > 10, "\(last)")
                try await caughtUp(here, there)
                #expect(try await there.text("key-2999", consistency: .stale) == "other \(wide) 2999")
                #expect(try await there.text("key-1500", consistency: .stale) == "\(wide) 1500")
                try await standby.agree()
                #expect(
                    try await standby.statuses().first?.feedHash == (try await primary.statuses().first?.feedHash))
            }
        }

        @Test func `an old primary that is below the new one's feed rejoins and is seeded`() async throws {
            try await withClusters(1) { primary, standby in
                let here = try await primary.client()
                try await pair(primary, standby)
                let there = try await standby.client()
                try await fill(here, 300, "both")
                try await caughtUp(here, there)
                try await standby.stop(1)
                try await here.put("orphan", "1")
                try await primary.stop(1)
                try await standby.start(1)
                _ = try await standby.leader()
                try await there.promoteSite(acceptingLossOf: nil)
                let member = try standby.store(1)
                try await fill(member, 100, "new")
                try await giveUpFeed(member)
                try await primary.start(1)
                _ = try await primary.leader()
                let old = try primary.store(1)
                try await eventually("the old primary hears of the new one") {
                    try await old.siteStatus().role == .fenced
                }
                try await old.rejoinSite()
                try await caughtUp(member, old)
                #expect(try await old.text("key-1", consistency: .stale) == "new 1")
                #expect(try await old.text("key-200", consistency: .stale) == "both 200")
                #expect(try await old.text("orphan", consistency: .stale) == nil)
                #expect(try await old.siteOrphans().map(\.changes) == [[.put("orphan", Array("1".utf8))]])
            }
        }
    }
}
