import ReplicaCore
import Testing

@testable import Holdfast
@testable import HoldfastCLI

@Suite struct ReplayPlanTests {
    private func plan(_ revisions: [[SiteOrphan.Change]]) throws -> ReplayPlan {
        var plan = ReplayPlan()
        for (place, changes) in revisions.enumerated() {
            let revision = UInt64(place) + 5
            let entry = FeedEntry(revision: revision, effects: [.delete(.user, .key([1]))])
            var orphan = try SiteOrphan(1, Orphan(epoch: 1, revision: revision, time: 0, entry: entry))
            orphan.changes = changes
            plan.add(orphan)
        }
        return plan
    }

    private func model(_ name: String, _ version: String, root: String = "r") -> Holdfast.ModelVersion {
        Holdfast.ModelVersion(
            name: name, version: version, root: root, revision: 1, bytes: 1, files: 1, chunks: 1,
            publishedMilliseconds: 0, retired: false)
    }

    @Test func `of several orphans of one key the last one is replayed, and nothing is deleted`() throws {
        let plan = try plan([
            [.put("a", [1]), .put("b", [2])], [.delete("a")], [.put("a", [3])],
        ])
        #expect(plan.keys.map(\.key) == ["a", "b"])
        #expect(plan.keys.map(\.value) == [[3], [2]])
        #expect(plan.models.isEmpty)
    }

    @Test func `versions are replayed as they were last, and not those that were retired again`() throws {
        let plan = try plan([
            [.published(model("m", "1"))], [.published(model("m", "2"))], [.retired(name: "m", version: "1")],
            [.retired(name: "n", version: "7")], [.published(model("n", "7", root: "s"))],
        ])
        #expect(plan.models == [model("m", "2"), model("n", "7", root: "s")])
    }
}
