import Foundation
import Glibc
import Logging
import NIOCore
import Storage
import Synchronization
import Testing

@testable import Holdfast

/// Everything that runs several nodes: one test at a time, since elections are timed and the machine is small.
@Suite(.serialized) struct ClusterTests {}

/// A directory that goes with the test.
final class Scratch: Sendable {
    let path: String

    init() throws {
        var template = Array("/tmp/holdfast-cluster-XXXXXX".utf8CString)
        let made = template.withUnsafeMutableBufferPointer { $0.baseAddress.flatMap { mkdtemp($0) } }
        path = String(cString: try #require(made))
    }

    deinit { try? FileManager.default.removeItem(atPath: path) }

    func callAsFunction(_ name: String) -> String { "\(path)/\(name)" }
}

/// A value that several tasks of a test touch.
final class Shared<Value: Sendable>: Sendable {
    private let value: Mutex<Value>

    init(_ value: Value) { self.value = Mutex(value) }

    func withLock<R: Sendable>(_ body: (inout Value) throws -> R) rethrows -> R {
        try value.withLock { value in try body(&value) }
    }
}

/// A logger that says nothing.
let quiet = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }

/// Ports that nobody uses now: below those that the system gives to outgoing connections, so that a stopped node's port is
/// not taken by the next connection that somebody dials.
func freePorts(_ count: Int) throws -> [Int] {
    var held: [Int32] = []
    defer { for descriptor in held { close(descriptor) } }
    var ports: [Int] = []
    for _ in 0..<1_000 where ports.count < count {
        let port = Int.random(in: 12_000..<32_000)
        let descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        try #require(descriptor >= 0)
        held.append(descriptor)
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_port = in_port_t(port).bigEndian
        address.sin_addr.s_addr = UInt32(0x7F00_0001).bigEndian
        let result = withUnsafePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                bind(descriptor, $0, socklen_t(MemoryLayout<sockaddr_in>.size))
            }
        }
        if result == 0 { ports.append(port) }
    }
    try #require(ports.count == count, "no free ports")
    return ports
}

/// Waits for a condition that is asked for asynchronously, at most 30 seconds.
func eventually(
    _ what: String, sourceLocation: SourceLocation = #_sourceLocation, _ condition: () async throws -> Bool
) async throws {
    let deadline = NIODeadline.now() + .seconds(30)
    while try await !condition() {
        guard NIODeadline.now() < deadline else {
            Issue.record("it never came to be that \(what)", sourceLocation: sourceLocation)
            throw HoldfastError(.deadlineExceeded, what)
        }
        try await Task.sleep(nanoseconds: 5_000_000)
    }
}

/// Members of one cluster in this process, on directories and ports of their own.
final class TestCluster: Sendable {
    let scratch: Scratch
    let name: String
    let members: [UInt64: String]
    private let configure: @Sendable (inout NodeConfiguration) -> Void
    private let nodes = Mutex<[UInt64: HoldfastNode]>([:])
    private let others = Mutex<[HoldfastNode]>([])

    /// Formats the directories of `count` members.
    init(
        _ count: Int = 3, name: String = "test",
        configure: @escaping @Sendable (inout NodeConfiguration) -> Void = { _ in }
    ) throws {
        scratch = try Scratch()
        self.name = name
        self.configure = configure
        let ports = try freePorts(count)
        members = Dictionary(
            uniqueKeysWithValues: ports.enumerated().map { (UInt64($0.offset + 1), "127.0.0.1:\($0.element)") })
        for id in members.keys { try format(id) }
    }

    var ids: [UInt64] { members.keys.sorted() }
    var running: [UInt64] { nodes.withLock { $0.keys.sorted() } }

    func directory(_ id: UInt64) -> String { scratch("node-\(id)") }

    /// Formats as `HoldfastNode.format` does, but with small segments: 128 MiB a node would be written before the first entry.
    func format(_ id: UInt64, token: String = "") throws {
        let request = FormatRequest(
            node: id, cluster: name, token: token,
            members: members.sorted { $0.key < $1.key }.map { .init(node: $0.key, endpoint: $0.value) },
            nowMilliseconds: WallClock.milliseconds)
        _ = try DataDirectory.format(at: directory(id), request) { layout, identity throws(DirectoryError) in
            do throws(LogError) {
                var options = LogOptions()
                options.segmentBytes = 4 << 20
                try LogStore.format(directory: layout.log, identity: identity.incarnation.low, options: options)
            } catch {
                throw DirectoryError(.inputOutput, "\(error)")
            }
        }
    }

    func make(_ id: UInt64) throws -> HoldfastNode {
        var configuration = NodeConfiguration(.member(directory: directory(id)))
        configuration.rowCacheBytes = 4 << 20
        configure(&configuration)
        return try HoldfastNode(configuration, logger: quiet)
    }

    func start(_ id: UInt64) async throws {
        let node = try make(id)
        try await node.start()
        nodes.withLock { $0[id] = node }
    }

    /// Starts every member that does not run and waits for a leader.
    func start() async throws {
        for id in ids where !running.contains(id) { try await start(id) }
        _ = try await leader()
    }

    func stop(_ id: UInt64) async throws {
        let node = try node(id)
        nodes.withLock { $0[id] = nil }
        await node.stop()
    }

    func stop() async {
        let all = others.withLock { others in
            defer { others = [] }
            return others
        }
        for node in all { await node.stop() }
        for id in running.reversed() { await nodes.withLock { $0.removeValue(forKey: id) }?.stop() }
    }

    func node(_ id: UInt64) throws -> HoldfastNode { try #require(nodes.withLock { $0[id] }) }

    /// The store of the member itself: as a process that embeds it uses it.
    func store(_ id: UInt64) throws -> Store { try node(id).store }

    /// The store of a client of these members, or of all in order of their IDs.
    func client(_ ids: [UInt64]? = nil, timeoutMilliseconds: Int = 20_000) async throws -> Store {
        let endpoints = (ids ?? self.ids).compactMap { members[$0] }
        var configuration = NodeConfiguration(.client(endpoints: endpoints))
        configuration.timeoutMilliseconds = timeoutMilliseconds
        let node = try HoldfastNode(configuration, logger: quiet)
        try await node.start()
        others.withLock { $0.append(node) }
        return node.store
    }

    /// A client of these nodes; whoever makes it stops it.
    static func client(of endpoints: [String]) async throws -> HoldfastNode {
        let node = try HoldfastNode(NodeConfiguration(.client(endpoints: endpoints)), logger: quiet)
        try await node.start()
        // It learns about members, and epochs, at answers.
        _ = try await node.store.status()
        return node
    }

    /// The running member that leads, by its own word; waits for one.
    func leader() async throws -> UInt64 {
        var found: UInt64?
        try await eventually("a member leads") {
            for id in self.running {
                let status = try await self.store(id).status()
                if status.leader == id, !status.lineage.isEmpty { found = id }
            }
            return found != nil
        }
        return try #require(found)
    }

    /// A running member that does not lead.
    func follower() async throws -> UInt64 {
        let leader = try await leader()
        return try #require(running.first { $0 != leader })
    }

    /// Every running member by its own word.
    func statuses() async throws -> [ClusterStatus.Node] {
        var nodes: [ClusterStatus.Node] = []
        for id in running {
            nodes.append(try #require(try await store(id).status().nodes.first { $0.id == id }))
        }
        return nodes
    }

    /// Waits until every running member has applied the same revisions, and returns the last one.
    @discardableResult
    func agree() async throws -> Revision {
        var revision: Revision = 0
        try await eventually("all members agree") {
            let statuses = try await self.statuses()
            revision = statuses.map(\.revision).max() ?? 0
            return statuses.allSatisfy { $0.revision == revision } && Set(statuses.map(\.applied)).count == 1
        }
        let statuses = try await statuses()
        #expect(Set(statuses.map(\.feedHash)).count == 1, "the members' histories differ: \(statuses)")
        return revision
    }
}

/// Runs `body` with a started cluster and stops it afterwards, whatever happened.
func withCluster(
    _ count: Int = 3, configure: @escaping @Sendable (inout NodeConfiguration) -> Void = { _ in },
    _ body: (TestCluster) async throws -> Void
) async throws {
    let cluster = try TestCluster(count, configure: configure)
    do {
        try await cluster.start()
        try await body(cluster)
    } catch {
        await cluster.stop()
        throw error
    }
    await cluster.stop()
}

/// The error that `body` throws, which must be one of Holdfast's.
func refusal(
    sourceLocation: SourceLocation = #_sourceLocation, _ body: () async throws -> Void
) async -> HoldfastError? {
    do {
        try await body()
        Issue.record("it was not refused", sourceLocation: sourceLocation)
        return nil
    } catch let error as HoldfastError {
        return error
    } catch {
        Issue.record("an error of another kind: \(error)", sourceLocation: sourceLocation)
        return nil
    }
}

extension Store {
    func text(_ key: Key, consistency: ReadConsistency = .linearizable) async throws -> String? {
        try await get(key, consistency: consistency).map { String(decoding: $0.value, as: UTF8.self) }
    }

    @discardableResult
    func put(_ key: Key, _ text: String, ifRevision: Revision? = nil) async throws -> KeyValue {
        try await put(key, Array(text.utf8), ifRevision: ifRevision)
    }
}
