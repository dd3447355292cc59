import Foundation
import NIOCore
import ReplicaCore
import Testing
import Transport

@testable import Holdfast
@testable import Storage

extension ClusterTests {
    @Suite struct Features {
        /// A cluster whose node 3 takes part in the first feature version only, as a node of the first release does.
        private func withOldNode(_ body: (TestCluster, Shared<Set<UInt64>>) async throws -> Void) async throws {
            let old = Shared<Set<UInt64>>([3])
            let cluster = try TestCluster(3) { configuration in
                guard case .member(let directory) = configuration.kind, directory.hasSuffix("node-3") else { return }
                configuration.featureVersionMax = old.withLock { $0.contains(3) } ? 1 : nil
            }
            do {
                try await cluster.start()
                try await body(cluster, old)
            } catch {
                await cluster.stop()
                throw error
            }
            await cluster.stop()
        }

        /// What a cluster of this build alone rises to.
        private var known: UInt32 { FeatureVersion.known }

        private func featureVersion(_ cluster: TestCluster, _ id: UInt64) async throws -> UInt32 {
            try await cluster.store(id).status().featureVersion
        }

        @Test func `the feature version rises once every member knows it, and every directory is sealed first`()
            async throws
        {
            try await withOldNode { cluster, old in
                let client = try await cluster.client()
                try await client.put("before", "1")
                try await cluster.agree()
                try await eventually("every version is known") {
                    try await client.status().nodes.map(\.featureVersion) == [known, known, 1]
                }
                // Every node leads once, and so looks once whether the version can rise.
                for id in cluster.ids {
                    try await client.transferLeadership(to: id)
                    try await client.put("lead", "\(id)")
                }
                try await cluster.agree()
                for id in cluster.ids {
                    #expect(try await featureVersion(cluster, id) == 1)
                    #expect(try DataDirectory.readIdentity(DataLayout(cluster.directory(id))).version == 1)
                }
                let status = try await client.status()
                #expect(status.nodes.allSatisfy { $0.protocolVersion == TransportLimits.protocolVersionMax })

                try await cluster.stop(3)
                old.withLock { $0 = [] }
                try await cluster.start(3)
                try await eventually("the feature version rises") {
                    var all: [UInt32] = []
                    for id in cluster.ids { all.append(try await self.featureVersion(cluster, id)) }
                    return all == [known, known, known]
                }
                for id in cluster.ids {
                    #expect(try DataDirectory.readIdentity(DataLayout(cluster.directory(id))).version == Int(known))
                }
                try await client.put("after", "2")
                try await cluster.agree()
            }
        }

        @Test func `a node that knows less refuses to start before it touches anything`() async throws {
            try await withOldNode { cluster, old in
                try await cluster.stop(3)
                old.withLock { $0 = [] }
                try await cluster.start(3)
                try await eventually("the feature version rises") {
                    try await self.featureVersion(cluster, 3) == known
                }
                try await cluster.stop(3)
                old.withLock { $0 = [3] }
                let before = try Self.tree(cluster.directory(3))
                let node = try cluster.make(3)
                let error = await refusal { try await node.start() }
                #expect(error?.code == .incompatible)
                #expect(error?.message.contains("featureVersionMax") == true)
                #expect(try Self.tree(cluster.directory(3)) == before)
                // The build of the first release: it reads version 1 alone.
                let text = try SealedTextBytes.read(DataLayout(cluster.directory(3)).identity)
                #expect(throws: SealedText.Fault.version(Int(known))) {
                    try SealedText(text, kind: "identity", version: 1)
                }
                old.withLock { $0 = [] }
                try await cluster.start(3)
                try await cluster.agree()
            }
        }

        @Test func `a member of an older build is refused once the cluster has gone on`() async throws {
            try await withCluster { cluster in
                let endpoint = try #require(cluster.members[1])
                try await eventually("the feature version rises") { try await self.featureVersion(cluster, 1) == known }
                let (identity, _) = try DataDirectory.readIdentity(DataLayout(cluster.directory(2)))
                for (version, code) in [(FeatureVersion.known, RefusalCode?.none), (1, .featureVersion)] {
                    let peer = PeerIdentity(
                        role: .member, cluster: identity.cluster, bootstrap: identity.bootstrap.bytes, nodeID: 2,
                        incarnation: identity.incarnation.bytes, featureVersion: version)
                    for purpose in Purpose.allCases {
                        let hello = Hello(purpose: purpose, target: 1, identity: peer)
                        #expect(try await refusedHello(hello, at: endpoint) == code, "\(purpose) at \(version)")
                    }
                }
                let old = Hello(purpose: .request, identity: PeerIdentity(role: .client, featureVersion: 1))
                #expect(try await refusedHello(old, at: endpoint) == nil, "clients of every release are served")
            }
        }

        @Test func `a restart keeps the version, and nobody outside the cluster can raise it`() async throws {
            try await withCluster { cluster in
                try await eventually("the feature version rises") { try await self.featureVersion(cluster, 1) == known }
                try await cluster.agree()
                for id in cluster.ids {
                    try await cluster.stop(id)
                    try await cluster.start(id)
                    try await eventually("node \(id) is back") { try await self.featureVersion(cluster, id) == known }
                }
                let node = try HoldfastNode(
                    NodeConfiguration(.client(endpoints: cluster.members.values.sorted())), logger: quiet)
                try await node.start()
                let raise = await refusal {
                    _ = try await node.store.router.proposeUnnumbered(
                        .raiseFeatures(to: 9), deadline: .now() + .seconds(5))
                }
                #expect(raise?.code == .permissionDenied)
                let seal = await refusal {
                    _ = try await node.store.router.send(
                        .sealFeatures, ByteBuffer(integer: UInt32(2), endianness: .little), to: .any,
                        deadline: .now() + .seconds(5))
                }
                #expect(seal?.code == .permissionDenied)
                await node.stop()
            }
        }

        /// Every file with its bytes and times.
        private static func tree(_ path: String) throws -> [String: String] {
            var files: [String: String] = [:]
            for name in try FileManager.default.subpathsOfDirectory(atPath: path) {
                let attributes = try FileManager.default.attributesOfItem(atPath: "\(path)/\(name)")
                let bytes = FileManager.default.contents(atPath: "\(path)/\(name)")?.hashValue ?? 0
                files[name] = "\(attributes[.modificationDate] ?? "") \(attributes[.systemFileNumber] ?? "") \(bytes)"
            }
            return files
        }
    }
}

enum SealedTextBytes {
    static func read(_ path: String) throws -> [UInt8] { Array(try Data(contentsOf: URL(fileURLWithPath: path))) }
}
