import Foundation
import Holdfast
import Processes
import Testing

extension FaultTests {
    /// Disks without room: nothing stops, nothing is lost, what makes room works, and everything goes on by itself.
    @Suite(.serialized, .enabled(if: SmallDisk.canMount, "only root may mount the small file system that this fills"))
    struct FullDisk {
        /// Large enough for a segment of the log, a spare one and the reserve, with some room for data.
        private static let mebibytes = 288

        /// A cluster each of whose nodes has a small disk of its own.
        private func withSmallDisks(
            _ members: Int = 3, _ body: (Cluster, [SmallDisk]) async throws -> Void
        ) async throws {
            let disks = try (0..<members).map { _ in try SmallDisk(mebibytes: Self.mebibytes) }
            var layout = Cluster.Layout()
            layout.members = members
            layout.data = { disks[$0 - 1].path + "/data" }
            layout.arguments = ["--sweep-milliseconds", "1000"]
            let cluster = try await Cluster.start(layout)
            do {
                try await cluster.wait("complete")
                try await body(cluster, disks)
                for id in cluster.ids { #expect(try !cluster.node(id).hasEnded, "node \(id) stopped") }
                try await cluster.stop()
            } catch {
                for id in cluster.ids { print("node \(id) said: \((try? cluster.node(id).error()) ?? "nothing")") }
                cluster.abandon()
                throw error
            }
        }

        /// Waits until a member says that its disk is full, or that it is not.
        private func wait(_ id: Int, full: Bool, on cluster: Cluster) async throws {
            try await until("node \(id) to say that it is \(full ? "" : "not ")full") {
                try await isFull(id, on: cluster) == full
            }
        }

        /// Fills a member's disk until it says so: what it gave back meanwhile, such as a segment of its log, is taken too, but not its reserve.
        private func fill(_ id: Int, _ disks: [SmallDisk], on cluster: Cluster) async throws {
            try disks[id - 1].fill()
            try await until("node \(id) to say that it is full") {
                if disks[id - 1].freeBytes > 18 << 20 { try disks[id - 1].fill() }
                return try await isFull(id, on: cluster) == true
            }
        }

        private func isFull(_ id: Int, on cluster: Cluster) async throws -> Bool? {
            let status = try await cluster.run("cluster", "status", "--json", "--timeout", "2")
            guard status.status == 0 else { return nil }
            return try status.document.list("nodes")?[id - 1].truth("full")
        }

        private func expectRefusal(_ outcome: Program.Outcome, _ what: String) throws {
            #expect(outcome.status == 1, "\(what): \(outcome.text) \(outcome.error)")
            #expect(try outcome.failure.text("code") == "resourceExhausted", "\(what)")
            #expect(try outcome.failure.text("message")?.contains("delet") == true, "it says what to do")
        }

        @Test func whenAllDisksAreFullWritesAreRefusedAndDeletionsMakeRoom() async throws {
            try await withSmallDisks { cluster, disks in
                let scratch = try ScratchDirectory()
                let file = try scratch.write("m.bin", noise(6_000_000, seed: 3))
                for number in 0..<50 { try await cluster.put("k\(number)", "v\(number)") }
                for id in cluster.ids { try await fill(id, disks, on: cluster) }
                try expectRefusal(try await cluster.run("key", "put", "new", "v", "--json"), "put")
                try expectRefusal(try await cluster.run("model", "push", "m", file, "--json"), "push")
                // What makes room works, again and again.
                for number in 0..<20 { #expect(try await cluster.run("key", "delete", "k\(number)").status == 0) }
                let revision = try await cluster.run("cluster", "status", "--json").document.number("revision") ?? 0
                #expect(try await cluster.run("key", "compact", "\(revision)").status == 0)
                #expect(try await cluster.get("k20") == "v20")
                // A node starts on a full disk.
                let restarted = try #require(cluster.others(try await cluster.leader()).first)
                try await cluster.kill(restarted)
                try await cluster.start(restarted)
                try await wait(restarted, full: true, on: cluster)
                for disk in disks { try disk.empty() }
                for id in cluster.ids { try await wait(id, full: false, on: cluster) }
                // The leader hears of the others' room a moment later.
                try await until("a put to be taken") { try await cluster.run("key", "put", "new", "v").status == 0 }
                #expect(try await cluster.run("model", "push", "m", file).status == 0)
                try await cluster.wait("complete")
                for id in cluster.ids { #expect(try await cluster.get("k49", at: [id]) == "v49") }
            }
        }

        @Test func aFullLeaderRefusesAndAFullFollowerHoldsNobodyUp() async throws {
            try await withSmallDisks { cluster, disks in
                let leader = try await cluster.leader()
                let follower = try #require(cluster.others(leader).first)
                try await fill(follower, disks, on: cluster)
                let storm = try await Storm.begin("k", on: cluster)
                try await storm.progress(200)
                let scratch = try ScratchDirectory()
                let file = try scratch.write("m.bin", noise(6_000_000, seed: 3))
                // A client that begins at the full node finds one with room.
                let push = try await cluster.run(
                    "model", "push", "m", file, "--json", at: [follower] + cluster.others(follower))
                #expect(push.status == 0, "\(push.error)")
                await storm.end()
                #expect(storm.refused(.resourceExhausted) == 0)
                try disks[follower - 1].empty()
                try await wait(follower, full: false, on: cluster)
                try await cluster.wait("complete")

                #expect(try await cluster.run("cluster", "transfer-leader", "\(leader)").status == 0)
                try await fill(leader, disks, on: cluster)
                try expectRefusal(try await cluster.run("key", "put", "new", "v", "--json"), "put")
                #expect(try await cluster.run("key", "delete", "k/0/0").status == 0)
                // Whoever has room may lead.
                #expect(try await cluster.run("cluster", "transfer-leader", "\(follower)").status == 0)
                try await cluster.put("new", "v")
                try disks[leader - 1].empty()
                try await wait(leader, full: false, on: cluster)
                try await cluster.run("key", "put", "k/0/0", "deleted", "--if-revision", "0")
                try await cluster.wait("complete")
                try await cluster.put("last", "v")
                for id in cluster.ids { #expect(try await cluster.get("last", at: [id]) == "v") }
            }
        }

        @Test func aDiskFilledByTheStoreItselfIsEmptiedByDeletions() async throws {
            try await withSmallDisks(1) { cluster, disks in
                // Values that do not compress, until they are refused.
                let storm = try await Storm.begin("k", on: cluster, writers: 2, valueBytes: 400_000, isNoise: true)
                try await until("a refusal", seconds: 60) { storm.refused(.resourceExhausted) > 0 }
                await storm.end()
                #expect(storm.refused(.outcomeUnknown) == 0)
                try await storm.verify(on: cluster)
                try await storm.erase(on: cluster)
                let revision = try await cluster.run("cluster", "status", "--json").document.number("revision") ?? 0
                #expect(try await cluster.run("key", "compact", "\(revision)").status == 0)
                try await wait(1, full: false, on: cluster)
                try await cluster.put("new", "v")
            }
        }
    }
}
