import ArgumentParser
import Foundation
import Testing

@testable import HoldfastCLI

/// The program on a directory of its own, as a user runs it.
@Suite(.serialized) struct LocalEndToEndTests {
    private let scratch: ScratchDirectory
    private var store: String { scratch.path + "/store" }

    init() throws { scratch = try ScratchDirectory() }

    private func run(_ arguments: String..., input: [UInt8] = []) async throws -> Program.Outcome {
        try await Program.run(local: store, arguments, input: input)
    }

    @Test func whatIsPutIsGotByteForByte() async throws {
        let bytes = [UInt8](0...255) + [0x0A, 0x00]
        #expect(try await run("key", "put", "k", "-", input: bytes).status == 0)
        let plain = try await run("key", "get", "k")
        #expect(plain.status == 0)
        #expect(plain.output == bytes)
        let document = try await run("key", "get", "k", "--json").document
        #expect(document["encoding"] as? String == "base64")
        #expect(document["value"] as? String == Data(bytes).base64EncodedString())
        #expect(document["version"] as? Int == 1)
        #expect(document["createRevision"] as? Int == document["revision"] as? Int)
    }

    @Test func aPutWithJSONPrintsTheWholeKey() async throws {
        _ = try await run("key", "put", "k", "a")
        let document = try await run("key", "put", "k", "b", "--json").document
        #expect(document["value"] as? String == "b")
        #expect(document["version"] as? Int == 2)
        #expect((document["createRevision"] as? Int ?? 0) < (document["revision"] as? Int ?? 0))
    }

    @Test func aConditionThatDoesNotHoldIsStatusTwo() async throws {
        #expect(try await run("key", "put", "k", "a", "--if-revision", "0").status == 0)
        let second = try await run("key", "put", "k", "b", "--if-revision", "0", "--json")
        #expect(second.status == 2)
        #expect(try second.errorCode == "preconditionFailed")
        #expect(second.output.isEmpty)
        #expect(try await run("key", "delete", "k", "--if-revision", "999").status == 2)
        #expect(try await run("key", "get", "k").text == "a")
    }

    @Test func aLocalStoreLeadsItselfWhenItsStatusIsAsked() async throws {
        for line in [["cluster", "status"], ["cluster", "status", "--wait", "complete"]] {
            let outcome = try await Program.run(local: store, line + ["--json"])
            #expect(outcome.status == 0, "\(line): \(outcome.error)")
            #expect(try outcome.document["leader"] as? Int == 1, "\(line)")
        }
    }

    @Test func whatIsNotThereIsStatusThree() async throws {
        for line in [["key", "get", "nothing"], ["key", "delete", "nothing"], ["model", "show", "nothing"]] {
            let outcome = try await Program.run(local: store, line + ["--json"])
            #expect(outcome.status == 3, "\(line)")
            #expect(try outcome.errorCode == "notFound")
        }
    }

    @Test func aListIsInOrderAndSaysWhetherMoreFollows() async throws {
        for key in ["p/b", "q", "p/a", "p/c"] { #expect(try await run("key", "put", key, key).status == 0) }
        let document = try await run("key", "list", "p/", "--limit", "2", "--json").document
        let keys = try #require(document["keys"] as? [[String: any Sendable]])
        #expect(keys.map { $0["key"] as? String } == ["p/a", "p/b"])
        #expect(document["more"] as? Bool == true)
    }

    @Test func aTransactionFromStandardInputTakesTheRightBranch() async throws {
        let text = """
            {"compare":[{"key":"owner","revision":0}],"then":[{"op":"put","key":"owner","value":"me"}],
             "else":[{"op":"get","key":"owner"}]}
            """
        let first = try await run("key", "transaction", "-", "--json", input: Array(text.utf8))
        #expect(try first.document["succeeded"] as? Bool == true)
        let second = try await run("key", "transaction", "-", "--json", input: Array(text.utf8))
        #expect(second.status == 0)
        #expect(try second.document["succeeded"] as? Bool == false)
        #expect(second.text.contains("\"value\":\"me\""))
    }

    @Test func aWatchFromARevisionIncludesItAndEndsAfterItsCount() async throws {
        let first = try await run("key", "put", "w", "1", "--json").document["revision"] as? Int
        _ = try await run("key", "put", "other", "x")
        _ = try await run("key", "delete", "w")
        let outcome = try await run("key", "watch", "w", "--from", "\(try #require(first))", "--count", "2", "--json")
        #expect(outcome.status == 0)
        let events = try outcome.lines.map { try object($0) }
        #expect(events.map { $0["type"] as? String } == ["put", "delete"])
        #expect(events.first?["revision"] as? Int == first)
    }

    @Test func aDirectoryInUseIsStatusOneAndInterruptingAWatchIsStatusZero() async throws {
        #expect(try await run("key", "put", "k", "a").status == 0)
        let watch = try RunningProgram(["key", "watch", "k", "--from", "1"], environment: ["HOLDFAST_LOCAL": store])
        _ = try await watch.line(beginning: "1 put k")
        #expect(try await run("key", "get", "k").status == 1)
        watch.signal(SIGINT)
        #expect(try await watch.outcome().status == 0)
        #expect(try await run("key", "get", "k").status == 0)
    }

    @Test func aModelComesBackAsItWent() async throws {
        let source = scratch.path + "/source"
        try FileManager.default.createDirectory(atPath: source + "/nested", withIntermediateDirectories: true)
        try BenchModelFile.write(source + "/model.safetensors", dataBytes: 100_000, seed: 7)
        try Data("{}".utf8).write(to: URL(fileURLWithPath: source + "/nested/config.json"))
        try Data().write(to: URL(fileURLWithPath: source + "/empty"))

        let push = try await run("model", "push", "org/m", source, "--json")
        #expect(push.status == 0, "\(push.error)")
        let published = try object(try #require(push.lines.last))
        #expect(published["event"] as? String == "published")
        #expect(published["version"] as? String == "1")
        #expect(push.lines.dropLast().allSatisfy { $0.contains("\"event\":\"progress\"") })

        let target = scratch.path + "/target"
        let pull = try await run("model", "pull", "org/m", target, "--json")
        #expect(pull.status == 0, "\(pull.error)")
        for file in ["model.safetensors", "nested/config.json", "empty"] {
            #expect(
                FileManager.default.contentsEqual(atPath: "\(source)/\(file)", andPath: "\(target)/\(file)"), "\(file)")
        }

        let tensor = scratch.path + "/tensor"
        #expect(try await run("tensor", "read", "org/m@1", "block.0.weight", "--out", tensor).status == 0)
        let whole = try Data(contentsOf: URL(fileURLWithPath: source + "/model.safetensors"))
        #expect(try Data(contentsOf: URL(fileURLWithPath: tensor)) == whole.suffix(100_000))
    }

    @Test func aVersionNeverChangesAndAFileIsNotOverwritten() async throws {
        let file = scratch.path + "/weights"
        try Data("one".utf8).write(to: URL(fileURLWithPath: file))
        #expect(try await run("model", "push", "m", file, "--version", "v").status == 0)
        #expect(try await run("model", "push", "m", file, "--version", "v").status == 0)
        try Data("two".utf8).write(to: URL(fileURLWithPath: file))
        #expect(try await run("model", "push", "m", file, "--version", "v").status == 2)

        let target = scratch.path + "/target"
        #expect(try await run("model", "pull", "m@v", target).status == 0)
        try Data("mine".utf8).write(to: URL(fileURLWithPath: target + "/weights"))
        #expect(try await run("model", "pull", "m@v", target).status == 2)
        #expect(try String(contentsOfFile: target + "/weights", encoding: .utf8) == "mine")
        #expect(try await run("model", "pull", "m@v", target, "--force").status == 0)
        #expect(try String(contentsOfFile: target + "/weights", encoding: .utf8) == "one")
    }
}

/// The program as daemons and their client.
@Suite(.serialized) struct ClusterEndToEndTests {
    private let scratch: ScratchDirectory

    init() throws { scratch = try ScratchDirectory() }

    @Test func aSingleMemberServesAndEndsWithSIGTERM() async throws {
        let data = scratch.path + "/n1"
        let format = ["node", "format", "--data", data, "--id", "1", "--cluster", "c", "--members", "1=127.0.0.1:1"]
        let first = try await Program.run(format)
        #expect(first.status == 0, "\(first.error)")
        #expect(first.lines.count == 1)
        #expect(first.text.count == 65, "the bootstrap ID is 64 hex digits and a newline")
        let again = try await Program.run(format + ["--json"])
        #expect(again.status == 2)
        #expect(try again.errorCode == "alreadyExists")

        let node = try RunningProgram(["serve", "--data", data, "--listen", "127.0.0.1:0"])
        defer { node.signal(SIGKILL) }
        let ready = try await node.line(beginning: "ready ")
        #expect(ready.hasPrefix("ready node=1 endpoint=127.0.0.1:"))
        let endpoint = try #require(ready.split(separator: "=").last.map(String.init))
        #expect(!endpoint.hasSuffix(":0"))

        let place = ["--endpoint", endpoint]
        let status = try await Program.run(["cluster", "status", "--wait", "ready", "--json"] + place)
        #expect(status.status == 0, "\(status.error)")
        #expect(try status.document["leader"] as? Int == 1)
        #expect(try await Program.run(["key", "put", "k", "v"] + place).status == 0)
        #expect(try await Program.run(["key", "get", "k"] + place).text == "v")
        let metrics = try await Program.run(["node", "metrics"] + place)
        #expect(metrics.text.contains("holdfast_is_leader"))

        let second = try await Program.run(["serve", "--data", data, "--listen", "127.0.0.1:0"])
        #expect(second.status == 1, "the directory is in use")
        #expect(second.output.isEmpty)
        node.signal(SIGTERM)
        let end = try await node.outcome()
        #expect(end.status == 0)
        #expect(end.lines == [ready], "nothing but the ready line is on standard output")
    }

    @Test func aNodeRefusesWhatItCannotServe() async throws {
        #expect(try await Program.run(["serve", "--data", scratch.path + "/nothing"]).status == 1)
        let data = scratch.path + "/n1"
        _ = try await Program.run([
            "node", "format", "--data", data, "--id", "1", "--cluster", "c", "--members", "1=127.0.0.1:1",
        ])
        #expect(try await Program.run(["serve", "--data", data, "--listen", "0.0.0.0:0"]).status == 1)
        let file = scratch.path + "/node.yaml"
        try Data("data: \(data)\nlistn: x\n".utf8).write(to: URL(fileURLWithPath: file))
        let misspelt = try await Program.run(["serve", "--config", file])
        #expect(misspelt.status == 64)
        #expect(misspelt.error.contains("listn"))
    }

    @Test func aClusterThatCannotBeReachedIsStatusSixtyNine() async throws {
        // Port 1 on loopback: nobody listens there.
        for line in [["key", "get", "k"], ["cluster", "status"], ["cluster", "status", "--wait", "ready"]] {
            let outcome = try await Program.run(line + ["--endpoint", "127.0.0.1:1", "--timeout", "1", "--json"])
            #expect(outcome.status == 69, "\(line): \(outcome.error)")
        }
    }
}

/// The texts that every verb owes its users.
@Suite struct HelpTests {
    private func verbs(below command: any ParsableCommand.Type) -> [any ParsableCommand.Type] {
        [command] + command.configuration.subcommands.flatMap { verbs(below: $0) }
    }

    @Test func everyVerbHasAnExampleInItsHelp() {
        let all = verbs(below: HoldfastCommand.self)
        #expect(all.count > 20)
        for verb in all { #expect(verb.configuration.discussion.contains("Example:"), "\(verb)") }
    }
}
