import Foundation
import Processes
import Testing

extension EndToEndTests {
    /// What a cluster does when its members stop, die, lose bytes or come back as somebody else.
    @Suite(.serialized, .cluster) struct Faults {
        private let cluster: Cluster
        private let scratch: ScratchDirectory

        init() throws {
            cluster = try #require(Cluster.current)
            scratch = try ScratchDirectory()
        }

        @Test func theStatusHasAllItsFields() async throws {
            try await cluster.run("key", "put", "status", "v")
            var document = try await cluster.run("cluster", "status", "--json").document
            try await until("equal revisions") {
                document = try await cluster.run("cluster", "status", "--json").document
                return Set(document.list("nodes")?.map { $0.number("revision") } ?? []).count == 1
            }
            #expect(
                Set(document.names).isSuperset(of: ["cluster", "leader", "lineage", "nodes", "revision", "term"]))
            #expect(document.text("cluster") == "test")
            #expect(document.text("lineage")?.count == 32)
            let leader = try #require(document.number("leader"))
            let nodes = try #require(document.list("nodes"))
            #expect(nodes.map { $0.number("id") } == [1, 2, 3])
            #expect(nodes.map { $0.text("endpoint") } == cluster.endpoints)
            for node in nodes {
                let fields: Set = [
                    "applied", "commit", "complete", "completeRevision", "endpoint", "feedHash", "freeBytes", "full",
                    "id", "missingBytes", "quarantined", "revision", "role",
                ]
                #expect(Set(node.names).isSuperset(of: fields), "\(node.names)")
                #expect(node.truth("full") == false)
                #expect(node.number("freeBytes") ?? 0 > 0)
                #expect(node.text("role") == (node.number("id") == leader ? "leader" : "follower"))
                #expect(node.truth("complete") == true)
                #expect(node.truth("quarantined") == false)
                #expect(node.number("missingBytes") == 0)
                #expect(node.number("completeRevision") == document.number("revision"))
                #expect(node.text("feedHash") == nodes[0].text("feedHash"), "equal revisions have equal hashes")
                #expect(node.text("feedHash")?.count == 64)
            }
        }

        @Test func theLeadershipMovesOnRequest() async throws {
            let leader = try await cluster.leader()
            let next = try #require(cluster.others(leader).first)
            let moved = try await cluster.run("cluster", "transfer-leader", "\(next)", "--json")
            #expect(moved.status == 0, "\(moved.error)")
            #expect(try moved.document.number("leader") == next)
            #expect(try await cluster.leader() == next)
            #expect(try await cluster.run("cluster", "transfer-leader", "9", "--json").status != 0)
            #expect(try await cluster.leader() == next)
        }

        @Test func aMemberThatIsDownIsUnreachableAndWaitingEndsAtTheTimeout() async throws {
            let down = try #require(cluster.others(try await cluster.leader()).first)
            try await cluster.kill(down)
            let rest = cluster.others(down)
            try await until("its absence") {
                let status = try await cluster.run("cluster", "status", "--json", at: rest)
                guard status.status == 0 else { return false }
                return try status.document.list("nodes")?[down - 1].text("role") == "unreachable"
            }
            for state in ["ready", "complete"] {
                let wait = try await cluster.run(
                    "cluster", "status", "--wait", state, "--timeout", "1", "--json", at: rest)
                #expect(wait.status == 69)
                #expect(try wait.document.list("nodes")?.count == 3, "the document is printed all the same")
                #expect(try wait.failure.text("code") == "unavailable")
            }
            #expect(try await cluster.run("key", "put", "down", "v", at: rest).status == 0)
            try await cluster.start(down)
            try await cluster.wait("complete")
            #expect(try await cluster.run("key", "get", "down", "--stale", at: [down]).text == "v")
        }

        @Test func withoutAQuorumNothingIsAnsweredButStaleReads() async throws {
            try await cluster.run("key", "put", "quorum", "v")
            try await cluster.wait("complete")
            let alone = try await cluster.leader()
            for id in cluster.others(alone) { try await cluster.kill(id) }
            try await until("the end of the leadership") {
                try await cluster.run("cluster", "status", "--json", at: [alone]).status == 69
            }
            let status = try await cluster.run("cluster", "status", "--json", at: [alone])
            #expect(status.status == 69)
            #expect(try status.document.isNull("leader"), "the field is there and null")
            #expect(try status.document.list("nodes")?.count == 3)
            for line in [["get", "quorum"], ["put", "quorum", "w"]] {
                let refused = try await Program.run(
                    ["key"] + line + ["--timeout", "1", "--json"], environment: cluster.environment([alone]))
                #expect(refused.status == 69)
                #expect(["unavailable", "deadlineExceeded"].contains(try refused.failure.text("code")))
            }
            #expect(try await cluster.run("key", "get", "quorum", "--stale", at: [alone]).text == "v")
            // Nobody can take the leadership over; it ends in order all the same.
            try cluster.node(alone).signal(SIGTERM)
            #expect(try await cluster.node(alone).outcome(seconds: 10).status == 0)
            for id in 1...3 { try await cluster.start(id) }
            try await cluster.wait("complete")
            #expect(try await cluster.run("key", "get", "quorum").text == "v")
        }

        @Test func aWriteWithoutAnAnswerIsStatusSeventyFive() async throws {
            // A load that has its session: what it sends after the members stand still was sent and gets no answer.
            let load = try cluster.begin("bench", "put", "--seconds", "60", "--timeout", "1", "--json")
            defer { load.signal(SIGKILL) }
            let before = try await cluster.run("cluster", "status", "--json").document.number("revision") ?? 0
            try await until("writes") {
                (try await cluster.run("cluster", "status", "--json").document.number("revision") ?? 0) > before + 10
            }
            for id in 1...3 { try cluster.node(id).signal(SIGSTOP) }
            let outcome = try await load.outcome()
            for id in 1...3 { try cluster.node(id).signal(SIGCONT) }
            #expect(outcome.status == 75, "\(outcome.error)")
            #expect(try outcome.failure.text("code") == "outcomeUnknown")
            try await cluster.wait("complete")
        }

        @Test func aLeaderThatIsToldToEndHandsOverAndEndsWithStatusZero() async throws {
            let leader = try await cluster.leader()
            let node = try cluster.node(leader)
            node.signal(SIGTERM)
            let end = try await node.outcome(seconds: 10)
            #expect(end.status == 0, "\(end.error)")
            #expect(end.lines.count == 1)
            #expect(try await cluster.leader(at: cluster.others(leader)) != leader)
            #expect(try await cluster.run("key", "put", "handed", "over").status == 0)
            try await cluster.start(leader)
            try await cluster.wait("complete")
        }

        @Test func aWatchGoesOnAtAnotherNode() async throws {
            let leader = try await cluster.leader()
            let from = try #require(
                try await cluster.run("key", "put", "followed", "0", "--json").document.number("revision"))
            let watch = try cluster.begin(
                "key", "watch", "followed", "--json", "--from", "\(from)", "--count", "3",
                at: [leader] + cluster.others(leader))
            defer { watch.signal(SIGKILL) }
            _ = try await watch.line("of the first change") { try JSONObject($0).text("value") == "0" }
            try await cluster.kill(leader)
            for value in ["1", "2"] { #expect(try await cluster.run("key", "put", "followed", value).status == 0) }
            let end = try await watch.outcome()
            #expect(end.status == 0, "\(end.error)")
            #expect(try end.documents.map { $0.text("value") } == ["0", "1", "2"], "nothing twice, nothing missing")
            try await cluster.start(leader)
            try await cluster.wait("complete")
        }

        @Test func aPushSurvivesTheDeathOfTheLeaderAndTheDeadNodeCatchesUp() async throws {
            for number in 0..<6 { try scratch.write("m/part\(number)", noise(4_000_000, seed: UInt64(number))) }
            let path = scratch.path + "/m"
            let push = try cluster.begin("model", "push", "killed", path, "--json", "--rate-limit", "6000000")
            defer { push.signal(SIGKILL) }
            _ = try await push.line("past a fifth") { try JSONObject($0).number("sentBytes") ?? 0 > 24_000_000 / 5 }
            let leader = try await cluster.leader()
            #expect(try !push.lines().contains { $0.contains("published") })
            try await cluster.kill(leader)
            let end = try await push.outcome()
            #expect(end.status == 0, "\(end.error)")
            #expect(try end.documents.last?.text("event") == "published")
            for id in cluster.others(leader) {
                let target = scratch.path + "/t\(id)"
                #expect(try await cluster.run("model", "pull", "killed", target, at: [id]).status == 0)
                #expect(try tree(target) == tree(path))
            }
            try await cluster.start(leader)
            try await cluster.wait("complete")
            let target = scratch.path + "/t\(leader)"
            #expect(try await cluster.run("model", "pull", "killed", target, at: [leader]).status == 0)
            #expect(try tree(target) == tree(path))
        }

        @Test func aFlippedByteIsReplacedAndNeverServed() async throws {
            let file = try scratch.write("flip.bin", noise(9_000_000, seed: 7))
            #expect(try await cluster.run("model", "push", "flipped", file).status == 0)
            try await cluster.wait("complete")
            let chunk = try damageChunk(below: cluster.data(2) + "/chunks", length: 4 << 20)
            let target = scratch.path + "/t"
            let pull = try await cluster.run("model", "pull", "flipped", target, at: [2])
            #expect(pull.status == 0, "\(pull.error)")
            #expect(try tree(target) == ["flip.bin": scratch.read("flip.bin")])
            #expect(
                try Data(contentsOf: URL(fileURLWithPath: chunk.path)) == chunk.bytes,
                "the node has the right bytes again")
            #expect(try await cluster.run("model", "verify", "flipped", at: [2]).status == 0)
        }

        @Test func aWipedVoterIsRefusedUnderItsOldID() async throws {
            let wiped = try #require(cluster.others(try await cluster.leader()).first)
            try await cluster.kill(wiped)
            let data = cluster.data(wiped)
            try FileManager.default.moveItem(atPath: data, toPath: data + ".old")
            try await cluster.format(wiped)
            let refused = try await Program.run(
                ["serve", "--data", data, "--json", "--log-level", "critical"], seconds: 20)
            #expect(refused.status == 1)
            #expect(try refused.failure.text("code") == "incompatible")
            #expect(try refused.failure.text("message")?.contains("new ID") == true, "it says what to do")
            try FileManager.default.removeItem(atPath: data)
            try FileManager.default.moveItem(atPath: data + ".old", toPath: data)
            try await cluster.start(wiped)
            try await cluster.wait("complete")
        }
    }
}
