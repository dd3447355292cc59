import Testing

@testable import HoldfastCLI

/// The verb that `arguments` name, as its own type.
private func parse<Command>(_ type: Command.Type, _ arguments: String...) throws -> Command {
    try #require(try HoldfastCommand.parseAsRoot(arguments) as? Command)
}

@Suite struct ParsingTests {
    @Test func globalOptionsAreTakenAfterTheVerb() throws {
        let verb = try parse(
            KeyGet.self, "key", "get", "k", "--endpoint", "a:1", "--endpoint", "b:2", "--json", "--timeout", "2.5")
        #expect(verb.key == "k")
        #expect(verb.global.endpoint == ["a:1", "b:2"])
        #expect(verb.global.json)
        #expect(verb.global.timeout == 2.5)
    }

    @Test func globalOptionsAreTakenBeforeTheVerb() throws {
        let verb = try parse(KeyGet.self, "--json", "--local", "/d", "key", "get", "k", "--stale")
        #expect(verb.global.json)
        #expect(verb.global.local == "/d")
        #expect(verb.read.consistency == .stale)
    }

    @Test func everyVerbOfTheContractIsThere() throws {
        let id = "0123456789abcdef0123456789abcdef"
        let lines: [[String]] = [
            ["node", "format", "--data", "d", "--id", "1", "--cluster", "c", "--members", "1=h:1"],
            ["serve", "--config", "f"], ["serve", "--data", "d", "--listen", "127.0.0.1:0", "--allow-plaintext"],
            ["key", "put", "k", "v", "--if-revision", "0"], ["key", "put", "k", "-"], ["key", "put", "k"],
            ["key", "get", "k", "--revision", "3", "--stale"], ["key", "delete", "k", "--if-revision", "3"],
            ["key", "list", "p", "--limit", "3"], ["key", "transaction", "f"], ["key", "transaction", "-"],
            ["key", "watch", "k", "--from", "1", "--count", "2"], ["key", "watch", "--prefix", "p"],
            ["key", "compact", "9"],
            ["model", "push", "n", "p", "--version", "v", "--upload", id, "--rate-limit", "9"],
            ["model", "pull", "n@1", "d", "--force"], ["model", "list"], ["model", "show", "n"],
            ["model", "verify", "n@1"], ["model", "retire", "n@1"], ["model", "uploads", "list"],
            ["model", "uploads", "abort", id], ["tensor", "list", "n"],
            ["tensor", "read", "n@1", "t", "--out", "f", "--summary"], ["cluster", "status", "--wait", "ready"],
            ["cluster", "status", "--wait", "complete"], ["cluster", "transfer-leader", "2"], ["node", "metrics"],
            ["bench", "put", "--clients", "128", "--connections", "4", "--value-bytes", "256", "--seconds", "2"],
            ["bench", "get"], ["bench", "push", "--bytes", "1000"], ["bench", "fill", "--rows", "9"],
            ["bench", "pull"],
        ]
        for line in lines {
            #expect(throws: Never.self, "\(line.joined(separator: " "))") { _ = try HoldfastCommand.parseAsRoot(line) }
        }
    }

    @Test(arguments: [
        ["key", "get"], ["key", "get", "k", "--bogus"], ["key", "watch"], ["key", "watch", "k", "--prefix", "p"],
        ["key", "watch", "k", "--count", "0"], ["key", "list", "p", "--limit", "-1"],
        ["cluster", "status", "--wait", "soon"],
        ["model", "push", "n", "p", "--rate-limit", "0"], ["model", "push", "n", "--version", "3"],
        ["bench", "sing"], ["bench", "put", "--clients", "0"], ["key", "get", "k", "--timeout", "soon"],
        ["key", "get", "k", "--log-level", "loud"], ["verse"],
    ])
    func aWrongCommandLineIsAUsageError(_ line: [String]) throws {
        let error = try #require(throws: (any Error).self) { _ = try HoldfastCommand.parseAsRoot(line) }
        #expect(HoldfastCommand.exitCode(for: error).rawValue == 64)
    }

    @Test func theProgramEndsWithTheStatusOfAUsageError() async {
        #expect(await HoldfastCommand.perform(["key", "get", "k", "--bogus", "--json"]) == 64)
        #expect(await HoldfastCommand.perform(["model", "retire", "m", "--local", "/nowhere"]) == 64)
    }

    @Test func aVersionOfAModelIsNotTheVersionOfTheProgram() throws {
        #expect(HoldfastCommand.asksForVersion(["--version"]))
        #expect(HoldfastCommand.asksForVersion(["key", "--version"]))
        #expect(!HoldfastCommand.asksForVersion(["model", "push", "n", "p", "--version", "3"]))
        #expect(!HoldfastCommand.asksForVersion(["key", "put", "k", "--", "--version"]))
        let push = try parse(ModelPush.self, "model", "push", "n", "p", "--version", "3")
        #expect(push.version == "3")
    }

    @Test func aVerbWithoutAPlaceIsAUsageError() async throws {
        var options = try GlobalOptions.parse([])
        #expect(throws: Failure.self) { try options.place([:]) }
        options.local = "/d"
        #expect(try options.place([:]) == .local("/d"))
    }

    @Test func anInterruptedPushSaysHowToResumeIt() throws {
        let push = try parse(
            ModelPush.self, "model", "push", "n", "my model", "--endpoint", "h:1", "--version", "v1")
        let text = push.resumption("abc")
        #expect(text.contains("upload abc is kept"))
        #expect(text.contains("holdfast model push n 'my model' --upload abc --version v1 --endpoint h:1"))
        #expect(push.resumption(nil).contains("run the same command again"))
    }

    @Test func aWordForTheShellIsQuotedWhereItMustBe() {
        #expect(Shell.word("a/b-c_1.0@x") == "a/b-c_1.0@x")
        #expect(Shell.word("it's") == #"'it'\''s'"#)
        #expect(Shell.word("") == "''")
        #expect(Shell.word("$HOME") == "'$HOME'")
    }

    @Test func membersAreParsedAndChecked() throws {
        #expect(try MemberList.parse("1=127.0.0.1:7001, 2=[::1]:7002") == [1: "127.0.0.1:7001", 2: "[::1]:7002"])
        for text in ["", "1", "1=", "0=h:1", "x=h:1", "1=h", "1=h:0", "1=h:70000", "1=h:1,1=h:2", "1=h:1,2=h:1"] {
            #expect(throws: Failure.self, "\(text)") { try MemberList.parse(text) }
        }
    }
}
