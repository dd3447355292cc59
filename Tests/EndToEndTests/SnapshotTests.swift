import Foundation
import Processes
import Testing

extension EndToEndTests {
    /// State snapshots between real processes, and in files.
    @Suite(.serialized) struct Snapshots {
        private let scratch: ScratchDirectory

        init() throws { scratch = try ScratchDirectory() }

        private func statusNode(_ cluster: Cluster, _ id: Int) async throws -> JSONObject {
            let nodes = try await cluster.run("cluster", "status", "--json").document.list("nodes") ?? []
            guard let node = nodes.first(where: { $0.number("id") == id }) else { throw Unexpected("no node \(id)") }
            return node
        }

        private func metric(_ cluster: Cluster, _ name: String, at id: Int) async throws -> Double {
            let text = try await cluster.run("node", "metrics", at: [id]).text
            let line = text.split(separator: "\n").first { $0.hasPrefix("holdfast_\(name) ") }
            return line.flatMap { Double($0.split(separator: " ")[1]) } ?? -1
        }

        @Test func aFollowerKilledLongBeforeCompactionComesBackWhileWritesGoOn() async throws {
            var layout = Cluster.Layout()
            // Flushes come after 32 MiB of log, so more than that is written below.
            layout.arguments = ["--log-entries-max", "500", "--absence-milliseconds", "1000"]
            let cluster = try await Cluster.start(layout)
            do {
                try await cluster.run("key", "put", "before", "1")
                let leader = try await cluster.leader()
                let away = try #require(cluster.others(leader).first)
                let rest = cluster.others(away)
                let had = try #require(try await statusNode(cluster, away).number("applied"))
                try await cluster.kill(away)
                let fill = try await Program.run(
                    [
                        "bench", "fill", "--rows", "24000", "--value-bytes", "4096", "--clients", "16", "--timeout",
                        "30",
                    ],
                    environment: cluster.environment(rest), seconds: 240)
                #expect(fill.status == 0, "\(fill.error)")
                try await until("the log is compacted past the dead follower", seconds: 60) {
                    try await metric(cluster, "log_compacted_index", at: leader) > Double(had)
                }
                // It comes back while writes go on, and is killed once more in the middle.
                let load = try cluster.begin(
                    "bench", "put", "--clients", "4", "--seconds", "8", "--timeout", "30", "--json", at: rest)
                defer { load.signal(SIGKILL) }
                try await cluster.start(away)
                try await until("the state is on its way or there", seconds: 60) {
                    let wanted = try await metric(cluster, "snapshot_missing_bytes", at: away)
                    let installed = try await metric(cluster, "snapshots_installed", at: away)
                    return wanted > 0 || installed > 0
                }
                try await cluster.kill(away)
                try await cluster.start(away)
                let outcome = try await load.outcome(seconds: 120)
                #expect(outcome.status == 0, "\(outcome.error)")
                try await until("all have the same history", seconds: 120) {
                    let nodes = try await cluster.run("cluster", "status", "--json").document.list("nodes") ?? []
                    return nodes.count == 3 && Set(nodes.map { $0.number("revision") }).count == 1
                        && Set(nodes.map { $0.number("applied") }).count == 1
                }
                let nodes = try await cluster.run("cluster", "status", "--json").document.list("nodes") ?? []
                #expect(Set(nodes.map { $0.text("feedHash") }).count == 1)
                #expect(try await cluster.run("key", "get", "before", "--stale", at: [away]).text == "1")
                try await cluster.wait("complete")
                try await cluster.stop()
            } catch {
                cluster.abandon()
                throw error
            }
        }

        @Test func aSavedStateIsInspectedAndBecomesAClusterOfItsOwn() async throws {
            let local = scratch.path + "/source"
            let place = ["--local", local]
            for number in 1...6 {
                #expect(try await Program.run(["key", "put", "k/\(number % 3)", "\(number)"] + place).status == 0)
            }
            let weights = try scratch.write("weights.bin", noise(300_000, seed: 7))
            let pushed = try await Program.run(["model", "push", "m", weights, "--json"] + place)
            #expect(pushed.status == 0, "\(pushed.error)")
            let file = scratch.path + "/state.hfs"
            let saved = try await Program.run(["snapshot", "save", file, "--with-chunks", "--json"] + place)
            #expect(saved.status == 0, "\(saved.error)")
            let document = try saved.document
            #expect(document.names.contains("feedHash") && document.names.contains("chunkBytes"))
            #expect(
                try await Program.run(["snapshot", "save", file, "--json"] + place).status == 2, "never overwritten")
            #expect(!FileManager.default.fileExists(atPath: file + ".partial"))

            let inspected = try await Program.run(["snapshot", "inspect", file, "--json"])
            #expect(inspected.status == 0, "\(inspected.error)")
            #expect(inspected.text == saved.text)

            // Another cluster of one, with another history.
            let restored = scratch.path + "/restored"
            let arguments = ["snapshot", "restore", file, "--data", restored, "--json"]
            let outcome = try await Program.run(arguments)
            #expect(outcome.status == 0, "\(outcome.error)")
            let lineage = try #require(document.text("lineage"))
            #expect(try outcome.document.text("lineage") != lineage)
            #expect(try await Program.run(arguments).status == 2, "a directory that is there is not touched")
            let there = ["--local", restored]
            #expect(try await Program.run(["key", "get", "k/1"] + there).text == "4")
            let old = try await Program.run(["key", "get", "k/1", "--revision", "3"] + there)
            #expect(old.status == 0 && old.text == "1", "\(old.error)")
            let status = try await Program.run(["cluster", "status", "--json"] + there).document
            #expect(try status.text("lineage") == outcome.document.text("lineage"))
            #expect(status.list("nodes")?.first?.truth("complete") == true)
            let pulled = try await Program.run(["model", "pull", "m", scratch.path + "/pulled"] + there)
            #expect(pulled.status == 0, "\(pulled.error)")
            #expect(
                FileManager.default.contentsEqual(
                    atPath: weights, andPath: scratch.path + "/pulled/weights.bin"))
            #expect(try await Program.run(["key", "put", "new", "1"] + there).status == 0)
        }

        @Test func aDamagedFileIsRefusedAndTouchesNothing() async throws {
            let place = ["--local", scratch.path + "/source"]
            #expect(try await Program.run(["key", "put", "k", "v"] + place).status == 0)
            let file = scratch.path + "/state.hfs"
            #expect(try await Program.run(["snapshot", "save", file] + place).status == 0)
            let whole = try Data(contentsOf: URL(fileURLWithPath: file))
            let damaged = scratch.path + "/damaged.hfs"
            let restored = scratch.path + "/restored"
            for place in [0, 9, 40, whole.count / 2, whole.count - 1] {
                var bytes = whole
                bytes[place] ^= 0x20
                try bytes.write(to: URL(fileURLWithPath: damaged))
                #expect(try await Program.run(["snapshot", "inspect", damaged, "--json"]).status == 1, "byte \(place)")
                let outcome = try await Program.run(["snapshot", "restore", damaged, "--data", restored, "--json"])
                #expect(outcome.status == 1, "byte \(place)")
                #expect(try outcome.failure.text("code") == "corrupted", "byte \(place)")
                #expect(!FileManager.default.fileExists(atPath: restored))
            }
            try whole.dropLast(1).write(to: URL(fileURLWithPath: damaged))
            #expect(try await Program.run(["snapshot", "inspect", damaged]).status == 1)
            #expect(try await Program.run(["snapshot", "inspect", scratch.path + "/none"]).status == 3)
        }
    }
}
