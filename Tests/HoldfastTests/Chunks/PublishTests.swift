import NIOCore
import ReplicaCore
import Storage
import Synchronization
import Testing

@testable import Holdfast

@Suite(.serialized) struct PublishTests {
    @Test func nothingIsPublishedWithoutAQuorumThatHoldsEveryByte() async throws {
        let cluster = try ChunkCluster()
        let material = Material(seed: 11, count: 5)
        cluster.cut(2, 3)
        try await cluster.begin(material)
        try await cluster.send(material, 0..<5, to: 1)
        let error = await failure { try await cluster.publish(material, seconds: 1) }
        #expect(error?.code == .unavailable)
        #expect(error?.message.contains("node 2") == true && error?.message.contains("node 3") == true)
        #expect(try cluster.replica(1).revision == 0)
        cluster.heal()
        let model = try await cluster.publish(material)
        #expect(model.publishedRevision == 1)
        let holders = try cluster.nodes.count { try cluster.count(material, at: $0) == 5 }
        #expect(holders >= 2)
        await cluster.stop()
    }

    @Test func nothingIsPublishedWhileAConfigurationChangeIsUnapplied() async throws {
        let cluster = try ChunkCluster()
        let material = Material(seed: 23, count: 3)
        try await cluster.begin(material)
        try await cluster.send(material, 0..<3, to: 1)
        try cluster.replica(1).set(changesMembers: true)
        let before = cluster.state.withLock { $0.log.count }
        let error = await failure { try await cluster.publish(material, seconds: 1) }
        #expect(error?.code == .unavailable)
        #expect(cluster.state.withLock { $0.log.count } == before)
        try cluster.replica(1).set(changesMembers: false)
        #expect(try await cluster.publish(material).publishedRevision == 1)
        await cluster.stop()
    }

    @Test func aLostMinorityDelaysNoPublish() async throws {
        let cluster = try ChunkCluster()
        let material = Material(seed: 12, count: 5)
        cluster.cut(3)
        try await cluster.begin(material)
        try await cluster.send(material, 0..<5, to: 1)
        let model = try await cluster.publish(material)
        #expect(model.record.root == material.root)
        #expect(try cluster.count(material, at: 3) == 0)
        try await eventually("node 3 says what it lacks") {
            let (through, missing) = try cluster.chunks(3).completeness
            return through < model.publishedRevision && missing > 0
        }
        cluster.heal()
        try await eventually("node 3 has caught up") { try cluster.replica(3).isComplete }
        #expect(try cluster.count(material, at: 3) == 5)
        await cluster.stop()
    }

    @Test func aNodeClaimsAPublishOnlyOnceItHasLookedForItsChunks() async throws {
        let cluster = try ChunkCluster()
        let material = Material(seed: 19, count: 2)
        cluster.cut(3)
        try await cluster.begin(material)
        try await cluster.send(material, 0..<2, to: 1)
        let third = try cluster.replica(3)
        try await eventually("node 3 has looked at what was there before") { third.isComplete }
        let claimed = Mutex<UInt64?>(nil)
        // The next rows that node 3 reads are those of its look after the publish.
        third.set(afterRead: { claimed.withLock { $0 = third.chunks.completeness.through } })
        let model = try await cluster.publish(material)
        try await eventually("node 3 looks") { claimed.withLock { $0 != nil } }
        #expect(try #require(claimed.withLock { $0 }) < model.publishedRevision)
        await cluster.stop()
    }

    @Test func chunksSpreadOverNodesAreGatheredForThePublish() async throws {
        let cluster = try ChunkCluster()
        let material = Material(seed: 13, count: 6)
        try await cluster.begin(material)
        // No announcement arrives: every node is alone while it takes its part.
        cluster.cut(1, 2, 3)
        try await cluster.send(material, 0..<2, to: 1)
        try await cluster.send(material, 2..<4, to: 2)
        try await cluster.send(material, 4..<6, to: 3)
        cluster.heal()
        _ = try await cluster.publish(material)
        try await eventually("every node is complete") {
            try cluster.nodes.allSatisfy { try cluster.replica($0).isComplete }
        }
        await cluster.stop()
    }

    @Test func aJointConfigurationNeedsAQuorumOfBothHalves() async throws {
        let cluster = try ChunkCluster(
            nodes: [1, 2, 3, 4, 5], members: Members(voters: [1, 2, 3], outgoingVoters: [1, 4, 5]))
        let material = Material(seed: 14, count: 3)
        cluster.cut(4, 5)
        try await cluster.begin(material)
        try await cluster.send(material, 0..<3, to: 1)
        #expect(await failure { try await cluster.publish(material, seconds: 1) }?.code == .unavailable)
        cluster.state.withLock { _ = $0.cut.remove(5) }
        _ = try await cluster.publish(material)
        #expect(try cluster.count(material, at: 5) == 3)
        await cluster.stop()
    }

    @Test func onlyTheLeaderPublishesAndOnlyAnUploadThatIsWhole() async throws {
        let cluster = try ChunkCluster()
        let material = Material(seed: 15, count: 3)
        try await cluster.begin(material)
        try await cluster.send(material, 0..<3, to: 1)
        let elsewhere = await failure {
            try await cluster.chunks(2).publish(
                material.upload, name: "m", version: nil, root: material.root, totals: material.totals,
                deadline: .now() + .seconds(5))
        }
        #expect(elsewhere?.code == .notLeader && elsewhere?.details["leader"] == "1")
        var short = material
        short.ids.removeLast()
        #expect(await failure { try await cluster.publish(short) }?.code == .preconditionFailed)
        var unknown = material
        unknown.upload = UploadID(5, 5)
        #expect(await failure { try await cluster.publish(unknown) }?.code == .notFound)
        // Published again, it is the same version: a client that lost the answer asks once more.
        let first = try await cluster.publish(material)
        #expect(try await cluster.publish(material) == first)
        await cluster.stop()
    }

    @Test func aNodeThatLostItsChunksFetchesThemAndBecomesCompleteAgain() async throws {
        let cluster = try ChunkCluster()
        let material = Material(seed: 16, count: 9)
        try await cluster.begin(material)
        try await cluster.send(material, 0..<9, to: 1)
        let model = try await cluster.publish(material)
        try await eventually("node 3 is complete") {
            try cluster.replica(1).completeness(of: 3) == model.publishedRevision
        }
        cluster.cut(3)
        try await cluster.restart(3, losingChunks: true)
        try await eventually("node 3 knows what it lacks") {
            let (through, missing) = try cluster.chunks(3).completeness
            return through < model.publishedRevision && missing > 0
        }
        cluster.heal()
        try await eventually("node 3 holds everything again") {
            try cluster.replica(3).isComplete && cluster.count(material, at: 3) == 9
        }
        try await eventually("the cluster knows it") {
            try cluster.replica(1).completeness(of: 3) == model.publishedRevision
        }
        await cluster.stop()
    }

    @Test func aRottenChunkIsQuarantinedAndFetchedAgain() async throws {
        let cluster = try ChunkCluster()
        let material = Material(seed: 17, count: 4)
        try await cluster.begin(material)
        try await cluster.send(material, 0..<4, to: 1)
        _ = try await cluster.publish(material)
        try await eventually("node 2 is complete") { try cluster.replica(2).isComplete }
        let path = try #require(try cluster.chunks(2).localFile(of: material.ids[1]))
        try spoil(path)
        #expect(try await cluster.chunks(2).verify(material.ids[1]))
        #expect(try cluster.chunks(2).figures.quarantinedChunks == 1)
        #expect(try await cluster.chunks(2).readChunk(material.ids[1]) == material.chunks[1])
        try await eventually("node 2 is complete again") { try cluster.replica(2).isComplete }

        // With nobody to fetch from it stays incomplete, and says so.
        cluster.cut(2)
        try spoil(try #require(try cluster.chunks(2).localFile(of: material.ids[2])))
        let error = await failure { try await cluster.chunks(2).verify(material.ids[2]) }
        #expect(error?.code == .unavailable)
        try await eventually("node 2 says that it is not complete") { try !cluster.replica(2).isComplete }
        await cluster.stop()
    }

    @Test func aMissingChunkIsReadFromAPeerUnlessItsModelWasRetired() async throws {
        let cluster = try ChunkCluster()
        let material = Material(seed: 18, count: 3)
        try await cluster.begin(material)
        try await cluster.send(material, 0..<3, to: 1)
        let model = try await cluster.publish(material)
        try await eventually("node 2 is complete") { try cluster.replica(2).isComplete }
        let store = try cluster.replica(2).store
        try store.remove(material.ids[0])
        #expect(try await cluster.chunks(2).readChunk(material.ids[0]) == material.chunks[0])
        #expect(try cluster.count(material, at: 2) == 3)

        try await cluster.propose(.retire(name: "m", version: "1"))
        let revision = model.publishedRevision + 1
        try await cluster.propose(.compact(revision: revision))
        for node in cluster.nodes { #expect(try await cluster.chunks(node).sweeper.sweep().chunks == 3) }
        let atPeer = await failure { try await cluster.chunks(1).chunk(material.ids[0]) }
        #expect(atPeer?.code == .notFound && atPeer?.details["retiredAt"] == String(revision))
        let read = await failure { try await cluster.chunks(2).readChunk(material.ids[0]) }
        #expect(read?.code == .notFound && read?.details["retiredAt"] == String(revision))
        #expect(try cluster.replica(2).isComplete)
        await cluster.stop()
    }
}
