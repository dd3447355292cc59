import Foundation
import NIOCore
import Testing

@testable import Holdfast

extension ClusterTests {
    @Suite struct LocalNodes {
        private func open(_ directory: String) async throws -> HoldfastNode {
            var configuration = NodeConfiguration(.local(directory: directory))
            configuration.timeoutMilliseconds = 10_000
            let node = try HoldfastNode(configuration, logger: quiet)
            try await node.start()
            return node
        }

        @Test func aDirectoryIsAllThatItNeeds() async throws {
            let scratch = try Scratch()
            let directory = scratch("a/b/store")
            let source = try scratch.model("m", seed: 31)
            var node = try await open(directory)
            #expect(node.id == 1)
            #expect(node.endpoint == nil)
            let first = try await node.store.put("k", "1")
            let pushed = try await node.store.push(source, as: "m")
            #expect(pushed.model.version == "1")
            let hash = try await node.store.status().nodes[0].feedHash
            await node.stop()

            node = try await open(directory)
            let store = node.store
            #expect(try await store.text("k") == "1")
            let status = try await store.status()
            #expect(status.nodes.count == 1)
            #expect(status.nodes[0].role == .leader)
            #expect(status.nodes[0].feedHash == hash)
            let watcher = Watcher(store.watch(.prefix(""), from: 1))
            try await store.put("k", "2")
            try await eventually("both changes are seen") { watcher.changes.count == 2 }
            #expect(watcher.revisions[0] == first.revision)
            let model = try await store.model(ModelReference(parsing: "m"))
            #expect(model.tensors.count == 6)
            let tensor = try await model.tensor("t1")
            #expect(tensor.isMapped, "a raw chunk of this process' own directory is used without a copy")
            #expect(tensor.withBytes { $0.count } == 400_000)
            #expect(try await model.data(of: "sub/config.json") == Array("{\"seed\":31}".utf8))
            _ = try await store.pull(ModelReference(parsing: "m"), into: scratch("out"))
            try expectSameFiles(source, scratch("out"))
            #expect(try await store.push(source, as: "m", options: PushOptions(version: "1")).newBytes == 0)
            try await store.retire(ModelReference(parsing: "m@1"))
            await node.stop()
            // A tensor keeps its bytes, whatever becomes of the node.
            #expect(tensor.withBytes { $0.count } == 400_000)
        }

        @Test func aSecondOpeningIsRefusedAndTheFirstGoesOn() async throws {
            let scratch = try Scratch()
            let node = try await open(scratch("store"))
            try await node.store.put("k", "v")
            let second = await refusal { _ = try await open(scratch("store")) }
            #expect(second?.code == .unavailable)
            #expect(second?.message.contains("in use") == true)
            #expect(try await node.store.text("k") == "v")
            let twice = await refusal { try await node.start() }
            #expect(twice?.code == .invalidArgument)
            await node.stop()
            await node.stop()
            let third = try await open(scratch("store"))
            #expect(try await third.store.text("k") == "v")
            await third.stop()
        }

        @Test func aNodeThatRunsAsAServiceEndsWithItsTask() async throws {
            let scratch = try Scratch()
            let node = try HoldfastNode(NodeConfiguration(.local(directory: scratch("store"))), logger: quiet)
            let service = Task { try await node.run() }
            service.cancel()
            try await service.value
            // It has let go of its directory.
            let again = try await open(scratch("store"))
            await again.stop()
        }

        @Test func startingAndStoppingAtOnceIsHarmless() async throws {
            let scratch = try Scratch()
            for _ in 0..<5 { await (try await open(scratch("store"))).stop() }
        }
    }
}
