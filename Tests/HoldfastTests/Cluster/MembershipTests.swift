import Foundation
import ReplicaCore
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

    /// Formats a node that joins and starts it.
    func start(joining id: UInt64) async throws {
        try await format(joining: id, at: "127.0.0.1:\(try freePorts(1)[0])")
        try await restart(id)
    }

    /// Formats a node that joins, with small segments as `TestCluster.format` has them; `source` is a node of the cluster.
    func format(joining id: UInt64, at endpoint: String, from source: String? = nil) async throws {
        var configuration = NodeConfiguration(.client(endpoints: [try source ?? self.endpoint(1)]))
        configuration.timeoutMilliseconds = 10_000
        let client = try HoldfastNode(configuration, logger: quiet)
        try await client.start()
        let report = try await client.store.membership(.stale)
        await client.stop()
        var request = JoinRequest(
            node: id, cluster: report.cluster, bootstrap: report.bootstrap, lineage: report.lineage,
            members: report.first.map { .init(node: $0.node, endpoint: $0.endpoint) }, address: endpoint,
            nowMilliseconds: WallClock.milliseconds)
        request.formatVersion = Int(report.featureVersion)
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

        @Test func whoeverIsLeftAloneNeedsNoVoteOfTheRemovedAfterACrash() async throws {
            try await withElasticCluster { cluster in
                let admin = try await cluster.base.client([1])
                try await cluster.start(joining: 2)
                try await admin.addLearner(2, endpoint: try cluster.endpoint(2))
                try await admin.promote(2)
                try await admin.put("k", "v")
                try await admin.removeMember(2)
                // What a crash leaves at the moment of the answer; nothing was written since.
                let image = cluster.base.scratch("image")
                try FileManager.default.copyItem(atPath: cluster.base.directory(1), toPath: image)
                try await cluster.stop(2)
                try await cluster.stop(1)
                var configuration = NodeConfiguration(.member(directory: image))
                configuration.timeoutMilliseconds = 10_000
                let left = try HoldfastNode(configuration, logger: quiet)
                try await left.start()
                #expect(try await left.store.text("k") == "v")
                try await left.store.put("k", "w")
                await left.stop()
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

        @Test func aRollingRestartLosesNoRequest() async throws {
            try await withCluster { cluster in
                let writers = Writers()
                var stores: [Store] = []
                for id in cluster.ids { stores.append(try await cluster.client([id])) }
                let reads = Shared<[String]>([])
                let isOver = Shared(false)
                let reader = try await cluster.client()
                try await withThrowingTaskGroup(of: Void.self) { group in
                    for (writer, store) in stores.enumerated() {
                        group.addTask { await writers.run(store, writer: writer) }
                    }
                    group.addTask {
                        while !isOver.withLock({ $0 }) {
                            do {
                                _ = try await reader.get("w0/1")
                            } catch {
                                reads.withLock { $0.append("\(error)") }
                            }
                        }
                    }
                    do {
                        // Clients learn the other members a second after their first answer.
                        try await Task.sleep(nanoseconds: 1_500_000_000)
                        // Twice round: each time the leader, and then the others.
                        for _ in 0..<2 {
                            let leader = try await cluster.leader()
                            for id in [leader] + cluster.ids.filter({ $0 != leader }) {
                                try await cluster.stop(id)
                                try await cluster.start(id)
                            }
                        }
                    } catch {
                        writers.end()
                        isOver.withLock { $0 = true }
                        throw error
                    }
                    writers.end()
                    isOver.withLock { $0 = true }
                    try await group.waitForAll()
                }
                #expect(writers.failures.withLock { $0 } == [])
                #expect(reads.withLock { $0 } == [])
                for (key, value) in writers.acknowledged.withLock({ $0 }) {
                    #expect(try await reader.text(Key(key)) == value)
                }
                try await cluster.agree()
            }
        }

        @Test func aWipedNodeIsToldTheCommandsAndReplacedUnderLoad() async throws {
            try await withElasticCluster { cluster in
                let admin = try await cluster.base.client([1])
                for id in UInt64(2)...3 {
                    try await cluster.start(joining: id)
                    try await admin.addLearner(id, endpoint: cluster.endpoint(id))
                    try await admin.promote(id)
                }
                let writers = Writers()
                let store = try await cluster.base.client([1])
                async let writing: Void = writers.run(store, writer: 0)
                try await cluster.stop(3)
                // The same directory made anew under the old ID, as somebody would who does not know better.
                try FileManager.default.removeItem(atPath: cluster.base.directory(3))
                let place = try cluster.endpoint(3)
                try await cluster.format(joining: 3, at: place)
                try await cluster.restart(3)
                let told = await (try cluster.node(3)).failure()
                #expect(told?.code == .incompatible)
                for command in ["node format --data DIR --id 4", "--listen \(place)", "cluster replace 3 4=\(place)"] {
                    #expect(told?.message.contains(command) == true, "\(told?.message ?? "")")
                }
                try await cluster.stop(3)
                try await cluster.format(joining: 4, at: place)
                try await cluster.restart(4)
                try await admin.replaceMember(3, with: 4, endpoint: place)
                try await admin.replaceMember(3, with: 4, endpoint: place)
                writers.end()
                await writing
                #expect(writers.failures.withLock { $0 } == [])
                let members = try await admin.members()
                #expect(members.members.map(\.id) == [1, 2, 4] && members.removed == [3])
                for (key, value) in writers.acknowledged.withLock({ $0 }) {
                    #expect(try await cluster.node(4).store.text(Key(key)) == value)
                }
            }
        }

        @Test func aVoterDoesNotLeaveWithTheOnlyCopies() async throws {
            try await withElasticCluster { cluster in
                let admin = try await cluster.base.client([1])
                try await cluster.start(joining: 2)
                try await admin.addLearner(2, endpoint: cluster.endpoint(2))
                try await admin.promote(2)
                // Without its peer no write is done, and no change either.
                try await cluster.stop(2)
                let lonely = await refusal {
                    try await admin.withTimeout(milliseconds: 1_500).removeMember(1)
                }
                #expect([.unavailable, .preconditionFailed, .outcomeUnknown].contains(lonely?.code))
                try await cluster.restart(2)
                try await cluster.start(joining: 3)
                try await admin.addLearner(3, endpoint: cluster.endpoint(3))
                try await admin.promote(3)
                try await cluster.stop(3)
                // Of three one is away: the other two are the quorum, and neither may go.
                let refused = await refusal { try await admin.removeMember(2) }
                #expect(refused?.code == .preconditionFailed && refused?.message.contains("no quorum") == true)
                try await admin.put("k", "v")
                try await admin.removeMember(3)
                #expect(try await admin.members().members.map(\.id) == [1, 2])
            }
        }

        @Test func aSurvivorBecomesAClusterOfItsOwnWithEverythingItHas() async throws {
            try await withElasticCluster { cluster in
                let admin = try await cluster.base.client([1])
                for id in UInt64(2)...3 {
                    try await cluster.start(joining: id)
                    try await admin.addLearner(id, endpoint: cluster.endpoint(id))
                    try await admin.promote(id)
                }
                for number in 0..<50 { try await admin.put(Key("k\(number)"), "\(number)") }
                let before = try await cluster.node(3).store.status()
                try await eventually("node 3 has everything") {
                    let text = try await cluster.node(3).store.text("k49", consistency: .stale)
                    return text == "49"
                }
                for id in UInt64(1)...3 { try await cluster.stop(id) }
                let directory = cluster.base.directory(3)
                let survivor = try await HoldfastNode.survey(directory: directory, logger: quiet)
                #expect(survivor.node == 3 && survivor.others == [1, 2] && survivor.lackingModels == [])
                let place3 = try cluster.endpoint(3)
                #expect(survivor.lineage == before.lineage && survivor.endpoint == place3)
                // Cut off after the mark: the directory is neither the old node's nor the new one's.
                let mark = RecoveryMark(lineage: Identifier(7, 7), endpoint: try cluster.endpoint(3))
                do {
                    let opened = try DataDirectory.open(at: directory)
                    try opened.beginRecovery(mark)
                }
                let half = await refusal { try await cluster.restart(3) }
                #expect(half?.message.contains("cluster recover --from-survivors") == true)
                let made = try await HoldfastNode.recover(directory: directory, logger: quiet)
                #expect(made.lineage == mark.lineage.hex, "an interrupted recovery goes on to the same end")
                try await cluster.restart(3)
                let store = try cluster.node(3).store
                for number in 0..<50 { #expect(try await store.text(Key("k\(number)")) == "\(number)") }
                let status = try await store.status()
                #expect(status.leader == 3 && status.lineage == mark.lineage.hex && status.nodes.map(\.id) == [3])
                // The old members cannot come back, and their IDs cannot either.
                try await cluster.base.start(1)
                try await eventually("node 1 has no leader") {
                    try await cluster.node(1).store.status().leader == nil
                }
                #expect(try await store.status().nodes.map(\.id) == [3])
                let reused = await refusal { try await store.addLearner(2, endpoint: cluster.endpoint(2)) }
                #expect(reused?.code == .alreadyExists)
                // A new node gets what is there, though no log begins there.
                let place = "127.0.0.1:\(try freePorts(1)[0])"
                try await cluster.format(joining: 4, at: place, from: cluster.endpoint(3))
                try await cluster.restart(4)
                try await store.addLearner(4, endpoint: place)
                try await store.promote(4)
                #expect(try await cluster.node(4).store.text("k7") == "7")
                #expect(try await store.members().members.map(\.role) == [.voter, .voter])
            }
        }
    }
}
