import NIOCore
import ReplicaCore
import Storage
import Testing

@testable import Holdfast

@Suite(.serialized) struct ChunkRelayTests {
    @Test func theOtherMembersGetTheChunksWhileThePushGoesOn() async throws {
        let cluster = try ChunkCluster()
        let material = Material(seed: 1, count: 12)
        try await cluster.begin(material)
        try await cluster.send(material, 0..<8, to: 2)
        // The push has stopped at two thirds: what was sent must come through all the same.
        try await eventually("nodes 1 and 3 hold what node 2 took") {
            try cluster.count(material, at: 1) == 8 && cluster.count(material, at: 3) == 8
        }
        try await cluster.send(material, 8..<12, to: 2)
        let model = try await cluster.publish(material)
        #expect(model.version == "1" && model.record.root == material.root)
        try await eventually("every node is complete and the cluster knows it") {
            try cluster.nodes.allSatisfy { node in
                let replica = try cluster.replica(node)
                return replica.isComplete && replica.completeness(of: node) == model.publishedRevision
            }
        }
        #expect(try cluster.chunks(1).figures.acceptedChunks == 0)
        #expect(try cluster.chunks(1).figures.fetchedChunks == 12)
        #expect(try cluster.chunks(2).figures.acceptedChunks == 12)
        #expect(try cluster.chunks(2).figures.fetchedChunks == 0)
        await cluster.stop()
    }

    @Test func announcementsOfChunksThatAreNotNamedHereYetWaitForTheRows() async throws {
        var options = ChunkCluster.quietOptions
        options.announcementMilliseconds = 60_000
        let cluster = try ChunkCluster(options: options)
        let material = Material(seed: 2, count: 4)
        cluster.state.withLock { _ = $0.held.insert(3) }
        try await cluster.begin(material)
        try await cluster.send(material, 0..<4, to: 1)
        try await eventually("node 2 holds all") { try cluster.count(material, at: 2) == 4 }
        #expect(try cluster.count(material, at: 3) == 0)
        try cluster.release(3)
        try await eventually("node 3 holds all") { try cluster.count(material, at: 3) == 4 }
        await cluster.stop()
    }

    @Test func anInterruptedUploadResumesOnAnotherNode() async throws {
        let cluster = try ChunkCluster()
        let material = Material(seed: 3, count: 10)
        try await cluster.begin(material)
        try await cluster.send(material, 0..<6, to: 1)
        try await eventually("node 2 holds the first part") { try cluster.count(material, at: 2) == 6 }
        cluster.cut(1)
        cluster.state.withLock { $0.leader = 2 }
        let request = ChunkRequest.have(material.upload, first: 0, count: 10, appliedAtLeast: 1)
        guard case .bitmap(let have) = try await cluster.chunks(2).answer(request) else {
            Issue.record("no bitmap")
            return
        }
        #expect(have.bools == (0..<10).map { $0 < 6 })
        try await cluster.send(material, (0..<10).filter { !have[$0] }, to: 2)
        let model = try await cluster.publish(material)
        #expect(model.record.chunks == 10)
        #expect(try cluster.count(material, at: 2) == 10 && cluster.count(material, at: 3) == 10)
        await cluster.stop()
    }

    @Test func whatANodeHasIsReadFromItsDiskAfterARestart() async throws {
        let cluster = try ChunkCluster(nodes: [1])
        let material = Material(seed: 4, count: 6)
        try await cluster.begin(material)
        try await cluster.send(material, [0, 2, 5], to: 1)
        try await cluster.restart(1)
        let answer = try await cluster.chunks(1).answer(
            .have(material.upload, first: 1, count: 9, appliedAtLeast: 0))
        guard case .bitmap(let have) = answer else {
            Issue.record("no bitmap: \(answer)")
            return
        }
        #expect(have.bools == [false, true, false, false, true, false, false, false, false])
        let receipt = try await cluster.chunks(1).answer(.receipt(material.upload, appliedAtLeast: 0))
        #expect(
            receipt
                == .receipt(UploadReceipt(node: 1, incarnation: Incarnation(1, 77), named: 6, missing: 3)))
        await cluster.stop()
    }

    @Test func onlyChunksThatAnOpenUploadNamesAreTaken() async throws {
        let cluster = try ChunkCluster(nodes: [1])
        let material = Material(seed: 5, count: 3)
        try await cluster.begin(material)
        let chunks = try cluster.chunks(1)
        let wrongBytes = await failure {
            try await chunks.accept(
                upload: material.upload, ordinal: 0, id: material.ids[0], bytes: material.chunks[1])
        }
        #expect(wrongBytes?.code == .invalidArgument)
        let wrongPlace = await failure {
            try await chunks.accept(
                upload: material.upload, ordinal: 1, id: material.ids[0], bytes: material.chunks[0])
        }
        #expect(wrongPlace?.code == .invalidArgument)
        let soon = NIODeadline.now() + .milliseconds(20)
        let unknownPlace = await failure {
            try await chunks.accept(
                upload: material.upload, ordinal: 3, id: material.ids[0], bytes: material.chunks[0], deadline: soon)
        }
        #expect(unknownPlace?.code == .notFound)
        let unknownUpload = await failure {
            try await chunks.accept(
                upload: UploadID(1, 1), ordinal: 0, id: material.ids[0], bytes: material.chunks[0], deadline: soon)
        }
        #expect(unknownUpload?.code == .notFound)
        let tooLong = await failure {
            try await chunks.accept(
                upload: material.upload, ordinal: 0, id: material.ids[0],
                bytes: ByteBuffer(repeating: 0, count: ChunkLimits.chunkBytesMax + 1))
        }
        #expect(tooLong?.code == .invalidArgument)
        #expect(try cluster.count(material, at: 1) == 0)
        #expect(chunks.figures.refusedHash == 1 && chunks.figures.refusedNotNamed == 3)

        try await cluster.propose(.uploadAbort(material.upload))
        guard case .refused(.notFound, _, _) = await chunks.answer(.receipt(material.upload, appliedAtLeast: 0)) else {
            Issue.record("a receipt for an upload that is not open")
            return
        }
        await cluster.stop()
    }

    @Test func aPeerThatSendsOtherBytesIsNotBelieved() async throws {
        let cluster = try ChunkCluster()
        let material = Material(seed: 6, count: 4)
        cluster.cut(3)
        try await cluster.begin(material)
        cluster.state.withLock { $0.spoilt[1] = [material.ids[2]] }
        try await cluster.send(material, 0..<4, to: 1)
        try await eventually("node 2 has refused the spoilt chunk") {
            try cluster.count(material, at: 2) == 3 && cluster.chunks(2).figures.mismatchedFetches > 0
        }
        cluster.state.withLock { $0.spoilt = [:] }
        // Node 1 was told to look at its copy, which is whole: the wire was at fault.
        _ = try await cluster.publish(material)
        #expect(try cluster.count(material, at: 2) == 4)
        #expect(try cluster.chunks(1).figures.quarantinedChunks == 0)
        await cluster.stop()
    }

    @Test func bytesHeldForClientsAreBounded() async throws {
        let cluster = try ChunkCluster(nodes: [1])
        let size = ChunkLimits.chunkBytesMax
        let base = Material(seed: 7, count: 1, bytes: size + 64 * 64).chunks[0]
        var material = Material(seed: 7, count: 0)
        // Slices of one buffer: the test itself holds one chunk's worth of memory.
        for place in 0..<40 {
            guard let slice = base.getSlice(at: place * 64, length: size) else { continue }
            material.chunks.append(slice)
            material.ids.append(slice.withUnsafeReadableBytes { SHA256.digest(of: $0) })
        }
        try await cluster.begin(material)
        let whole = material
        try await withThrowingTaskGroup(of: Void.self) { group in
            for place in whole.ids.indices { group.addTask { try await cluster.send(whole, [place], to: 1) } }
            try await group.waitForAll()
        }
        #expect(try cluster.count(material, at: 1) == 40)
        #expect(try cluster.chunks(1).keeper.peakAcceptBytes <= ChunkLimits.acceptBytesMax)
        #expect(try cluster.chunks(1).keeper.peakAcceptBytes >= size)
        await cluster.stop()
    }
}
