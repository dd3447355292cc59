import Foundation
import Processes
import Testing

extension FaultTests {
    /// Clocks that jump.
    @Suite(.serialized) struct Clocks {
        private static let decade = 10 * 365 * 86_400

        @Test func jumpsOfTheTimeOfDayLoseNoUploadAndNoSession() async throws {
            var layout = Cluster.Layout()
            layout.arguments = ["--sweep-milliseconds", "100", "--upload-idle-milliseconds", "600000"]
            try await FaultyCluster.with(layout) { faulty in
                let cluster = faulty.cluster
                let scratch = try ScratchDirectory()
                let file = try scratch.write("m.bin", noise(12_000_000, seed: 5))
                // One session for all of it: a session that expired would be a refusal.
                let storm = try await Storm.begin("k", on: cluster)
                let push = try cluster.begin("model", "push", "m", file, "--json", "--rate-limit", "3000000")
                _ = try await push.line("of progress") { try JSONObject($0).number("sentBytes") ?? 0 > 1_000_000 }
                let leader = try await cluster.leader()
                for seconds in [Self.decade, -Self.decade, 86_400, 0] {
                    try faulty.control(leader).setClock(ahead: seconds)
                    try await storm.progress(20)
                    for id in cluster.others(leader) { try faulty.control(id).setClock(ahead: -seconds) }
                    try await storm.progress(20)
                }
                let end = try await push.outcome()
                #expect(end.status == 0, "\(end.error)")
                #expect(try await cluster.leader() == leader, "elections do not depend on the time of day")
                await storm.end()
                #expect(storm.refusals == 0)
                try await cluster.wait("complete")
                for id in cluster.ids { try await storm.verify(on: cluster, at: [id]) }
                try await cluster.equalHashes()
            }
        }

        @Test func anAbandonedUploadExpiresThoughTheClockJumpsBack() async throws {
            var layout = Cluster.Layout()
            layout.arguments = ["--sweep-milliseconds", "100", "--upload-idle-milliseconds", "1500"]
            try await FaultyCluster.with(layout) { faulty in
                let cluster = faulty.cluster
                for id in cluster.ids { try faulty.control(id).setClock(ahead: Self.decade) }
                let scratch = try ScratchDirectory()
                let file = try scratch.write("m.bin", noise(12_000_000, seed: 6))
                let push = try cluster.begin("model", "push", "m", file, "--json", "--rate-limit", "2000000")
                _ = try await push.line("of progress") { try JSONObject($0).number("sentBytes") ?? 0 > 1_000_000 }
                push.signal(SIGKILL)
                for id in cluster.ids { try faulty.control(id).setClock(ahead: -Self.decade) }
                try await until("the end of the upload") {
                    let list = try await cluster.run("model", "uploads", "list", "--json")
                    return list.status == 0 && !list.text.contains("\"m\"")
                }
            }
        }
    }
}
