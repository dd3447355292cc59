import Foundation
import Storage
import Synchronization
import Testing

@testable import Holdfast

/// A cluster that begins with one member and whose nodes come and go.
final class ElasticCluster: Sendable {
    let base: TestCluster
    private let endpoints = Mutex<[UInt64: String]>([:])
    private let nodes = Mutex<[UInt64: HoldfastNode]>([:])

    init() throws {
        base = try TestCluster(1)
        endpoints.withLock { $0 = base.members }
    }

    func endpoint(_ id: UInt64) throws -> String { try #require(endpoints.withLock { $0[id] }) }
    func node(_ id: UInt64) throws -> HoldfastNode {
        if id == 1 { return try base.node(1) }
        return try #require(nodes.withLock { $0[id] })
    }

    /// Formats a node that joins, with small segments as `TestCluster.format` has them, and starts it.
    func start(joining id: UInt64) async throws {
        let endpoint = "127.0.0.1:\(try freePorts(1)[0])"
        let report = try await base.client().membership(.stale)
        let request = JoinRequest(
            node: id, cluster: report.cluster, bootstrap: report.bootstrap, lineage: report.lineage,
            members: report.first.map { .init(node: $0.node, endpoint: $0.endpoint) }, address: endpoint,
            nowMilliseconds: WallClock.milliseconds)
        _ = try DataDirectory.join(at: base.directory(id), request) { layout, identity throws(DirectoryError) in
            do throws(LogError) {
                var options = LogOptions()
                options.segmentBytes = 4 << 20
                try LogStore.format(directory: layout.log, identity: identity.incarnation.low, options: options)
            } catch {
                throw DirectoryError(.inputOutput, "\(error)")
            }
        }
        endpoints.withLock { $0[id] = endpoint }
        try await restart(id)
    }

    func restart(_ id: UInt64) async throws {
        let node = try base.make(id)
        try await node.start()
        nodes.withLock { $0[id] = node }
    }

    /// Stops a node in order.
    func stop(_ id: UInt64) async throws {
        if id == 1 { return try await base.stop(1) }
        let node = nodes.withLock { $0.removeValue(forKey: id) }
        await node?.stop()
    }

    func stop() async {
        let all = nodes.withLock { nodes in
            defer { nodes = [:] }
            return nodes.values
        }
        for node in all { await node.stop() }
        await base.stop()
    }
}

func withElasticCluster(_ body: (ElasticCluster) async throws -> Void) async throws {
    let cluster = try ElasticCluster()
    do {
        try await cluster.base.start()
        try await body(cluster)
    } catch {
        await cluster.stop()
        throw error
    }
    await cluster.stop()
}

/// Puts that go on until they are told to end; every acknowledged one is remembered.
final class Writers: Sendable {
    let acknowledged = Shared<[String: String]>([:])
    let failures = Shared<[String]>([])
    private let isOver = Shared(false)

    func run(_ store: Store, writer: Int) async {
        var number = 0
        while !isOver.withLock({ $0 }) {
            number += 1
            let key = "w\(writer)/\(number % 50)"
            do {
                try await store.put(Key(key), "\(number)")
                acknowledged.withLock { $0[key] = "\(number)" }
            } catch {
                failures.withLock { $0.append("\(key)=\(number): \(error)") }
            }
        }
    }

    func end() { isOver.withLock { $0 = true } }
}

extension ClusterTests {
    @Suite struct Memberships {
        @Test func aClusterGrowsFromOneToFiveAndBackToThreeUnderLoad() async throws {
            try await withElasticCluster { cluster in
                let writers = Writers()
                // The clients know the first member only, and it goes too.
                var stores: [Store] = []
                for _ in 0..<3 { stores.append(try await cluster.base.client([1])) }
                let admin = try await cluster.base.client([1])
                try await withThrowingTaskGroup(of: Void.self) { group in
                    for (writer, store) in stores.enumerated() {
                        group.addTask { await writers.run(store, writer: writer) }
                    }
                    do {
                        for id in UInt64(2)...5 {
                            try await cluster.start(joining: id)
                            try await admin.addLearner(id, endpoint: try cluster.endpoint(id))
                            try await admin.promote(id)
                        }
                        #expect(try await admin.members().members.map(\.role) == Array(repeating: .voter, count: 5))
                        for id in [UInt64(1), 4] {
                            try await admin.removeMember(id)
                            let failure = await (try cluster.node(id)).failure()
                            #expect(failure?.message.contains("removed") == true, "node \(id) is told")
                            try await cluster.stop(id)
                        }
                        // What goes on now goes on without the node that every client began with.
                        let before = writers.acknowledged.withLock { $0 }
                        try await eventually("writes go on") {
                            writers.acknowledged.withLock { $0 } != before
                        }
                    } catch {
                        writers.end()
                        throw error
                    }
                    writers.end()
                    try await group.waitForAll()
                }
                #expect(writers.failures.withLock { $0 } == [])
                let members = try await admin.members()
                #expect(members.members.map(\.id) == [2, 3, 5] && members.removed == [1, 4] && members.nextID == 6)
                let acknowledged = writers.acknowledged.withLock { $0 }
                #expect(acknowledged.count == 150)
                for (key, value) in acknowledged {
                    for id in [UInt64(2), 3, 5] {
                        let found = try await cluster.node(id).store.text(Key(key))
                        #expect(found == value, "\(key) at node \(id)")
                    }
                }
            }
        }

        @Test func anIDIsNeverUsedAgainAndARemovedNodeDoesNotStart() async throws {
            try await withElasticCluster { cluster in
                let admin = try await cluster.base.client([1])
                try await cluster.start(joining: 2)
                let endpoint = try cluster.endpoint(2)
                try await admin.addLearner(2, endpoint: endpoint)
                try await admin.addLearner(2, endpoint: endpoint)
                try await admin.removeMember(2)
                #expect(await (try cluster.node(2)).failure()?.code == .incompatible)
                try await cluster.stop(2)
                let again = await refusal { try await cluster.restart(2) }
                #expect(again?.code == .incompatible && again?.message.contains("removed") == true)
                let reused = await refusal { try await admin.addLearner(2, endpoint: endpoint) }
                #expect(reused?.code == .alreadyExists && reused?.message.contains("such as 3") == true)
                let stranger = await refusal { try await admin.promote(9) }
                #expect(stranger?.code == .notFound)
                let last = await refusal { try await admin.removeMember(1) }
                #expect(last?.code == .preconditionFailed)
                try await admin.removeMember(2)
                try await admin.put("k", "v")
            }
        }

        @Test func aLearnerThatIsNotThereIsNotPromoted() async throws {
            try await withElasticCluster { cluster in
                let admin = try await cluster.base.client([1])
                let port = try freePorts(1)[0]
                try await admin.addLearner(2, endpoint: "127.0.0.1:\(port)")
                let silent = await refusal { try await admin.promote(2) }
                #expect(silent?.code == .preconditionFailed && silent?.message.contains("does not answer") == true)
                let wrong = await refusal { try await admin.addLearner(3, endpoint: cluster.endpoint(1)) }
                #expect(wrong?.code == .alreadyExists)
                #expect(try await admin.members().members.map(\.role) == [.voter, .learner])
                try await admin.removeMember(2)
                #expect(try await admin.members().removed == [2])
            }
        }
    }
}
