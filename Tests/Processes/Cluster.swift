internal import Foundation
internal import Synchronization

/// Members on loopback, each a process of its own.
package final class Cluster: Sendable {
    /// What of a cluster a test may choose.
    package struct Layout: Sendable {
        /// How many members there are.
        package var members = 3
        /// Where a member is reached, by its ID; nil takes a free port of 127.0.0.1.
        package var endpoints: [String]?
        /// Where a member listens, where that is not where it is reached.
        package var listens: [String]?
        /// The directory of a member; nil makes one that goes with the cluster.
        package var data: (@Sendable (Int) -> String)?
        /// The program of every member at first; see `Cluster.use`.
        package var program = Program.path
        /// Arguments of `serve` beyond the directory.
        package var arguments: [String] = []
        /// The environment of a member's process.
        package var environment: @Sendable (Int) -> [String: String] = { _ in [:] }

        package init() {}
    }

    private let nodes = Mutex<[Int: RunningProgram]>([:])
    private let programs = Mutex<[Int: String]>([:])
    private let scratch: ScratchDirectory
    private let layout: Layout
    /// The members' addresses, in order of their IDs from 1.
    package let endpoints: [String]

    /// A cluster of which nothing runs yet.
    package init(_ layout: Layout = Layout()) throws {
        self.layout = layout
        scratch = try ScratchDirectory()
        endpoints = try layout.endpoints ?? freePorts(layout.members).map { "127.0.0.1:\($0)" }
    }

    /// The cluster of the suite that runs.
    @TaskLocal package static var current: Cluster?

    /// Formats and starts the members and waits until they are ready.
    package static func start(_ layout: Layout = Layout()) async throws -> Cluster {
        let cluster = try Cluster(layout)
        do {
            for id in cluster.ids { try await cluster.format(id) }
            for id in cluster.ids { try await cluster.start(id) }
            try await cluster.wait("ready")
        } catch {
            cluster.abandon()
            throw error
        }
        return cluster
    }

    /// The members' IDs.
    package var ids: [Int] { Array(1...layout.members) }

    /// The members but one.
    package func others(_ id: Int) -> [Int] { ids.filter { $0 != id } }

    /// The directory of a member.
    package func data(_ id: Int) -> String { layout.data?(id) ?? scratch.path + "/n\(id)" }

    /// The member list as `node format` takes it.
    package var members: String {
        endpoints.enumerated().map { "\($0.offset + 1)=\($0.element)" }.joined(separator: ",")
    }

    /// Formats the directory of a member.
    package func format(_ id: Int) async throws {
        let format = try RunningProgram(
            ["node", "format", "--data", data(id), "--id", "\(id)", "--cluster", "test", "--members", members],
            program: program(of: id))
        let outcome = try await format.outcome()
        guard outcome.status == 0 else { throw Unexpected("node \(id) was not formatted: \(outcome.error)") }
    }

    /// Starts a member and waits for its ready line.
    package func start(_ id: Int) async throws {
        var arguments = ["serve", "--data", data(id), "--log-level", "warning"] + layout.arguments
        if let listens = layout.listens { arguments += ["--listen", listens[id - 1]] }
        let node = try RunningProgram(arguments, environment: layout.environment(id), program: program(of: id))
        nodes.withLock { $0[id] = node }
        let line = try await node.line("of readiness") { $0.hasPrefix("ready ") }
        let endpoint = layout.listens?[id - 1] ?? endpoints[id - 1]
        guard line == "ready node=\(id) endpoint=\(endpoint)" else { throw Unexpected("node \(id) said '\(line)'") }
    }

    /// The program that a member is formatted and started with.
    package func program(of id: Int) -> String { programs.withLock { $0[id] } ?? layout.program }

    /// Gives a member another program for its next start.
    package func use(_ program: String, for id: Int) { programs.withLock { $0[id] = program } }

    /// The process of a member.
    package func node(_ id: Int) throws -> RunningProgram {
        guard let node = nodes.withLock({ $0[id] }) else { throw Unexpected("node \(id) was never started") }
        return node
    }

    /// Ends a member in order; throws where it does not end with status 0.
    package func end(_ id: Int) async throws {
        let node = try node(id)
        node.signal(SIGTERM)
        let outcome = try await node.outcome(seconds: 30)
        guard outcome.status == 0 else {
            throw Unexpected("node \(id) ended with status \(outcome.status): \(outcome.error)")
        }
    }

    /// Ends a member at once, as a power cut does, and waits for its end.
    package func kill(_ id: Int) async throws {
        let node = try node(id)
        node.signal(SIGKILL)
        _ = try await node.outcome()
    }

    /// Ends every member, and checks how: in order, or killed by the test.
    package func stop() async throws {
        let nodes = self.nodes.withLock { $0 }
        for node in nodes.values { node.signal(SIGCONT) }
        for node in nodes.values { node.signal(SIGTERM) }
        for (id, node) in nodes.sorted(by: { $0.key < $1.key }) {
            let outcome = try await node.outcome(seconds: 30)
            guard outcome.status == 0 || outcome.status == 128 + SIGKILL else {
                throw Unexpected("node \(id) ended with status \(outcome.status): \(outcome.error)")
            }
            guard outcome.lines.count == 1 else {
                throw Unexpected("more than the ready line is on standard output of node \(id): \(outcome.text)")
            }
        }
    }

    /// Ends every member at once, however it is; for a test that has failed already.
    package func abandon() {
        for node in nodes.withLock({ $0 }).values { node.signal(SIGKILL) }
    }

    /// Runs a verb against all members, or some.
    @discardableResult
    package func run(
        _ arguments: String..., input: [UInt8] = [], at ids: [Int]? = nil, seconds: Int = 60
    ) async throws -> Program.Outcome {
        try await Program.run(arguments, input: input, environment: environment(ids), seconds: seconds)
    }

    /// Starts a verb against all members, or some.
    package func begin(_ arguments: String..., at ids: [Int]? = nil) throws -> RunningProgram {
        try RunningProgram(arguments, environment: environment(ids))
    }

    /// The environment that names these members.
    package func environment(_ ids: [Int]? = nil) -> [String: String] {
        ["HOLDFAST_ENDPOINT": (ids ?? self.ids).map { reached($0) }.joined(separator: ",")]
    }

    /// Where a client reaches a member: at itself, also where its peers go another way.
    package func reached(_ id: Int) -> String { layout.listens?[id - 1] ?? endpoints[id - 1] }

    /// Waits until all members are ready or complete.
    package func wait(_ state: String) async throws {
        let outcome = try await run("cluster", "status", "--wait", state, "--timeout", "40")
        guard outcome.status == 0 else { throw Unexpected("not \(state): \(outcome.text) \(outcome.error)") }
    }

    /// The leader by the word of these members; waits for one among them.
    package func leader(at ids: [Int]? = nil) async throws -> Int {
        var leader: Int?
        try await until("a leader") {
            let status = try await run("cluster", "status", "--json", "--timeout", "2", at: ids)
            guard status.status == 0 else { return false }
            leader = try status.document.number("leader")
            return leader.map { (ids ?? self.ids).contains($0) } ?? false
        }
        guard let leader else { throw Unexpected("no leader") }
        return leader
    }
}

extension Cluster {
    /// Runs a verb given as a list against all members, or some.
    package func run(
        list arguments: [String], input: [UInt8] = [], at ids: [Int]? = nil, seconds: Int = 60
    ) async throws -> Program.Outcome {
        try await Program.run(arguments, input: input, environment: environment(ids), seconds: seconds)
    }
}
