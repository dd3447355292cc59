import Foundation
import NIOCore
import ReplicaCore
import Testing

@testable import Holdfast

extension Scratch {
    /// Writes a model of `tensors` U8 tensors of `bytes` seeded bytes each, and a small file beside it; returns its directory.
    func model(_ name: String, seed: UInt64, tensors: Int = 6, bytes: Int = 400_000) throws -> String {
        var random = SeededRandom(seed: seed)
        var entries: [String] = []
        var data = Data()
        for tensor in 0..<tensors {
            entries.append(
                "\"t\(tensor)\":{\"dtype\":\"U8\",\"shape\":[\(bytes)],\"data_offsets\":[\(data.count),\(data.count + bytes)]}"
            )
            var words = [UInt64](repeating: 0, count: bytes / 8 + 1)
            for place in words.indices { words[place] = random.next() }
            words.withUnsafeBytes { data.append(contentsOf: $0.prefix(bytes)) }
        }
        let header = Array("{\(entries.joined(separator: ","))}".utf8)
        var file = Data()
        withUnsafeBytes(of: UInt64(header.count).littleEndian) { file.append(contentsOf: $0) }
        file.append(contentsOf: header)
        file.append(data)
        let directory = self(name)
        try FileManager.default.createDirectory(atPath: directory + "/sub", withIntermediateDirectories: true)
        try file.write(to: URL(fileURLWithPath: directory + "/model.safetensors"))
        try Data("{\"seed\":\(seed)}".utf8).write(to: URL(fileURLWithPath: directory + "/sub/config.json"))
        return directory
    }
}

/// Expects that two directories hold the same files with the same bytes.
func expectSameFiles(_ left: String, _ right: String, sourceLocation: SourceLocation = #_sourceLocation) throws {
    func files(_ directory: String) throws -> [String: Data] {
        var files: [String: Data] = [:]
        for path in try FileManager.default.subpathsOfDirectory(atPath: directory) {
            var isDirectory: ObjCBool = false
            let full = "\(directory)/\(path)"
            guard FileManager.default.fileExists(atPath: full, isDirectory: &isDirectory), !isDirectory.boolValue else {
                continue
            }
            files[path] = try Data(contentsOf: URL(fileURLWithPath: full))
        }
        return files
    }
    let (first, second) = (try files(left), try files(right))
    #expect(first.keys.sorted() == second.keys.sorted(), sourceLocation: sourceLocation)
    #expect(!first.isEmpty && first == second, "the bytes differ", sourceLocation: sourceLocation)
}

extension TestCluster {
    /// Waits until every running member has every published byte.
    func waitComplete() async throws {
        try await eventually("every member is complete") {
            let statuses = try await self.statuses()
            let revision = statuses.map(\.revision).max()
            return statuses.allSatisfy { $0.complete && $0.completeRevision == revision && $0.missingBytes == 0 }
        }
    }

    /// The chunk files that lie at a member.
    func chunkFiles(_ id: UInt64) throws -> Int {
        let root = "\(directory(id))/chunks"
        return try FileManager.default.subpathsOfDirectory(atPath: root)
            .filter { $0.split(separator: "/").last.map { $0.utf8.count >= 62 } ?? false }.count
    }
}

extension ClusterTests {
    @Suite struct Models {
        @Test func aModelPushedThroughAFollowerComesOutOfEveryNode() async throws {
            try await withCluster { cluster in
                let source = try cluster.scratch.model("m", seed: 1)
                let follower = try await cluster.follower()
                let client = try await cluster.client([follower])
                let pushed = try await client.push(source, as: "org/m")
                #expect(pushed.model.version == "1")
                #expect(pushed.newBytes > 2_400_000)
                try await cluster.waitComplete()
                for id in cluster.ids {
                    for (kind, store) in [
                        ("remote", try await cluster.client([id])), ("embedded", try cluster.store(id)),
                    ] {
                        let target = cluster.scratch("pull-\(id)-\(kind)")
                        let pulled = try await store.pull(ModelReference(parsing: "org/m"), into: target)
                        #expect(pulled.model == pushed.model)
                        try expectSameFiles(source, target)
                    }
                }
                _ = try await client.verify(ModelReference(parsing: "org/m@1"))
                let embedded = try await cluster.store(1).model(ModelReference(parsing: "org/m"))
                let tensor = try await embedded.tensor("t3")
                let remote = try await client.model(ModelReference(parsing: "org/m")).tensor("t3")
                #expect(tensor.withBytes { Array($0) } == remote.withBytes { Array($0) })
                #expect(tensor.withBytes { $0.count } == 400_000)
                let unknown = await refusal { _ = try await embedded.tensor("none") }
                #expect(unknown?.code == .notFound)
            }
        }

        @Test func theSameAgainIsTheSameVersionAndOtherContentIsRefused() async throws {
            try await withCluster { cluster in
                let client = try await cluster.client()
                let first = try cluster.scratch.model("a", seed: 2, tensors: 2)
                let second = try cluster.scratch.model("b", seed: 3, tensors: 2)
                let pushed = try await client.push(first, as: "m", options: PushOptions(version: "v1"))
                for store in [client, try cluster.store(try await cluster.follower())] {
                    try await cluster.waitComplete()
                    let again = try await store.push(first, as: "m", options: PushOptions(version: "v1"))
                    #expect(again.model == pushed.model)
                    #expect(again.newBytes == 0)
                    let other = await refusal {
                        _ = try await store.push(second, as: "m", options: PushOptions(version: "v1"))
                    }
                    #expect(other?.code == .alreadyExists)
                }
                let numbered = try await client.push(second, as: "m")
                #expect(numbered.model.version == "1")
                #expect(try await client.push(first, as: "m").model.version == "2")
                #expect(try await client.models(named: "m").count == 3)
                #expect(try await client.models().count == 3)
                #expect(try await client.models(named: "none").isEmpty)
                let missing = await refusal { _ = try await client.model(ModelReference(parsing: "none")) }
                #expect(missing?.code == .notFound)
                let name = await refusal { _ = try await client.push(first, as: "no such/na me") }
                #expect(name?.code == .invalidArgument)
            }
        }

        @Test func aPushWhoseNodeStopsIsFinishedByAnother() async throws {
            try await withCluster { cluster in
                // First the leader takes the bytes, then a follower does.
                for takerLeads in [true, false] {
                    // A push that was over before its node stopped proves nothing: again, slower.
                    var rate: UInt64 = 8_000_000
                    while try await !interrupt(cluster, takerLeads: takerLeads, rate: rate) {
                        rate /= 2
                        try #require(rate > 500_000, "every push was over before its node stopped")
                    }
                }
            }
        }

        /// Stops the node that takes the bytes of a push; false if the push was over by then.
        private func interrupt(
            _ cluster: TestCluster, takerLeads: Bool, rate: UInt64
        ) async throws -> Bool {
            let name = "m-\(takerLeads)-\(rate)"
            // Bytes of its own: those of a push before would be there already.
            let source = try cluster.scratch.model(
                name, seed: rate + (takerLeads ? 1 : 2), tensors: 8, bytes: 2_200_000)
            let leader = try await cluster.leader()
            let taker = takerLeads ? leader : try await cluster.follower()
            let rest = cluster.ids.filter { $0 != taker }
            let client = try await cluster.client([taker] + rest)
            let done = Shared<UInt64>(0)
            let push = Task {
                try await client.push(
                    source, as: name, options: PushOptions(rateLimitBytesPerSecond: rate),
                    progress: { progress in done.withLock { $0 = progress.doneBytes } })
            }
            try await eventually("a part is there") { done.withLock { $0 } > 2_000_000 }
            let wasUnderWay = done.withLock { $0 } < 15_000_000
            try await cluster.stop(taker)
            let pushed = try await push.value
            let target = cluster.scratch("pull-\(name)")
            let reader = try await cluster.client(rest)
            _ = try await reader.pull(ModelReference(name: name), into: target)
            try expectSameFiles(source, target)
            try await cluster.start(taker)
            try await cluster.waitComplete()
            _ = try await cluster.client([taker]).verify(ModelReference(name: name, version: pushed.model.version))
            return wasUnderWay
        }

        @Test func anInterruptedPushIsResumedByAnotherClientElsewhere() async throws {
            try await withCluster { cluster in
                let source = try cluster.scratch.model("m", seed: 5, tensors: 10, bytes: 600_000)
                let first = try await cluster.client([1])
                let done = Shared<UInt64>(0)
                let upload = Shared("")
                let push = Task {
                    try await first.push(
                        source, as: "m", options: PushOptions(rateLimitBytesPerSecond: 6_000_000),
                        progress: { progress in done.withLock { $0 = progress.doneBytes } },
                        began: { id in upload.withLock { $0 = id } })
                }
                try await eventually("a part is there") { done.withLock { $0 } > 3_000_000 }
                push.cancel()
                let interrupted = await refusal { _ = try await push.value }
                let id = upload.withLock { $0 }
                #expect(interrupted?.details["upload"] == id)
                #expect(try await first.models().isEmpty, "nothing is visible before it is whole")
                let open = try await first.uploads()
                #expect(open.map(\.upload) == [id])
                #expect(open.first?.name == "m")
                let second = try await cluster.client([2])
                try await eventually("what arrived at the first node is relayed to the other one") {
                    let there = try cluster.chunkFiles(1)
                    return try there > 0 && cluster.chunkFiles(2) >= there
                }
                let result = try await second.push(source, as: "m", options: PushOptions(upload: id))
                #expect(result.upload == id)
                #expect(result.newBytes < 6_000_000, "nothing was saved by resuming")
                #expect(try await second.uploads().isEmpty)
                try await cluster.waitComplete()
                let target = cluster.scratch("pull")
                _ = try await cluster.client([3]).pull(ModelReference(name: "m"), into: target)
                try expectSameFiles(source, target)
            }
        }

        @Test func aRetiredVersionIsNotFoundByNameAndItsBytesGo() async throws {
            try await withCluster(configure: { $0.sweepMilliseconds = 100 }) { cluster in
                let client = try await cluster.client()
                let first = try cluster.scratch.model("a", seed: 6, tensors: 2)
                let second = try cluster.scratch.model("b", seed: 7, tensors: 2)
                _ = try await client.push(first, as: "m")
                _ = try await client.push(second, as: "m")
                try await cluster.waitComplete()
                let held = try cluster.ids.map { try cluster.chunkFiles($0) }
                #expect(Set(held).count == 1 && held[0] > 0)
                try await client.retire(ModelReference(parsing: "m@2"))
                #expect(try await client.model(ModelReference(name: "m")).version.version == "1")
                let listed = try await client.models(named: "m")
                #expect(listed.map(\.retired) == [false, true] || listed.map(\.retired) == [true, false])
                let nameless = await refusal { try await client.retire(ModelReference(name: "m")) }
                #expect(nameless?.code == .invalidArgument)
                let unknown = await refusal { try await client.retire(ModelReference(parsing: "m@9")) }
                #expect(unknown?.code == .notFound)
                // Once no revision names it any more its chunks go.
                let revision = try await client.put("k", "v").revision
                try await client.compact(through: revision)
                try await eventually("the retired chunks are swept everywhere") {
                    try cluster.ids.allSatisfy { try cluster.chunkFiles($0) < held[0] }
                }
                let target = cluster.scratch("pull")
                _ = try await client.pull(ModelReference(name: "m"), into: target)
                try expectSameFiles(first, target)
            }
        }

        @Test func anAbortedAndAnAbandonedUploadLeaveNothing() async throws {
            try await withCluster(
                configure: {
                    $0.sweepMilliseconds = 100
                    $0.uploadIdleMilliseconds = 1_500
                }
            ) { cluster in
                let client = try await cluster.client()
                let plane = RoutedUploads(store: client)
                var uploads: [UploadID] = []
                for seed in [8, 9] as [UInt64] {
                    let material = Material(seed: seed, count: 3)
                    try await plane.begin(material.upload, name: "m", version: nil)
                    try await plane.add(material.upload, firstOrdinal: 0, ids: material.ids)
                    for ordinal in 0..<3 {
                        try await plane.send(
                            material.upload, ordinal: ordinal, id: material.ids[ordinal],
                            bytes: material.chunks[ordinal])
                    }
                    uploads.append(material.upload)
                    if seed == 8 {
                        #expect(try await client.uploads().map(\.chunks) == [3])
                        try await client.abortUpload(material.upload.hex)
                        #expect(try await client.uploads().isEmpty)
                    }
                }
                try await eventually("the abandoned upload expires") { try await client.uploads().isEmpty }
                try await eventually("its chunks are swept everywhere") {
                    try cluster.ids.allSatisfy { try cluster.chunkFiles($0) == 0 }
                }
                for upload in uploads {
                    let late = await refusal {
                        try await plane.add(upload, firstOrdinal: 3, ids: Material(seed: 10, count: 1).ids)
                    }
                    #expect(late?.code == .notFound)
                }
                let malformed = await refusal { try await client.abortUpload("nonsense") }
                #expect(malformed?.code == .invalidArgument)
                let unknown = await refusal { try await client.abortUpload(String(repeating: "ab", count: 16)) }
                #expect(unknown?.code == .notFound)
            }
        }

        @Test func aChunkThatIsNotWhatItsNameSaysIsRefused() async throws {
            try await withCluster { cluster in
                for (seed, store) in [(11, try await cluster.client()), (12, try cluster.store(1))] as [(UInt64, Store)]
                {
                    let plane = RoutedUploads(store: store)
                    let material = Material(seed: seed, count: 3)
                    try await plane.begin(material.upload, name: "m", version: nil)
                    try await plane.add(material.upload, firstOrdinal: 0, ids: material.ids)
                    let wrong = await refusal {
                        try await plane.send(
                            material.upload, ordinal: 0, id: material.ids[0], bytes: material.chunks[1])
                    }
                    #expect([.corrupted, .invalidArgument].contains(wrong?.code))
                    let unnamed = await refusal {
                        let other = Material(seed: 99, count: 1)
                        try await plane.send(material.upload, ordinal: 0, id: other.ids[0], bytes: other.chunks[0])
                    }
                    #expect(unnamed != nil)
                    #expect(try await plane.have(material.upload, firstOrdinal: 0, count: 3) == [false, false, false])
                    let incomplete = await refusal {
                        _ = try await RoutedUploads(store: store.withTimeout(milliseconds: 2_000)).publish(
                            material.upload, name: "m", version: nil, root: material.root, totals: material.totals)
                    }
                    #expect(incomplete != nil)
                    #expect(try await store.models().isEmpty)
                }
            }
        }
    }
}
