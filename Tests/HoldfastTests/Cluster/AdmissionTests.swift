import Foundation
import Logging
import NIOCore
import NIOPosix
import ReplicaCore
import Testing
import Transport

@testable import Holdfast
@testable import Storage

extension ClusterTests {
    @Suite struct Admissions {
        @Test func strangersAreRefusedWithTheReason() async throws {
            try await withCluster { cluster in
                let endpoint = try #require(cluster.members[1])
                let two = try identity(of: 2, in: cluster)
                func hello(
                    _ purpose: Purpose = .consensus, target: UInt64 = 1,
                    _ change: (inout PeerIdentity) -> Void = { _ in }
                ) -> Hello {
                    var identity = two
                    change(&identity)
                    return Hello(purpose: purpose, target: target, identity: identity)
                }
                #expect(try await refusedHello(hello(), at: endpoint) == nil)
                #expect(try await refusedHello(hello(.request), at: endpoint) == nil)
                #expect(try await refusedHello(hello { $0.cluster = "other" }, at: endpoint) == .otherCluster)
                #expect(try await refusedHello(hello { $0.bootstrap[3] ^= 1 }, at: endpoint) == .otherBootstrap)
                #expect(try await refusedHello(hello { $0.lineage[3] ^= 1 }, at: endpoint) == .otherLineage)
                #expect(try await refusedHello(hello(target: 3), at: endpoint) == .otherNode)
                #expect(try await refusedHello(hello { $0.nodeID = 9 }, at: endpoint) == .notMember)
                #expect(try await refusedHello(hello { $0.nodeID = 1 }, at: endpoint) == .notMember)
                #expect(try await refusedHello(hello { $0.nodeID = 0 }, at: endpoint) == .notMember)
                #expect(try await refusedHello(hello { $0.incarnation[3] ^= 1 }, at: endpoint) == .otherIncarnation)
                // A member's disk that was formatted anew with the members of another day: its operator must hear the same.
                let anew = hello {
                    $0.bootstrap[3] ^= 1
                    $0.incarnation[3] ^= 1
                }
                #expect(try await refusedHello(anew, at: endpoint) == .otherIncarnation)
                let none = [UInt8](repeating: 0, count: 16)
                #expect(try await refusedHello(hello { $0.incarnation = none }, at: endpoint) == .badHello)
                #expect(
                    try await refusedHello(hello(.bulk) { $0.incarnation[3] ^= 1 }, at: endpoint) == .otherIncarnation)

                let client = PeerIdentity(role: .client)
                #expect(try await refusedHello(Hello(purpose: .request, identity: client), at: endpoint) == nil)
                #expect(try await refusedHello(Hello(purpose: .bulk, identity: client), at: endpoint) == nil)
                #expect(
                    try await refusedHello(Hello(purpose: .consensus, identity: client), at: endpoint) == .notMember)
                var named = client
                named.cluster = "other"
                #expect(
                    try await refusedHello(Hello(purpose: .request, identity: named), at: endpoint) == .otherCluster)
                let elsewhere = Hello(purpose: .request, target: 2, identity: client)
                #expect(try await refusedHello(elsewhere, at: endpoint) == .otherNode)
                // Nobody was disturbed.
                try await cluster.client().put("k", "v")
            }
        }

        private func identity(of id: UInt64, in cluster: TestCluster) throws -> PeerIdentity {
            let (identity, _) = try DataDirectory.readIdentity(DataLayout(cluster.directory(id)))
            return PeerIdentity(
                role: .member, cluster: identity.cluster, bootstrap: identity.bootstrap.bytes, nodeID: id,
                incarnation: identity.incarnation.bytes, endpoint: cluster.members[id] ?? "",
                featureVersion: FeatureVersion.known)
        }

        @Test func aWipedVoterDoesNotComeBackUnderItsOldID() async throws {
            try await withCluster { cluster in
                let client = try await cluster.client()
                try await client.put("k", "v")
                let wiped = try await cluster.follower()
                try await cluster.stop(wiped)
                try FileManager.default.removeItem(atPath: cluster.directory(wiped))
                try cluster.format(wiped)
                let node = try cluster.make(wiped)
                let ended = Task { () -> HoldfastError? in
                    do {
                        try await node.run()
                        return nil
                    } catch {
                        return error as? HoldfastError
                    }
                }
                let error = await ended.value
                #expect(error?.code == .incompatible)
                #expect(error?.message.contains("wiped voter") == true)
                // The other two go on, and the node was counted by nobody.
                try await client.put("k", "w")
                #expect(try await client.text("k") == "w")
                let status = try await client.status()
                #expect(status.nodes.first { $0.id == wiped }?.role == .unreachable)
            }
        }

        @Test func aMemberOfAnotherTokenIsNotListenedTo() async throws {
            let cluster = try TestCluster(3)
            try FileManager.default.removeItem(atPath: cluster.directory(3))
            try cluster.format(3, token: "other")
            for id in cluster.ids { try await cluster.start(id) }
            let client = try await cluster.client([1, 2])
            try await client.put("k", "v")
            try await cluster.agreeAmong([1, 2])
            let status = try await client.status()
            #expect(status.nodes.first { $0.id == 3 }?.role == .unreachable)
            let stranger = try await cluster.store(3).status()
            #expect(stranger.leader == nil)
            #expect(stranger.nodes.first { $0.id == 3 }?.applied == 0)
            await cluster.stop()
        }

        @Test func aClientOfAnotherPlaceIsTold() async throws {
            try await withCluster { cluster in
                let port = try freePorts(1)[0]
                var configuration = NodeConfiguration(.client(endpoints: ["127.0.0.1:\(port)"]))
                configuration.timeoutMilliseconds = 400
                let nowhere = try HoldfastNode(configuration, logger: quiet)
                try await nowhere.start()
                let read = await refusal { _ = try await nowhere.store.get("k") }
                #expect(read?.code == .unavailable)
                #expect(read?.message.contains("127.0.0.1:\(port)") == true)
                let write = await refusal { try await nowhere.store.put("k", "v") }
                #expect(write?.code == .unavailable, "nothing was sent, so nothing is unknown")
                await nowhere.stop()
                for text in ["nonsense", "host:", "host:0", ":1", "host:99999"] {
                    let node = try HoldfastNode(NodeConfiguration(.client(endpoints: [text])), logger: quiet)
                    let bad = await refusal { try await node.start() }
                    #expect(bad?.code == .invalidArgument)
                }
                let none = await refusal {
                    _ = try HoldfastNode(NodeConfiguration(.client(endpoints: [])), logger: quiet)
                }
                #expect(none?.code == .invalidArgument)
            }
        }
    }

    @Suite struct Starting {
        private func start(_ configuration: NodeConfiguration) async throws {
            let node = try HoldfastNode(configuration, logger: quiet)
            try await node.start()
            await node.stop()
        }

        /// Every file below a directory with its bytes.
        private func contents(_ directory: String) throws -> [String: Data?] {
            let names = try FileManager.default.subpathsOfDirectory(atPath: directory)
            return Dictionary(
                uniqueKeysWithValues: names.map { ($0, FileManager.default.contents(atPath: "\(directory)/\($0)")) })
        }

        @Test func aDirectoryThatIsNotOursIsRefusedAndNotTouched() async throws {
            let scratch = try Scratch()
            let missing = await refusal { try await start(NodeConfiguration(.member(directory: scratch("none")))) }
            #expect(missing?.code == .notFound)
            #expect(missing?.message.contains("node format") == true)
            #expect(!FileManager.default.fileExists(atPath: scratch("none")))

            try FileManager.default.createDirectory(atPath: scratch("empty"), withIntermediateDirectories: true)
            let empty = await refusal { try await start(NodeConfiguration(.member(directory: scratch("empty")))) }
            #expect(empty?.code == .notFound)

            try FileManager.default.createDirectory(atPath: scratch("foreign"), withIntermediateDirectories: true)
            try Data("mine".utf8).write(to: URL(fileURLWithPath: scratch("foreign/letter.txt")))
            for kind in [
                NodeConfiguration.Kind.member(directory: scratch("foreign")), .local(directory: scratch("foreign")),
            ] {
                let foreign = await refusal { try await start(NodeConfiguration(kind)) }
                #expect(foreign?.code == .alreadyExists)
                #expect(try contents(scratch("foreign")) == ["letter.txt": Data("mine".utf8)])
            }
            let format = await refusal {
                _ = try HoldfastNode.format(
                    directory: scratch("foreign"), id: 1, cluster: "c", members: [1: "127.0.0.1:1"])
            }
            #expect(format?.code == .alreadyExists)
        }

        @Test func aDirectoryOfAnotherVersionOrDamagedIsRefusedAndNotTouched() async throws {
            let scratch = try Scratch()
            let directory = scratch("data")
            _ = try HoldfastNode.format(directory: directory, id: 1, cluster: "c", members: [1: "127.0.0.1:1"])
            let path = "\(directory)/identity"
            let good = try #require(FileManager.default.contents(atPath: path))
            var bad = good
            bad[bad.count / 2] ^= 1
            try bad.write(to: URL(fileURLWithPath: path))
            let before = try contents(directory)
            let damaged = await refusal { try await start(NodeConfiguration(.member(directory: directory))) }
            #expect([.corrupted, .incompatible].contains(damaged?.code))
            #expect(try contents(directory) == before)

            let later = SealedText(kind: NodeIdentity.kind, version: 99, fields: [("cluster", "c")])
            try Data(later.bytes).write(to: URL(fileURLWithPath: path))
            let version = await refusal { try await start(NodeConfiguration(.member(directory: directory))) }
            #expect([.incompatible, .corrupted].contains(version?.code))

            try good.write(to: URL(fileURLWithPath: path))
            var configuration = NodeConfiguration(.member(directory: directory))
            configuration.listen = "127.0.0.1:0"
            try await start(configuration)
        }

        @Test func formatRefusesWhatCannotWork() async throws {
            let scratch = try Scratch()
            for members: [UInt64: String] in [
                [:], [2: "127.0.0.1:1"], [1: "nonsense"], [1: "a:1", 2: "a:1"], [0: "a:1", 1: "b:1"],
            ] {
                let error = await refusal {
                    _ = try HoldfastNode.format(directory: scratch("data"), id: 1, cluster: "c", members: members)
                }
                #expect(error?.code == .invalidArgument, "\(members)")
                #expect(!FileManager.default.fileExists(atPath: scratch("data")))
            }
            let name = await refusal {
                _ = try HoldfastNode.format(directory: scratch("data"), id: 1, cluster: "", members: [1: "a:1"])
            }
            #expect(name?.code == .invalidArgument)
            let first = try HoldfastNode.format(
                directory: scratch("a"), id: 1, cluster: "c", members: [1: "a:1", 2: "b:1"])
            let second = try HoldfastNode.format(
                directory: scratch("b"), id: 2, cluster: "c", members: [1: "a:1", 2: "b:1"])
            let other = try HoldfastNode.format(
                directory: scratch("c"), id: 2, cluster: "c", members: [1: "a:1", 2: "b:1"], token: "t")
            #expect(first == second)
            #expect(first.count == 64)
            #expect(first != other)
            let again = await refusal {
                _ = try HoldfastNode.format(directory: scratch("a"), id: 1, cluster: "c", members: [1: "a:1"])
            }
            #expect(again?.code == .alreadyExists)
        }

        @Test func aDirectoryOrPortInUseIsRefused() async throws {
            try await withCluster(1) { cluster in
                let locked = await refusal {
                    try await start(NodeConfiguration(.member(directory: cluster.directory(1))))
                }
                #expect(locked?.code == .unavailable)
                #expect(locked?.message.contains("in use") == true)

                let directory = cluster.scratch("second")
                let endpoint = try #require(cluster.members[1])
                _ = try HoldfastNode.format(directory: directory, id: 1, cluster: "second", members: [1: endpoint])
                let port = await refusal { try await start(NodeConfiguration(.member(directory: directory))) }
                #expect(port?.code == .unavailable)
                #expect(port?.message.contains(endpoint) == true)
                // The failed start let everything go.
                var elsewhere = NodeConfiguration(.member(directory: directory))
                elsewhere.listen = "127.0.0.1:0"
                try await start(elsewhere)
                try await cluster.store(1).put("k", "v")
            }
        }

        @Test func beyondLoopbackNeedsThePermission() async throws {
            let scratch = try Scratch()
            let directory = scratch("data")
            _ = try HoldfastNode.format(directory: directory, id: 1, cluster: "c", members: [1: "127.0.0.1:1"])
            var configuration = NodeConfiguration(.member(directory: directory))
            configuration.listen = "0.0.0.0:0"
            let error = await refusal { try await start(configuration) }
            #expect(error?.code == .permissionDenied)
            #expect(error?.message.contains("--allow-plaintext") == true)
            configuration.listen = "nonsense"
            let nonsense = await refusal { try await start(configuration) }
            #expect(nonsense?.code == .invalidArgument)
            configuration.listen = "127.0.0.1:0"
            try await start(configuration)
        }

        @Test func settingsThatCannotWorkAreRefused() async throws {
            for change: @Sendable (inout NodeConfiguration) -> Void in [
                { $0.heartbeatMilliseconds = 0 }, { $0.electionMilliseconds = 99 }, { $0.timeoutMilliseconds = 0 },
                { $0.rowCacheBytes = -1 },
            ] {
                let scratch = try Scratch()
                var configuration = NodeConfiguration(.local(directory: scratch("data")))
                change(&configuration)
                let error = await refusal { try await start(configuration) }
                #expect(error?.code == .invalidArgument)
            }
        }
    }
}

extension TestCluster {
    /// Waits until these members have the same revision.
    func agreeAmong(_ ids: [UInt64]) async throws {
        try await eventually("members \(ids) agree") {
            var hashes: Set<String> = []
            for id in ids {
                hashes.insert(try await self.store(id).status().nodes.first { $0.id == id }?.feedHash ?? "")
            }
            return hashes.count == 1
        }
    }
}

/// Says hello to a member and returns the refusal; nil if it was let in.
func refusedHello(_ hello: Hello, at endpoint: String) async throws -> RefusalCode? {
    let group = MultiThreadedEventLoopGroup(numberOfThreads: 1)
    var code: RefusalCode?
    do {
        let channel = try await RequestChannel.dial(
            try #require(Endpoint(endpoint)), hello: hello, on: group.next(),
            settings: TransportSettings(logger: quiet), deadline: .seconds(5))
        channel.close()
    } catch TransportError.refused(let reason, let sentence) {
        code = reason
        #expect(sentence.count > 20, "a refusal says what is wrong and what to do")
    }
    try await group.shutdownGracefully()
    return code
}
