import Foundation
import Processes
import Synchronization
import Testing

/// Two releases in one cluster: the program of the previous one, and the one just built.
@Suite struct UpgradeTests {
    private static let previous = ProcessInfo.processInfo.environment["HOLDFAST_PREVIOUS"] ?? ""

    @Test(.enabled(if: !previous.isEmpty, "Tests/upgrade runs it with the program of the previous release"))
    func `a cluster is upgraded under load, works meanwhile both ways, and does not go back`() async throws {
        var layout = Cluster.Layout()
        layout.program = Self.previous
        let cluster = try await Cluster.start(layout)
        do {
            try await upgrade(cluster)
        } catch {
            cluster.abandon()
            throw error
        }
        try await cluster.stop()
    }

    private func upgrade(_ cluster: Cluster) async throws {
        let models = try ModelExchange(cluster, programs: [Self.previous, Program.path])
        try await models.push("before", with: Self.previous, at: 1)
        let load = try await UpgradeLoad(cluster, programs: [Self.previous, Program.path])
        defer { load.abandon() }
        load.begin()
        try await load.reach(30)

        // The first one goes over, back, and over again: nothing binds it while others are old.
        for program in [Program.path, Self.previous, Program.path] {
            try await change(1, to: program, in: cluster)
            try await load.more(10)
        }
        #expect(try await versions(cluster) == Versions(cluster: 1, nodes: [3, 1, 1]))

        // Mixed, with either build leading: old and new clients at old and new nodes.
        for leader in [1, 3] {
            try await lead(leader, in: cluster)
            for (program, node) in [(Self.previous, 1), (Self.previous, 3), (Program.path, 1), (Program.path, 3)] {
                try await models.push("led-by-\(leader)", with: program, at: node)
            }
            try await models.pullAll()
            try await load.more(20)
        }

        try await lead(3, in: cluster)
        try await change(2, to: Program.path, in: cluster)
        #expect(try await versions(cluster) == Versions(cluster: 1, nodes: [3, 3, 1]))
        try await load.more(10)
        #expect(try await versions(cluster) == Versions(cluster: 1, nodes: [3, 3, 1]), "it waits for the last one")
        try await change(3, to: Program.path, in: cluster)
        try await until("the feature version rises") {
            try await versions(cluster) == Versions(cluster: 3, nodes: [3, 3, 3])
        }
        try await load.more(20)

        try await refuseDowngrade(2, in: cluster)
        try await load.more(20)
        try await models.push("after", with: Self.previous, at: 2)
        try await models.pullAll()
        try await cluster.wait("complete")
        try await load.end()
        try await compare(cluster)
        print(
            "upgrade: \(load.figures), \(models.pushes) models pushed and \(models.pulls) pulled across releases, "
                + "no request failed")
    }

    /// Ends a member in order and starts it with another program.
    private func change(_ id: Int, to program: String, in cluster: Cluster) async throws {
        try await cluster.end(id)
        cluster.use(program, for: id)
        try await cluster.start(id)
        try await cluster.wait("ready")
    }

    private func lead(_ id: Int, in cluster: Cluster) async throws {
        try await until("node \(id) leads") {
            try await cluster.run("cluster", "transfer-leader", "\(id)", "--timeout", "5").status == 0
        }
    }

    /// An older program on a sealed directory ends with status 1 and changes no byte and no time of any file.
    private func refuseDowngrade(_ id: Int, in cluster: Cluster) async throws {
        try await cluster.end(id)
        let before = try Self.marks(cluster.data(id))
        let old = try RunningProgram(["serve", "--data", cluster.data(id)], program: Self.previous)
        let outcome = try await old.outcome(seconds: 20)
        #expect(outcome.status == 1)
        #expect(outcome.output.isEmpty, "it never was ready")
        #expect(outcome.error.contains("format version 3"), "\(outcome.error)")
        #expect(try Self.marks(cluster.data(id)) == before, "it touched the directory")
        print("downgrade: \(outcome.error)")
        cluster.use(Program.path, for: id)
        try await cluster.start(id)
        try await cluster.wait("ready")
    }

    /// Every replica has the same history, by the word of either client.
    private func compare(_ cluster: Cluster) async throws {
        for program in [Program.path, Self.previous] {
            try await until("all replicas have one hash") {
                let status = try RunningProgram(
                    ["cluster", "status", "--json"], environment: cluster.environment(), program: program)
                let nodes = try #require(try await status.outcome().document.list("nodes"))
                return nodes.count == 3 && Set(nodes.map { $0.text("feedHash") }).count == 1
                    && Set(nodes.map { $0.number("revision") }).count == 1
            }
        }
    }

    private struct Versions: Equatable {
        var cluster: Int?
        var nodes: [Int?]
    }

    private func versions(_ cluster: Cluster) async throws -> Versions {
        let status = try await cluster.run("cluster", "status", "--json", at: [1]).document
        return Versions(
            cluster: status.number("featureVersion"),
            nodes: try #require(status.list("nodes")).map { $0.number("featureVersion") })
    }

    /// Size and time of change of every file: contents would be 128 MiB of log.
    private static func marks(_ path: String) throws -> [String: String] {
        var marks: [String: String] = [:]
        for name in try FileManager.default.subpathsOfDirectory(atPath: path) {
            let attributes = try FileManager.default.attributesOfItem(atPath: "\(path)/\(name)")
            let time = (attributes[.modificationDate] as? Date)?.timeIntervalSince1970 ?? 0
            marks[name] = "\(attributes[.size] ?? 0) \(attributes[.systemFileNumber] ?? 0) \(time)"
        }
        return marks
    }
}

/// Models that go in through one release's client and come out through the other's.
private final class ModelExchange {
    private let cluster: Cluster
    private let programs: [String]
    private let scratch: ScratchDirectory
    private var expected: [String: [UInt8]] = [:]
    private(set) var pushes = 0
    private(set) var pulls = 0

    init(_ cluster: Cluster, programs: [String]) throws {
        self.cluster = cluster
        self.programs = programs
        scratch = try ScratchDirectory()
    }

    func push(_ name: String, with program: String, at id: Int) async throws {
        pushes += 1
        let bytes = noise(5 << 20, seed: UInt64(pushes))
        let path = try scratch.write("in/\(pushes)", bytes)
        let push = try RunningProgram(
            ["model", "push", name, path, "--version", "\(pushes)", "--json"], environment: cluster.environment([id]),
            program: program)
        let outcome = try await push.outcome()
        #expect(outcome.status == 0, "\(name)@\(pushes) through node \(id): \(outcome.error)")
        expected["\(name)@\(pushes)"] = bytes
    }

    /// Pulls every version at every node, with the programs in turn.
    func pullAll() async throws {
        for (model, bytes) in expected.sorted(by: { $0.key < $1.key }) {
            for id in cluster.ids {
                pulls += 1
                let target = "\(scratch.path)/out-\(pulls)"
                let pull = try RunningProgram(
                    ["model", "pull", model, target, "--json"], environment: cluster.environment([id]),
                    program: programs[pulls % programs.count])
                let outcome = try await pull.outcome()
                #expect(outcome.status == 0, "\(model) from node \(id): \(outcome.error)")
                #expect(try tree(target).values.first == bytes)
                try FileManager.default.removeItem(atPath: target)
            }
        }
    }
}

/// Clients of both releases that write all the time, and one of each that watches.
private final class UpgradeLoad: Sendable {
    private struct State {
        var written: [[Int]] = [[], []]
        var failure: String?
        var isOver = false
        var writers: [Task<Void, any Error>] = []
    }

    private let cluster: Cluster
    private let programs: [String]
    private let state = Mutex(State())
    private let watches: [RunningProgram]

    /// Begins to watch.
    init(_ cluster: Cluster, programs: [String]) async throws {
        self.cluster = cluster
        self.programs = programs
        let first = try #require(
            try await cluster.run("key", "put", "load/first", "0", "--json").document.number("revision"))
        watches = try programs.map { program in
            try RunningProgram(
                ["key", "watch", "--prefix", "load/", "--from", "\(first + 1)", "--json"],
                environment: cluster.environment(), program: program)
        }
    }

    /// Begins to write.
    func begin() {
        for place in programs.indices {
            let writer = Task { try await self.write(place) }
            state.withLock { $0.writers.append(writer) }
        }
    }

    /// One key of its own, whose value counts up; any status but 0 ends it.
    private func write(_ place: Int) async throws {
        var number = 0
        while !state.withLock({ $0.isOver }) {
            number += 1
            let put = try RunningProgram(
                ["key", "put", "load/\(place)", "\(number)", "--json"], environment: cluster.environment(),
                program: programs[place])
            let outcome = try await put.outcome()
            let value = number
            state.withLock { state in
                if outcome.status == 0 {
                    state.written[place].append(value)
                } else if state.failure == nil {
                    state.failure = "put \(value) ended with status \(outcome.status): \(outcome.error)"
                }
            }
            guard outcome.status == 0 else { return }
        }
    }

    private var count: Int {
        get throws {
            try state.withLock { state in
                if let failure = state.failure { throw Unexpected(failure) }
                return state.written.map(\.count).min() ?? 0
            }
        }
    }

    /// Waits until each client has written so often in all.
    func reach(_ number: Int) async throws { try await until("\(number) puts") { try count >= number } }

    /// Waits until each client has written so often from now on.
    func more(_ number: Int) async throws { try await reach(try count + number) }

    /// Ends the writers; every acknowledged write is there, and the watches saw each once, in order.
    func end() async throws {
        state.withLock { $0.isOver = true }
        for writer in state.withLock({ $0.writers }) { try await writer.value }
        _ = try count
        let written = state.withLock { $0.written }
        for (place, values) in written.enumerated() {
            #expect(values == Array(1...values.count))
            for id in cluster.ids {
                #expect(try await cluster.run("key", "get", "load/\(place)", at: [id]).text == "\(values.count)")
            }
        }
        for watch in watches {
            try await until("the watch has seen all") {
                try watch.lines().count == written.reduce(0) { $0 + $1.count } || watch.hasEnded
            }
            watch.signal(SIGINT)
            let outcome = try await watch.outcome()
            #expect(outcome.status == 0, "\(outcome.error)")
            let events = try outcome.documents
            for place in written.indices {
                let seen = events.filter { $0.text("key") == "load/\(place)" }.map { $0.text("value") }
                #expect(seen == written[place].map { "\($0)" }, "the watch has no gap and no repetition")
            }
        }
    }

    func abandon() {
        state.withLock { $0.isOver = true }
        for watch in watches { watch.signal(SIGKILL) }
    }

    var figures: String {
        let written = state.withLock { $0.written.map(\.count) }
        return
            "\(written[0]) puts of the previous release's client and \(written[1]) of this one's, seen by a watch of each"
    }
}
