import Foundation
import Processes
import Testing

extension EndToEndTests {
    /// What needs no cluster: options, help, directories and addresses.
    @Suite(.serialized) struct Usage {
        private let scratch: ScratchDirectory

        init() throws { scratch = try ScratchDirectory() }

        private func formatted(_ name: String, id: Int = 1, members: String = "1=127.0.0.1:1") async throws -> String {
            let data = scratch.path + "/" + name
            let outcome = try await Program.run([
                "node", "format", "--data", data, "--id", "\(id)", "--cluster", "c", "--members", members,
            ])
            #expect(outcome.status == 0, "\(outcome.error)")
            return data
        }

        @Test func everyVerbExplainsItself() async throws {
            let verbs = [
                "node format", "node metrics", "serve", "key put", "key get", "key delete", "key list",
                "key transaction", "key watch", "key compact", "model push", "model pull", "model list", "model show",
                "model verify", "model retire", "model uploads list", "model uploads abort", "tensor list",
                "tensor read", "cluster status", "cluster transfer-leader", "snapshot save", "snapshot inspect",
                "snapshot restore", "bench put", "bench get", "bench fill",
                "bench push", "bench pull",
            ]
            for verb in verbs {
                let help = try await Program.run(verb.split(separator: " ").map(String.init) + ["--help"])
                #expect(help.status == 0, "\(verb)")
                #expect(help.text.contains("Example:"), "\(verb)")
                #expect(help.text.contains("USAGE: holdfast \(verb.split(separator: " ")[0])"), "\(verb): \(help.text)")
                #expect(help.error.isEmpty, "\(verb)")
            }
            #expect(try await Program.run(["--version"]).text.hasPrefix("holdfast "))
        }

        @Test(arguments: [
            ["key", "get", "k", "--frob"], ["frob"], ["key", "frob"], ["key", "get"], ["key", "get", "a", "b"],
            ["key", "get", "k", "--timeout", "soon"], ["key", "get", "k", "--timeout", "0"],
            ["key", "get", "k", "--log-level", "loud"], ["key", "get", "k", "--endpoint", "nowhere"],
            ["key", "get", "k", "--endpoint", "127.0.0.1:1", "--local", "x"], ["key", "get", "k"],
            ["key", "watch", "--endpoint", "127.0.0.1:1"], ["model", "push", "m", "p", "--rate-limit", "0"],
            ["serve"], ["serve", "--data", "x", "--listen", "7001"],
        ])
        func aWrongCommandLineIsStatusSixtyFour(_ line: [String]) async throws {
            let plain = try await Program.run(line)
            #expect(plain.status == 64, "\(plain.error)")
            #expect(plain.output.isEmpty)
            #expect(!plain.error.isEmpty)
            let json = try await Program.run(line + ["--json"])
            #expect(json.status == 64)
            #expect(json.output.isEmpty)
            #expect(try json.failure.text("code") == "invalidArgument")
        }

        @Test func aFillWritesAsManyNewKeysAsAskedFor() async throws {
            let place = ["--local", scratch.path + "/filled"]
            for round in 1...2 {
                let filled = try await Program.run(
                    ["bench", "fill", "--rows", "1001", "--clients", "3", "--value-bytes", "9", "--json"] + place)
                #expect(filled.status == 0, "\(filled.error)")
                #expect(filled.text.contains("\"fill.rate\""))
                let list = try await Program.run(["key", "list", "holdfast-bench/", "--json"] + place)
                #expect(list.text.components(separatedBy: "\"key\":\"holdfast-bench/").count - 1 == round * 1001)
            }
        }

        @Test func withoutAPlaceTheHintNamesTheWays() async throws {
            let outcome = try await Program.run(["key", "get", "k"])
            #expect(outcome.status == 64)
            for hint in ["--endpoint", "--local", "HOLDFAST_ENDPOINT", "HOLDFAST_LOCAL"] {
                #expect(outcome.error.contains(hint))
            }
        }

        @Test func aFlagWinsOverTheEnvironmentAndTheEndpointOverTheDirectory() async throws {
            let first = scratch.path + "/first"
            let second = scratch.path + "/second"
            #expect(
                try await Program.run(["key", "put", "k", "1"], environment: ["HOLDFAST_LOCAL": first]).status == 0)
            // The flag names another directory, which is made.
            let put = try await Program.run(
                ["key", "put", "k", "2", "--local", second],
                environment: ["HOLDFAST_LOCAL": first, "HOLDFAST_ENDPOINT": "127.0.0.1:1"])
            #expect(put.status == 0, "\(put.error)")
            #expect(try await Program.run(["key", "get", "k", "--local", first]).text == "1")
            #expect(try await Program.run(["key", "get", "k", "--local", second]).text == "2")
            let both = try await Program.run(
                ["key", "get", "k", "--timeout", "1"],
                environment: ["HOLDFAST_LOCAL": first, "HOLDFAST_ENDPOINT": "127.0.0.1:1"])
            #expect(both.status == 69, "the endpoint comes first, and nobody listens there")
        }

        @Test func aLockedDirectoryIsStatusOne() async throws {
            let store = scratch.path + "/store"
            let holder = try RunningProgram(["key", "watch", "k", "--local", store, "--from", "1"])
            defer { holder.signal(SIGKILL) }
            try await until("the lock") { FileManager.default.fileExists(atPath: store + "/identity") }
            var outcome = try await Program.run(["key", "put", "k", "v", "--local", store, "--json"])
            try await until("the holder's lock") {
                outcome = try await Program.run(["key", "put", "k", "v", "--local", store, "--json"])
                return outcome.status != 0
            }
            #expect(outcome.status == 1)
            #expect(try outcome.failure.text("message")?.contains("in use") == true)
        }

        @Test func oneOfSeveralMembersIsNoLocalStore() async throws {
            let data = try await formatted("n1", members: "1=127.0.0.1:1,2=127.0.0.1:2,3=127.0.0.1:3")
            let outcome = try await Program.run(["key", "get", "k", "--local", data, "--json"], seconds: 20)
            #expect(outcome.status == 1)
            #expect(try outcome.failure.text("code") == "incompatible")
            #expect(try outcome.failure.text("message")?.contains("holdfast serve") == true)
        }

        @Test func formattingAgainIsStatusTwoAndTouchesNothing() async throws {
            let data = scratch.path + "/n1"
            let line = ["node", "format", "--data", data, "--id", "2", "--cluster", "c", "--members", "1=h:1,2=h:2"]
            let first = try await Program.run(line)
            #expect(first.status == 0, "\(first.error)")
            #expect(first.text.count == 65, "64 hex digits and a newline")
            let before = try tree(data)
            let again = try await Program.run(line + ["--json"])
            #expect(again.status == 2)
            #expect(try again.failure.text("code") == "alreadyExists")
            #expect(try tree(data) == before)
            // All first members share the bootstrap ID.
            let other = try await Program.run([
                "node", "format", "--data", scratch.path + "/n2", "--id", "1", "--cluster", "c", "--members",
                "2=h:2,1=h:1",
            ])
            #expect(other.text == first.text)
        }

        @Test func aDirectoryThatCannotBeServedSaysWhatToDo() async throws {
            let absent = try await Program.run(["serve", "--data", scratch.path + "/absent", "--json"])
            #expect(absent.status == 1)
            #expect(try absent.failure.text("message")?.contains("holdfast node format") == true)

            try scratch.write("foreign/letter", Array("mine".utf8))
            for line in [
                ["serve", "--data", scratch.path + "/foreign"],
                ["key", "get", "k", "--local", scratch.path + "/foreign"],
            ] {
                let foreign = try await Program.run(line + ["--json"])
                #expect(foreign.status == 1)
                #expect(try foreign.failure.text("message")?.contains("not a Holdfast data directory") == true)
                #expect(try tree(scratch.path + "/foreign") == ["letter": Array("mine".utf8)])
            }

            let data = try await formatted("n1")
            let identity = try String(contentsOfFile: data + "/identity", encoding: .utf8)
            try Data(identity.replacing("cluster=c", with: "cluster=d").utf8)
                .write(to: URL(fileURLWithPath: data + "/identity"))
            let damaged = try await Program.run(["serve", "--data", data, "--json"])
            #expect(damaged.status == 1)
            #expect(try damaged.failure.text("code") == "corrupted")
        }

        @Test(.enabled(if: FileManager.default.isExecutableFile(atPath: "/usr/bin/sha256sum"), "needs sha256sum"))
        func aDirectoryOfAnotherVersionNamesBothVersions() async throws {
            let path = try await formatted("n1") + "/identity"
            let identity = try String(contentsOfFile: path, encoding: .utf8)
            let seal = try #require(identity.range(of: "seal="))
            let body = identity[..<seal.lowerBound].replacing("holdfast identity 1\n", with: "holdfast identity 9\n")
            let sum = Process()
            let output = Pipe()
            sum.executableURL = URL(fileURLWithPath: "/usr/bin/sha256sum")
            sum.arguments = [try scratch.write("body", Array(body.utf8))]
            sum.standardOutput = output
            try sum.run()
            let digest = String(decoding: try output.fileHandleForReading.readToEnd() ?? Data(), as: UTF8.self).prefix(
                64)
            sum.waitUntilExit()
            try Data("\(body)seal=\(digest)\n".utf8).write(to: URL(fileURLWithPath: path))
            let refused = try await Program.run(["serve", "--data", scratch.path + "/n1", "--json"])
            #expect(refused.status == 1)
            #expect(try refused.failure.text("code") == "incompatible")
            #expect(try refused.failure.text("message")?.contains("version 9") == true)
        }

        @Test func aLocalPushResumesAndItsOnlyCopyIsNeverServedBroken() async throws {
            let store = ["HOLDFAST_LOCAL": scratch.path + "/store"]
            let file = try scratch.write("weights", noise(12 << 20, seed: 5))
            let push = try RunningProgram(
                ["model", "push", "m", file, "--rate-limit", "4000000", "--json"], environment: store)
            defer { push.signal(SIGKILL) }
            _ = try await push.line("of progress") { try JSONObject($0).number("sentBytes") ?? 0 > 4 << 20 }
            push.signal(SIGINT)
            let end = try await push.outcome(seconds: 10)
            #expect(end.status == 130)
            let words = end.error.split(whereSeparator: \.isWhitespace)
            let flag = try #require(words.firstIndex(of: "--upload"), "\(end.error)")
            let resume = ["model", "push", "m", file, "--upload", String(words[words.index(after: flag)]), "--json"]
            let resumed = try await Program.run(resume, environment: store)
            #expect(resumed.status == 0, "\(resumed.error)")
            #expect(try #require(try resumed.documents.last?.number("newBytes")) < 12 << 20)

            try damageChunk(below: scratch.path + "/store/chunks", length: 4 << 20)
            let target = scratch.path + "/target"
            let pull = try await Program.run(["model", "pull", "m", target, "--timeout", "3"], environment: store)
            #expect(pull.status == 1 || pull.status == 69, "\(pull.error)")
            #expect(!FileManager.default.fileExists(atPath: target + "/weights"))
        }

        @Test func aNodeListensBeyondLoopbackOnlyWhereItIsToldTo() async throws {
            let data = try await formatted("n1")
            let line = ["serve", "--data", data, "--listen", "0.0.0.0:0"]
            let refused = try await Program.run(line + ["--json"])
            #expect(refused.status != 0)
            #expect(try refused.failure.text("code") == "permissionDenied")
            #expect(try refused.failure.text("message")?.contains("--allow-plaintext") == true)
            #expect(refused.output.isEmpty)
            for (flags, environment) in [(["--allow-plaintext"], [:]), ([], ["HOLDFAST_ALLOW_PLAINTEXT": "1"])] {
                let node = try RunningProgram(line + flags, environment: environment)
                defer { node.signal(SIGKILL) }
                let ready = try await node.line("of readiness") { _ in true }
                #expect(ready.hasPrefix("ready node=1 endpoint=0.0.0.0:"))
                node.signal(SIGTERM)
                let end = try await node.outcome(seconds: 10)
                #expect(end.status == 0)
                #expect(end.error.contains("warning"))
                #expect(end.lines == [ready])
            }
        }

        @Test func aServedDirectoryAndAUsedPortAreRefused() async throws {
            let data = try await formatted("n1")
            let node = try RunningProgram(["serve", "--data", data, "--listen", "127.0.0.1:0"])
            defer { node.signal(SIGKILL) }
            let ready = try await node.line("of readiness") { $0.hasPrefix("ready node=1 endpoint=127.0.0.1:") }
            let endpoint = try #require(ready.split(separator: "=").last.map(String.init))
            let locked = try await Program.run(["serve", "--data", data, "--listen", "127.0.0.1:0", "--json"])
            #expect(locked.status == 1)
            #expect(try locked.failure.text("message")?.contains("in use by process \(node.pid)") == true)
            let other = try await formatted("n2")
            let taken = try await Program.run(["serve", "--data", other, "--listen", endpoint, "--json"])
            #expect(taken.status == 1)
            #expect(try taken.failure.text("message")?.contains(endpoint) == true)
            #expect(taken.output.isEmpty)
            node.signal(SIGTERM)
            let end = try await node.outcome(seconds: 10)
            #expect(end.status == 0)
            #expect(end.lines == [ready], "nothing but the ready line is on standard output")
        }

        @Test func theFileGivesWhatNeitherFlagNorEnvironmentSays() async throws {
            let data = try await formatted("n1")
            let file = try scratch.write("node.yaml", Array("data: \(data)\nlisten: 0.0.0.0:0\n".utf8))
            let fromFile = try await Program.run(["serve", "--config", file, "--json"])
            #expect(try fromFile.failure.text("code") == "permissionDenied", "the file's address is beyond loopback")
            let flags = ["serve", "--config", file]
            let environment = ["HOLDFAST_LISTEN": "127.0.0.2:0"]
            for (line, variables, host) in [
                (flags, environment, "127.0.0.2"), (flags + ["--listen", "127.0.0.3:0"], environment, "127.0.0.3"),
            ] {
                let node = try RunningProgram(line, environment: variables)
                defer { node.signal(SIGKILL) }
                let ready = try await node.line("of readiness") { _ in true }
                #expect(ready.hasPrefix("ready node=1 endpoint=\(host):"))
                node.signal(SIGINT)
                #expect(try await node.outcome(seconds: 10).status == 0)
            }
        }

        @Test(arguments: [
            ["key", "get", "k"], ["key", "put", "k", "v"], ["cluster", "status"],
            ["cluster", "status", "--wait", "ready"],
            ["model", "list"], ["node", "metrics"],
        ])
        func aClusterThatCannotBeReachedIsStatusSixtyNine(_ line: [String]) async throws {
            let outcome = try await Program.run(line + ["--endpoint", "127.0.0.1:1", "--timeout", "1", "--json"])
            #expect(outcome.status == 69)
            #expect(try outcome.failure.text("code") == "unavailable")
        }
    }
}
