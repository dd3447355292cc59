import Foundation
import Testing

@testable import Holdfast

extension ClusterTests.SiteTests {
    @Test func `a version that a failover left behind is whole among the orphans, and can be pushed again`()
        async throws
    {
        try await withSites { primary, standby, here, there in
            let scratch = try Scratch()
            let directory = try scratch.model("model", seed: 21)
            try await here.put("both", "1")
            try await caughtUp(here, there)
            try await standby.stop(1)
            let lost = try await here.push(directory, as: "m").model
            try await primary.stop(1)
            try await standby.start(1)
            _ = try await standby.leader()
            let member = try standby.store(1)
            try await member.promoteSite(acceptingLossOf: nil)
            try await member.put("new", "1")
            try await primary.start(1)
            _ = try await primary.leader()
            let old = try primary.store(1)
            try await eventually("the old primary hears of the new one") { try await old.siteStatus().role == .fenced }
            try await old.rejoinSite()
            try await caughtUp(member, old)
            let orphans = try await old.siteOrphans()
            var found: [ModelVersion] = []
            for orphan in orphans {
                for case .published(let model) in orphan.changes { found.append(model) }
            }
            let orphan = try #require(found.first)
            #expect(found.count == 1 && orphan.root == lost.root && orphan.version == lost.version)
            #expect(try await member.models().isEmpty)
            _ = try await old.pull(orphan, into: scratch("pulled"))
            try expectSameFiles(directory, scratch("pulled"))
            let pushed = try await member.push(
                scratch("pulled"), as: orphan.name, options: PushOptions(version: orphan.version))
            #expect(pushed.model.root == lost.root)
            try await caughtUp(member, old)
            #expect(try await old.models(consistency: .stale).map(\.root) == [lost.root])
        }
    }
}
