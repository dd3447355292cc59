import Foundation
import Logging
import NIOCore
import ReplicaCore
import Testing

@testable import Holdfast

extension ClusterTests {
    @Suite(.serialized) struct SiteTests {
        /// A primary of so many members, and a standby.
        func withSites(
            _ members: Int = 1, _ body: (TestCluster, TestCluster, Store, Store) async throws -> Void
        ) async throws {
            let primary = try TestCluster(members, name: "primary")
            let standby = try TestCluster(members, name: "standby")
            do {
                try await primary.start()
                try await standby.start()
                let here = try await primary.client()
                let there = try await standby.client()
                for cluster in [primary, standby] {
                    try await eventually("the feature version rises") {
                        try await cluster.store(1).status().featureVersion >= Feature.sites.since
                    }
                }
                let token = try await here.enrollSite()
                try await there.followSite(at: primary.members.values.sorted(), token: token)
                try await body(primary, standby, here, there)
            } catch {
                await primary.stop()
                await standby.stop()
                throw error
            }
            await primary.stop()
            await standby.stop()
        }

        func caughtUp(_ primary: Store, _ standby: Store) async throws {
            try await eventually("the standby has everything") {
                let (here, there) = (try await primary.siteStatus(), try await standby.siteStatus())
                return there.revision == here.revision && there.role != .alone
            }
        }

        @Test func `a standby follows, refuses writes, and its clients go to the primary by themselves`() async throws {
            try await withSites(3) { primary, standby, here, there in
                for number in 0..<100 { try await here.put(Key("key-\(number)"), "value") }
                try await caughtUp(here, there)
                #expect(try await there.text("key-99", consistency: .stale) == "value")
                let status = try await there.siteStatus()
                #expect(status.role == .standby && status.epoch == 1 && status.link == .connected)
                try await eventually("the recovery point is known") {
                    try await there.siteStatus().recoveryPointSeconds != nil
                }
                let member = try standby.store(try await standby.leader())
                let refused = await refusal { try await member.put("x", "y") }
                #expect(refused?.code == .fenced)
                let named = refused?.details["primary"]?.split(separator: ",").map(String.init) ?? []
                #expect(Set(named) == Set(primary.members.values))
                let read = await refusal { _ = try await member.get("key-1") }
                #expect(read?.code == .fenced, "what is read here may be old")
                // A client of the standby follows to the primary, with a session of its own there.
                let client = try await standby.client()
                #expect(try await client.put("followed", "1").revision == 101)
                #expect(try await client.text("followed") == "1")
                let hashes = try await primary.statuses().map(\.feedHash)
                try await caughtUp(here, there)
                try await standby.agree()
                #expect(try await standby.statuses().map(\.feedHash) == hashes)
            }
        }

        @Test func `a switchover changes the roles and goes back, and clients write on`() async throws {
            try await withSites { _, _, here, there in
                try await here.put("a", "1")
                try await caughtUp(here, there)
                let client = here.withTimeout(milliseconds: 15_000)
                let writer = Task {
                    var done = 0
                    while !Task.isCancelled {
                        try await client.put("count", "\(done)")
                        done += 1
                    }
                    return done
                }
                try await eventually("the writer writes") {
                    try await client.text("count") != nil
                }
                try await here.switchOverSite()
                try await eventually("the other one is the primary") { try await there.siteStatus().role == .primary }
                let before = try await there.siteStatus().revision
                try await eventually("the writer writes there") {
                    try await there.siteStatus().revision > before + 5
                }
                writer.cancel()
                _ = await writer.result
                #expect(try await there.siteStatus().epoch == 2)
            }
        }

        @Test func `a model that the primary published is whole at the standby when its site is gone`() async throws {
            try await withSites(3) { primary, standby, here, there in
                let scratch = try Scratch()
                let directory = try scratch.model("model", seed: 7)
                _ = try await here.push(directory, as: "m")
                try await caughtUp(here, there)
                try await standby.agree()
                let first = try standby.chunkFiles(1)
                #expect(first > 0)
                try await standby.waitComplete()
                for id in standby.ids { #expect(try standby.chunkFiles(id) == primary.chunkFiles(1)) }
                for id in primary.running { try await primary.stop(id) }
                try await there.promoteSite(acceptingLossOf: nil)
                let client = try await standby.client()
                _ = try await client.pull(ModelReference(parsing: "m"), into: scratch("pulled"))
                try expectSameFiles(directory, scratch("pulled"))
            }
        }

        @Test func `after a forced promotion the old primary rejoins, and gives up what only it has`() async throws {
            try await withSites { primary, standby, here, there in
                try await here.put("both", "1")
                try await caughtUp(here, there)
                // Nobody tells the old primary: the standby is not heard.
                try await standby.stop(1)
                try await here.put("orphan", "1")
                try await primary.stop(1)
                try await standby.start(1)
                _ = try await standby.leader()
                let alone = await refusal { try await there.promoteSite(acceptingLossOf: 1_000) }
                #expect(alone?.code == .preconditionFailed, "this leader has heard nothing of the primary")
                try await there.promoteSite(acceptingLossOf: nil)
                let member = try standby.store(1)
                try await member.put("new", "1")
                try await primary.start(1)
                _ = try await primary.leader()
                let old = try primary.store(1)
                try await eventually("the old primary hears of the new one") {
                    try await old.siteStatus().role == .fenced
                }
                let refused = await refusal { try await old.put("late", "1") }
                #expect(refused?.code == .fenced)
                try await old.rejoinSite()
                try await eventually("it follows") {
                    let (left, right) = (try await old.siteStatus(), try await member.siteStatus())
                    return left.role == .standby && left.revision == right.revision
                }
                #expect(try await old.text("new", consistency: .stale) == "1")
                #expect(try await old.text("orphan", consistency: .stale) == nil)
                let orphans = try await old.siteOrphans()
                #expect(orphans.map(\.changes) == [[.put("orphan", Array("1".utf8))]])
                let last = try #require(orphans.last)
                #expect(last.epoch == 1 && last.revision == 2)
                #expect(try await old.siteOrphans(after: last).isEmpty)
                try await old.dropSiteOrphans(through: last.rewind)
                #expect(try await old.siteOrphans().isEmpty)
                let hashes = [
                    try await primary.statuses().first?.feedHash, try await standby.statuses().first?.feedHash,
                ]
                #expect(hashes[0] == hashes[1])
            }
        }

        @Test func `a leader that has heard of a higher epoch acknowledges nothing, before its log says so`()
            async throws
        {
            try await withSites { primary, _, here, there in
                try await here.put("a", "1")
                try await caughtUp(here, there)
                let replica = try #require(try primary.node(1).replica)
                replica.loop.execute { replica.heardEpoch = 2 }
                let late = await refusal {
                    try await here.withTimeout(milliseconds: 3_000).put("late", "1")
                }
                #expect(late != nil)
                let status = try await here.siteStatus()
                #expect(status.role == .primary && status.epoch == 1, "no fence has come through the log")
            }
        }

        @Test func `a primary without a quorum answers no poll, and the recovery point grows until it does`()
            async throws
        {
            try await withSites(3) { primary, standby, here, there in
                try await here.put("a", "1")
                try await caughtUp(here, there)
                try await eventually("the recovery point is known") {
                    try await there.siteStatus().recoveryPointSeconds != nil
                }
                let left = try await primary.leader()
                for id in primary.ids where id != left { try await primary.stop(id) }
                // Far beyond what a poll that is tried again at the next address takes.
                try await eventually("what may be lost grows") {
                    try await there.siteStatus().recoveryPointSeconds ?? 0 > 8
                }
                #expect(try await there.siteStatus().link == .unreachable)
                for id in primary.ids where id != left { try await primary.start(id) }
                try await eventually("it is small again") {
                    try await there.siteStatus().recoveryPointSeconds ?? .infinity < 4
                }
            }
        }

        @Test func `a client that has seen a higher epoch fences a primary that nobody else told`() async throws {
            try await withSites { primary, standby, here, there in
                try await here.put("a", "1")
                try await caughtUp(here, there)
                // The primary hears nothing: it is told by the client alone, which knows both.
                try await primary.stop(1)
                try await there.promoteSite(acceptingLossOf: nil)
                let both = try await TestCluster.client(
                    of: Array(standby.members.values) + Array(primary.members.values))
                try await eventually("the client has seen the epoch") {
                    _ = try await both.store.status()
                    return both.store.router.knownEpoch == 2
                }
                try await standby.stop(1)
                try await primary.start(1)
                _ = try await primary.leader()
                #expect(try await here.siteStatus().role == .primary, "nobody told it")
                let refused = await refusal {
                    try await both.store.withTimeout(milliseconds: 3_000).put("late", "1")
                }
                #expect(refused != nil)
                #expect(try await primary.store(1).siteStatus().role == .fenced)
                await both.stop()
            }
        }
    }
}
