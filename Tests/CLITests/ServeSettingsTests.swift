import Testing

@testable import Holdfast
@testable import HoldfastCLI

@Suite struct ServeSettingsTests {
    private static let file = """
        # a member
        data: /file
        listen: 127.0.0.1:1
        heartbeatMilliseconds: 10
        electionMilliseconds: 100
        allowPlaintext: true
        """

    private func directory(_ configuration: NodeConfiguration) -> String? {
        guard case .member(let directory) = configuration.kind else { return nil }
        return directory
    }

    @Test func aFlagBeatsTheEnvironmentAndThatTheFile() throws {
        let settings = try ServeSettings(
            flags: [.heartbeatMilliseconds: "30"],
            environment: ["HOLDFAST_HEARTBEAT_MILLISECONDS": "20", "HOLDFAST_ELECTION_MILLISECONDS": "200"],
            file: Self.file, fileName: "f")
        let configuration = try settings.configuration()
        #expect(configuration.heartbeatMilliseconds == 30)
        #expect(configuration.electionMilliseconds == 200)
        #expect(configuration.listen == "127.0.0.1:1")
        #expect(configuration.allowPlaintext)
        #expect(directory(configuration) == "/file")
    }

    @Test func whatNobodySaysKeepsTheLibrarysDefault() throws {
        let configuration = try ServeSettings(flags: [.data: "/d"], environment: [:]).configuration()
        let defaults = NodeConfiguration(.member(directory: "/d"))
        #expect(configuration.heartbeatMilliseconds == defaults.heartbeatMilliseconds)
        #expect(configuration.rowCacheBytes == defaults.rowCacheBytes)
        #expect(configuration.allowPlaintext == defaults.allowPlaintext)
        #expect(configuration.listen == nil)
    }

    @Test func everyNumberOfTheFileReachesTheConfiguration() throws {
        let names: [ServeSettings.Name] = [
            .heartbeatMilliseconds, .electionMilliseconds, .timeoutMilliseconds, .rowCacheBytes,
            .uploadIdleMilliseconds, .sweepMilliseconds, .logBytesMax, .logEntriesMax, .absenceMilliseconds,
            .snapshotBytesPerSecond,
            .scrubMilliseconds, .scrubBytesPerSecond,
        ]
        let lines = names.enumerated().map { "\($1.rawValue): \(1001 + $0)" }
        let text = "data: /d\n" + lines.joined(separator: "\n")
        let found = try ServeSettings(flags: [:], environment: [:], file: text, fileName: "f").configuration()
        let values = [
            found.heartbeatMilliseconds, found.electionMilliseconds, found.timeoutMilliseconds,
            found.rowCacheBytes, found.uploadIdleMilliseconds, found.sweepMilliseconds, found.logBytesMax,
            found.logEntriesMax, found.absenceMilliseconds, found.snapshotBytesPerSecond,
            found.scrubMilliseconds, found.scrubBytesPerSecond,
        ]
        #expect(values == names.indices.map { 1001 + $0 })
    }

    @Test func anUnknownNameInTheFileIsRefusedWithItsLine() {
        let failure = #expect(throws: Failure.self) {
            try ServeSettings(flags: [:], environment: [:], file: "data: d\nlistn: x", fileName: "node.yaml")
        }
        #expect(failure?.status == 64)
        #expect(failure?.error.message.hasPrefix("node.yaml:2: 'listn' is no setting") == true)
    }

    @Test(arguments: ["data: d\ndata: e", "data: [a, b]", "- data", "data: {a: b}", "\t: [", "just words"])
    func aFileThatIsNotNamesAndValuesIsRefused(_ text: String) {
        #expect(throws: Failure.self) {
            try ServeSettings(flags: [:], environment: [:], file: text, fileName: "f")
        }
    }

    @Test func anEmptyFileSetsNothing() throws {
        for text in ["", "# nothing\n", "---\n"] {
            let settings = try ServeSettings(flags: [.data: "/d"], environment: [:], file: text, fileName: "f")
            #expect(directory(try settings.configuration()) == "/d")
        }
    }

    @Test func aValueThatDoesNotFitNamesWhereItStands() {
        let cases: [(ServeSettings.Name, String, String)] = [
            (.heartbeatMilliseconds, "fast", "--heartbeat-milliseconds"), (.rowCacheBytes, "0", "--row-cache-bytes"),
            (.allowPlaintext, "perhaps", "--allow-plaintext"),
        ]
        for (name, text, origin) in cases {
            let failure = #expect(throws: Failure.self) {
                try ServeSettings(flags: [.data: "d", name: text], environment: [:]).configuration()
            }
            #expect(failure?.error.message.contains(origin) == true)
        }
    }

    @Test func plaintextIsAllowedByTheVariableOfTheContract() throws {
        let environment = ["HOLDFAST_DATA": "/d", "HOLDFAST_ALLOW_PLAINTEXT": "1"]
        #expect(try ServeSettings(flags: [:], environment: environment).configuration().allowPlaintext)
        let refused = try ServeSettings(flags: [.allowPlaintext: "false"], environment: environment)
        #expect(try !refused.configuration().allowPlaintext)
    }

    @Test func aSettingHasOneNameEverywhere() {
        #expect(ServeSettings.Name.rowCacheBytes.variable == "HOLDFAST_ROW_CACHE_BYTES")
        #expect(ServeSettings.Name.rowCacheBytes.flag == "--row-cache-bytes")
        #expect(ServeSettings.Name.data.variable == "HOLDFAST_DATA")
    }

    @Test func noDirectoryIsAUsageError() throws {
        let settings = try ServeSettings(flags: [:], environment: [:])
        let failure = #expect(throws: Failure.self) { try settings.configuration() }
        #expect(failure?.status == 64)
    }
}
