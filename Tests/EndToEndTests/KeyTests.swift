import Foundation
import Processes
import Testing

extension EndToEndTests {
    /// The key verbs against three members.
    @Suite(.serialized, .cluster) struct Keys {
        private let cluster: Cluster
        private let scratch: ScratchDirectory

        init() throws {
            cluster = try #require(Cluster.current)
            scratch = try ScratchDirectory()
        }

        @Test func aKeyHasSixFieldsAndItsExactBytes() async throws {
            let fields = ["createRevision", "encoding", "key", "revision", "value", "version"]
            let bytes = noise(3000, seed: 1) + [0x0A, 0x00, 0x0A]
            let first = try await cluster.run("key", "put", "shape", "text", "--json").document
            #expect(first.names == fields)
            #expect(first.text("encoding") == "utf8")
            #expect(first.text("value") == "text")
            #expect(first.number("version") == 1)
            #expect(first.number("createRevision") == first.number("revision"))
            #expect(try await cluster.run("key", "put", "shape", "-", input: bytes).status == 0)
            let plain = try await cluster.run("key", "get", "shape")
            #expect(plain.status == 0)
            #expect(plain.output == bytes)
            let second = try await cluster.run("key", "get", "shape", "--json").document
            #expect(second.names == fields)
            #expect(second.text("encoding") == "base64")
            #expect(second.text("value") == Data(bytes).base64EncodedString())
            #expect(second.number("version") == 2)
            #expect(second.number("createRevision") == first.number("revision"))
            let old = try await cluster.run("key", "get", "shape", "--revision", "\(first.number("revision") ?? 0)")
            #expect(old.text == "text", "an older revision can be read")
            #expect(try await cluster.run("key", "get", "shape", "--stale").output == bytes)
        }

        @Test func aConditionHoldsOrIsStatusTwo() async throws {
            #expect(try await cluster.run("key", "put", "lock", "a", "--if-revision", "0").status == 0)
            let held = try await cluster.run("key", "put", "lock", "b", "--if-revision", "0", "--json")
            #expect(held.status == 2)
            #expect(try held.failure.text("code") == "preconditionFailed")
            #expect(held.output.isEmpty)
            let revision = try #require(
                try await cluster.run("key", "get", "lock", "--json").document.number("revision"))
            #expect(try await cluster.run("key", "delete", "lock", "--if-revision", "\(revision + 1)").status == 2)
            #expect(try await cluster.run("key", "put", "lock", "c", "--if-revision", "\(revision)").status == 0)
            #expect(try await cluster.run("key", "delete", "lock").status == 0)
            for verb in ["get", "delete"] {
                let gone = try await cluster.run("key", verb, "lock", "--json")
                #expect(gone.status == 3)
                #expect(try gone.failure.text("code") == "notFound")
            }
        }

        @Test func valuesAndKeysHaveLimits() async throws {
            let largest = noise(524_288, seed: 2)
            #expect(try await cluster.run("key", "put", "large", "-", input: largest).status == 0)
            #expect(try await cluster.run("key", "get", "large").output == largest)
            let tooLarge = try await cluster.run("key", "put", "larger", "-", "--json", input: largest + [0])
            #expect(tooLarge.status == 64)
            #expect(try tooLarge.failure.text("code") == "invalidArgument")
            let long = try await cluster.run("key", "put", String(repeating: "k", count: 70_000), "v", "--json")
            #expect(long.status == 64)
            #expect(try await cluster.run("key", "put", "", "v").status == 64)
            #expect(try await cluster.run("key", "get", "larger").status == 3)
        }

        @Test func aTransactionTakesOneBranchAndAMalformedFileChangesNothing() async throws {
            let file = try scratch.write(
                "transaction",
                Array(
                    """
                    {"compare":[{"key":"owner","revision":0}],"then":[{"op":"put","key":"owner","value":"me"}],
                     "else":[{"op":"get","key":"owner"}]}
                    """.utf8))
            let first = try await cluster.run("key", "transaction", file, "--json").document
            #expect(first.truth("succeeded") == true)
            let second = try await cluster.run("key", "transaction", file, "--json")
            #expect(second.status == 0, "the other branch is a success too")
            #expect(try second.document.truth("succeeded") == false)
            let answer = try second.document.list("answers")?.first
            #expect(answer?.list("keys")?.first?.text("value") == "me")

            let put = #"{"op":"put","key":"bad","value":"1"}"#
            for text in [
                "", "[]", #"{"then":[\#(put)"#, #"{"compare":[{"key":"owner","revison":0}],"then":[\#(put)]}"#,
                #"{"then":[\#(put),\#(put)]}"#, #"{"then":[{"op":"frob","key":"bad"}]}"#,
                #"{"then":[{"op":"put","key":"bad","value":"=","encoding":"base64"}]}"#,
            ] {
                let broken = try await cluster.run("key", "transaction", "-", "--json", input: Array(text.utf8))
                #expect(broken.status == 64, "\(text)")
                #expect(try broken.failure.text("code") == "invalidArgument", "\(text)")
            }
            #expect(try await cluster.run("key", "get", "bad").status == 3)
        }

        @Test func aWatchIncludesItsRevisionAndEndsAfterItsCount() async throws {
            let first = try await cluster.run("key", "put", "watch/a", "1", "--json").document.number("revision")
            let from = "\(try #require(first))"
            for line in [["put", "watch/b", "2"], ["put", "other", "x"], ["delete", "watch/a"]] {
                #expect(try await Program.run(["key"] + line, environment: cluster.environment()).status == 0)
            }
            let all = try await cluster.run(
                "key", "watch", "--prefix", "watch/", "--from", from, "--count", "3", "--json")
            #expect(all.status == 0)
            let events = try all.documents
            #expect(events.map { $0.text("type") } == ["put", "put", "delete"])
            #expect(events.map { $0.text("key") } == ["watch/a", "watch/b", "watch/a"])
            #expect(events.first?.number("revision") == first)
            for event in events {
                #expect(
                    event.names == ["createRevision", "encoding", "key", "revision", "type", "value", "version"])
            }
            let one = try await cluster.run("key", "watch", "watch/b", "--from", from, "--count", "1", "--json")
            #expect(try one.document.text("value") == "2")
        }

        @Test func aWatchFlushesEveryLineAndEndsOnInterruptWithStatusZero() async throws {
            let from = try #require(
                try await cluster.run("key", "put", "live", "0", "--json").document.number("revision"))
            let watch = try cluster.begin("key", "watch", "live", "--json", "--from", "\(from)")
            defer { watch.signal(SIGKILL) }
            for value in ["0", "1", "2"] {
                if value != "0" { #expect(try await cluster.run("key", "put", "live", value).status == 0) }
                _ = try await watch.line("with \(value)") { try JSONObject($0).text("value") == value }
            }
            watch.signal(SIGINT)
            let end = try await watch.outcome(seconds: 10)
            #expect(end.status == 0)
            #expect(try end.documents.map { $0.text("value") } == ["0", "1", "2"])
        }

        @Test func aReaderThatGoesAwayIsNoError() async throws {
            for number in 0..<3 { try await cluster.run("key", "put", "pipe/\(number)", "v") }
            let shell = Process()
            shell.executableURL = URL(fileURLWithPath: "/bin/bash")
            shell.arguments = [
                "-c", "set -o pipefail; for i in 1 2 3; do '\(Program.path)' key list '' | head -n 1; done",
            ]
            shell.environment = ProcessInfo.processInfo.environment.merging(cluster.environment()) { $1 }
            let error = Pipe()
            let output = Pipe()
            shell.standardError = error
            shell.standardOutput = output
            try shell.run()
            let said = try error.fileHandleForReading.readToEnd() ?? Data()
            let lines = try output.fileHandleForReading.readToEnd() ?? Data()
            shell.waitUntilExit()
            #expect(shell.terminationStatus == 0)
            #expect(said.isEmpty, "\(String(decoding: said, as: UTF8.self))")
            #expect(String(decoding: lines, as: UTF8.self).split(separator: "\n").count == 3)
        }

        @Test func anEndpointListIsTriedUntilANodeAnswers() async throws {
            try await cluster.run("key", "put", "list", "v")
            let dead = ["HOLDFAST_ENDPOINT": "127.0.0.1:1, " + cluster.endpoints[1]]
            #expect(try await Program.run(["key", "get", "list"], environment: dead).text == "v")
            #expect(try await Program.run(["key", "put", "list", "w"], environment: dead).status == 0)
            let flags = ["--endpoint", "127.0.0.1:1", "--endpoint", cluster.endpoints[2]]
            #expect(try await Program.run(flags + ["key", "get", "list"]).text == "w")
        }

        @Test func whatWasCompactedSaysSo() async throws {
            let old = try #require(
                try await cluster.run("key", "put", "past", "1", "--json").document.number("revision"))
            let new = try #require(
                try await cluster.run("key", "put", "past", "2", "--json").document.number("revision"))
            #expect(
                try await cluster.run("key", "compact", "\(new)", "--json").document.number("compactRevision") == new)
            let read = try await cluster.run("key", "get", "past", "--revision", "\(old)", "--json")
            #expect(read.status == 1)
            #expect(try read.failure.text("code") == "compacted")
            let watch = try await cluster.run(
                "key", "watch", "past", "--from", "\(old)", "--count", "1", "--json", seconds: 20)
            #expect(watch.status == 1)
            #expect(try watch.failure.text("code") == "compacted")
            #expect(try await cluster.run("key", "get", "past").text == "2")
            #expect(try await cluster.run("key", "compact", "\(new + 100_000)").status == 64)
        }

        @Test func metricsAreShown() async throws {
            let metrics = try await cluster.run("node", "metrics")
            #expect(metrics.status == 0)
            #expect(metrics.text.contains("holdfast_applied_entries_total "))
            #expect(try await cluster.run("node", "metrics", "--json").document.text("metrics")?.isEmpty == false)
        }
    }
}
