import Foundation
import Testing

/// Three members on loopback, each a process of its own.
final class Cluster: @unchecked Sendable {
    // `@unchecked Sendable`: `nodes` is changed by one test at a time, since every suite that has a cluster is serialized.
    private var nodes: [Int: RunningProgram] = [:]
    private let scratch: ScratchDirectory
    /// The members' addresses, in order of their IDs from 1.
    let endpoints: [String]

    private init(scratch: ScratchDirectory, endpoints: [String]) {
        self.scratch = scratch
        self.endpoints = endpoints
    }

    /// The cluster of the suite that runs.
    @TaskLocal static var current: Cluster?

    /// Formats and starts three members and waits until they are ready.
    static func start() async throws -> Cluster {
        let cluster = Cluster(
            scratch: try ScratchDirectory(), endpoints: try freePorts(3).map { "127.0.0.1:\($0)" })
        for id in 1...3 { try await cluster.format(id) }
        for id in 1...3 { try await cluster.start(id) }
        try await cluster.wait("ready")
        return cluster
    }

    /// The directory of a member.
    func data(_ id: Int) -> String { scratch.path + "/n\(id)" }

    /// The member list as `node format` takes it.
    var members: String { endpoints.enumerated().map { "\($0.offset + 1)=\($0.element)" }.joined(separator: ",") }

    /// Formats the directory of a member.
    func format(_ id: Int) async throws {
        let outcome = try await Program.run([
            "node", "format", "--data", data(id), "--id", "\(id)", "--cluster", "test", "--members", members,
        ])
        #expect(outcome.status == 0, "\(outcome.error)")
    }

    /// Starts a member and waits for its ready line.
    func start(_ id: Int) async throws {
        let node = try RunningProgram(["serve", "--data", data(id), "--log-level", "warning"])
        nodes[id] = node
        let line = try await node.line("of readiness") { $0.hasPrefix("ready ") }
        #expect(line == "ready node=\(id) endpoint=\(endpoints[id - 1])")
    }

    /// The process of a member.
    func node(_ id: Int) throws -> RunningProgram { try #require(nodes[id]) }

    /// Ends a member at once, as a power cut does, and waits for its end.
    func kill(_ id: Int) async throws {
        let node = try node(id)
        node.signal(SIGKILL)
        _ = try await node.outcome()
    }

    /// Ends every member.
    func stop() async throws {
        for node in nodes.values { node.signal(SIGCONT) }
        for node in nodes.values { node.signal(SIGTERM) }
        for (id, node) in nodes {
            let outcome = try await node.outcome(seconds: 30)
            #expect(outcome.status == 0 || outcome.status == 128 + SIGKILL, "node \(id): \(outcome.error)")
            #expect(outcome.lines.count == 1, "nothing but the ready line is on standard output")
        }
    }

    /// Runs a verb against all members.
    @discardableResult
    func run(
        _ arguments: String..., input: [UInt8] = [], at ids: [Int] = [1, 2, 3], seconds: Int = 60
    ) async throws -> Program.Outcome {
        try await Program.run(arguments, input: input, environment: environment(ids), seconds: seconds)
    }

    /// Starts a verb against all members.
    func begin(_ arguments: String..., at ids: [Int] = [1, 2, 3]) throws -> RunningProgram {
        try RunningProgram(arguments, environment: environment(ids))
    }

    /// The environment that names these members.
    func environment(_ ids: [Int] = [1, 2, 3]) -> [String: String] {
        ["HOLDFAST_ENDPOINT": ids.map { endpoints[$0 - 1] }.joined(separator: ",")]
    }

    /// Waits until all members are ready or complete.
    func wait(_ state: String) async throws {
        let outcome = try await run("cluster", "status", "--wait", state, "--timeout", "40")
        #expect(outcome.status == 0, "\(outcome.text) \(outcome.error)")
    }

    /// The leader by the word of these members; waits for one.
    func leader(at ids: [Int] = [1, 2, 3]) async throws -> Int {
        var leader: Int?
        try await until("a leader") {
            let status = try await run("cluster", "status", "--json", "--timeout", "2", at: ids)
            guard status.status == 0 else { return false }
            leader = try status.document.number("leader")
            return leader.map { ids.contains($0) } ?? false
        }
        return try #require(leader)
    }
}

/// Gives a suite a cluster of its own and ends it afterwards.
struct WithCluster: SuiteTrait, TestScoping {
    func provideScope(
        for test: Test, testCase: Test.Case?, performing function: @Sendable () async throws -> Void
    ) async throws {
        let cluster = try await Cluster.start()
        do {
            try await Cluster.$current.withValue(cluster) { try await function() }
        } catch {
            try await cluster.stop()
            throw error
        }
        try await cluster.stop()
    }
}

extension Trait where Self == WithCluster {
    /// A cluster of three members for the whole suite.
    static var cluster: WithCluster { WithCluster() }
}

/// Free ports below those that the system gives out by itself, so that no other socket takes one while its node is down;
/// all are held at once, so that they differ.
func freePorts(_ count: Int) throws -> [UInt16] {
    var descriptors: [Int32] = []
    defer { for descriptor in descriptors { close(descriptor) } }
    var ports: [UInt16] = []
    for _ in 0..<1_000 where ports.count < count {
        let port = UInt16.random(in: 12_000..<32_000)
        let descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        try #require(descriptor >= 0)
        descriptors.append(descriptor)
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_port = port.bigEndian
        address.sin_addr.s_addr = UInt32(0x7F00_0001).bigEndian
        let result = withUnsafePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { generic in
                bind(descriptor, generic, socklen_t(MemoryLayout<sockaddr_in>.size))
            }
        }
        if result == 0 { ports.append(port) }
    }
    try #require(ports.count == count, "no free ports")
    return ports
}

/// All suites on real processes: one after the other, since each has several of them.
@Suite(.serialized) enum EndToEndTests {}
