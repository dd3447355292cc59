import Foundation
import Glibc
import ReplicaCore
import Synchronization
import Testing

@testable import Holdfast

@Suite struct PullTests {
    /// Pushes `files` into `plane`.
    private func published(_ files: [(String, [UInt8])], _ plane: MemoryPlane) async throws -> Holdfast.ModelVersion {
        let scratch = try Scratch()
        for (path, bytes) in files { try scratch.write(path, bytes) }
        return try await Pusher.push(scratch.path, as: "m", plane: plane).model
    }

    private func sample() -> [(String, [UInt8])] {
        var random = SeededRandom(state: 11)
        return [
            ("a/b/c.bin", random.bytes(9 << 20)), ("config.json", Array("{}".utf8)), ("empty", []),
            ("m.safetensors", safetensors([("x", random.bytes(5_000_000)), ("y", random.bytes(10))])),
        ]
    }

    private func expectFiles(_ files: [(String, [UInt8])], in scratch: Scratch) throws {
        for (path, bytes) in files { #expect(try scratch.read(path) == bytes, "\(path)") }
        let found = try FileManager.default.subpathsOfDirectory(atPath: scratch.path)
        #expect(found.filter { $0.contains("holdfast-partial") } == [])
    }

    @Test func `what was pushed comes out byte for byte`() async throws {
        let plane = MemoryPlane()
        let files = sample()
        let model = try await published(files, plane)
        let target = try Scratch()
        let seen = Mutex<[UInt64]>([])
        let result = try await Puller.pull(
            model, from: plane, into: target("deep/er"),
            progress: { step in seen.withLock { $0.append(step.doneBytes) } })
        let inner = files.map { ("deep/er/\($0.0)", $0.1) }
        try expectFiles(inner, in: target)
        #expect(result.files.map(\.sha256) == files.map { digest($0.1).hex })
        #expect(result.files.map(\.path) == files.map(\.0))
        let steps = seen.withLock { $0 }
        #expect(steps == steps.sorted() && steps.last == model.bytes)
    }

    @Test func `verify reads every byte and writes none`() async throws {
        let plane = MemoryPlane()
        let files = sample()
        let model = try await published(files, plane)
        let result = try await Puller.verify(model, from: plane)
        #expect(result.files.map(\.sha256) == files.map { digest($0.1).hex })
        let id = try #require(plane.state.withLock { state in state.chunks.keys.min { $0 < $1 } })
        plane.state.withLock { $0.chunks[id]?[0] ^= 1 }
        let error = await failure { () throws(HoldfastError) in try await Puller.verify(model, from: plane) }
        #expect(error?.code == .corrupted)
        #expect(error?.details["chunk"] == id.hex)
    }

    @Test func `verify finds a file whose stated hash is not that of its chunks`() async throws {
        let plane = MemoryPlane()
        let model = try await published([("a", [UInt8](repeating: 3, count: 5 << 20))], plane)
        var manifest = try await VerifiedChunks(plane).manifest(of: model)
        manifest.files[0].sha256 = digest([0])
        let lying = publish(manifest, plane)
        let error = await failure { () throws(HoldfastError) in try await Puller.verify(lying, from: plane) }
        #expect(error?.code == .corrupted && error?.message.contains("'a'") == true)
    }

    /// Puts a manifest made by hand among the chunks.
    private func publish(_ manifest: Manifest, _ plane: MemoryPlane) -> Holdfast.ModelVersion {
        let tail = ManifestChunks(manifest.encoded())
        plane.state.withLock { state in
            for part in tail.parts + [tail.root] { state.chunks[part.id] = Array(part.bytes.readableBytesView) }
        }
        return Holdfast.ModelVersion(
            name: "m", version: "9", root: tail.root.id.hex, revision: 1, bytes: manifest.totalBytes,
            files: manifest.files.count, chunks: 0, publishedMilliseconds: 0, retired: false)
    }

    @Test func `an existing file is refused without force, kept when equal, replaced with force`() async throws {
        let plane = MemoryPlane()
        let files = sample()
        let model = try await published(files, plane)
        let target = try Scratch()
        try target.write("config.json", Array("[]".utf8))
        let refused = await failure { () throws(HoldfastError) in
            try await Puller.pull(model, from: plane, into: target.path)
        }
        #expect(refused?.code == .alreadyExists && refused?.message.contains("config.json") == true)
        // Nothing was written before the refusal.
        #expect(try FileManager.default.contentsOfDirectory(atPath: target.path) == ["config.json"])
        #expect(try target.read("config.json") == Array("[]".utf8))
        _ = try await Puller.pull(model, from: plane, into: target.path, force: true)
        try expectFiles(files, in: target)
        let reads = plane.state.withLock { $0.reads }
        _ = try await Puller.pull(model, from: plane, into: target.path)
        // The root and the manifest's one part, and no chunk of a file.
        #expect(plane.state.withLock { $0.reads } == reads + 2)
    }

    @Test func `an interrupted pull resumes in another process with what its bytes prove`() async throws {
        let fails = Atomic(true)
        let limit = Atomic(0)
        let done = Atomic<UInt64>(0)
        let plane = MemoryPlane(onRead: { (_, _, bytes) throws(HoldfastError) in
            if fails.load(ordering: .relaxed), bytes.count == 4 << 20, limit.add(1, ordering: .relaxed).newValue > 6 {
                // The node dies when some chunks are in, so that there is something to go on from.
                while done.load(ordering: .relaxed) < 4 << 22 { await Task.yield() }
                throw HoldfastError(.unavailable, "the node is gone")
            }
            return bytes
        })
        var random = SeededRandom(state: 12)
        let files = [("big.bin", random.bytes(40 << 20)), ("last.bin", random.bytes(100))]
        let model = try await published(files, plane)
        let target = try Scratch()
        let error = await failure { () throws(HoldfastError) in
            try await Puller.pull(
                model, from: plane, into: target.path,
                progress: { step in done.store(step.doneBytes, ordering: .relaxed) })
        }
        #expect(error?.code == .unavailable)
        #expect(!target.exists("big.bin"))
        #expect(target.exists(".big.bin.holdfast-partial"))
        // A bit of what was there rots meanwhile, and is not believed.
        var partial = try target.read(".big.bin.holdfast-partial")
        let kept = (0..<10).filter {
            Array(partial[($0 << 22)..<($0 << 22) + 64]) == Array(files[0].1[($0 << 22)..<($0 << 22) + 64])
        }
        #expect(kept.count >= 4)
        let rotten = try #require(kept.first)
        partial[rotten << 22 + 5] ^= 1
        try target.write(".big.bin.holdfast-partial", partial)
        fails.store(false, ordering: .relaxed)
        plane.state.withLock { $0.readsByID.removeAll() }
        _ = try await Puller.pull(model, from: plane, into: target.path)
        try expectFiles(files, in: target)
        let chunkReads = plane.state.withLock { state in
            state.readsByID.filter { state.chunks[$0.key]?.count == 4 << 20 }.values.reduce(0, +)
        }
        #expect(chunkReads == 10 - kept.count + 1)
    }

    @Test func `a chunk that does not match its name is read again once, then named`() async throws {
        let bad = Mutex<[ChunkID: Int]>([:])
        let times = Atomic(1)
        let plane = MemoryPlane(onRead: { (_, id, bytes) throws(HoldfastError) in
            guard bytes.count > 5_000 else { return bytes }
            let number = bad.withLock { bad in
                bad[id, default: 0] += 1
                return bad[id] ?? 0
            }
            return number <= times.load(ordering: .relaxed) ? bytes.dropLast() + [bytes[bytes.count - 1] ^ 1] : bytes
        })
        var random = SeededRandom(state: 13)
        let files = [("w.bin", random.bytes(9 << 20))]
        let model = try await published(files, plane)
        let target = try Scratch()
        _ = try await Puller.pull(model, from: plane, into: target("one"))
        #expect(try target.read("one/w.bin") == files[0].1)
        bad.withLock { $0.removeAll() }
        times.store(2, ordering: .relaxed)
        let error = await failure { () throws(HoldfastError) in
            try await Puller.pull(model, from: plane, into: target("two"))
        }
        #expect(error?.code == .corrupted)
        #expect(error?.message.contains("w.bin") == true)
        #expect(error?.message.contains(error?.details["chunk"] ?? "none") == true)
        #expect(!target.exists("two/w.bin"))
    }

    @Test func `symbolic links in the way are refused, also with force`() async throws {
        let plane = MemoryPlane()
        let model = try await published([("d/a.bin", [1, 2, 3])], plane)
        let outside = try Scratch()
        try outside.write("a.bin", [9])
        func expectRefusal(_ target: Scratch) async throws {
            let error = await failure { () throws(HoldfastError) in
                try await Puller.pull(model, from: plane, into: target.path, force: true)
            }
            #expect(error?.code == .invalidArgument)
            #expect(error?.message.contains("symbolic link") == true)
            #expect(try outside.read("a.bin") == [9])
            #expect(try FileManager.default.contentsOfDirectory(atPath: outside.path) == ["a.bin"])
        }
        let file = try Scratch()
        try FileManager.default.createDirectory(atPath: file("d"), withIntermediateDirectories: false)
        #expect(symlink(outside("a.bin"), file("d/a.bin")) == 0)
        try await expectRefusal(file)
        let directory = try Scratch()
        #expect(symlink(outside.path, directory("d")) == 0)
        try await expectRefusal(directory)
        let temporary = try Scratch()
        try FileManager.default.createDirectory(atPath: temporary("d"), withIntermediateDirectories: false)
        #expect(symlink(outside("a.bin"), temporary("d/.a.bin.holdfast-partial")) == 0)
        try await expectRefusal(temporary)
        // A temporary file that is another name of a file outside is dropped, never written.
        let linked = try Scratch()
        try FileManager.default.createDirectory(atPath: linked("d"), withIntermediateDirectories: false)
        #expect(link(outside("a.bin"), linked("d/.a.bin.holdfast-partial")) == 0)
        _ = try await Puller.pull(model, from: plane, into: linked.path)
        #expect(try outside.read("a.bin") == [9])
        #expect(try linked.read("d/a.bin") == [1, 2, 3])
    }

    @Test(arguments: ["../x", "/tmp/holdfast-never", "a/../../x"])
    func `a hostile manifest writes nothing`(path: String) async throws {
        let plane = MemoryPlane()
        plane.state.withLock { $0.chunks[digest([1])] = [1] }
        let manifest = Manifest(
            files: [
                Manifest.File(
                    path: path, bytes: 1, sha256: digest([1]), kind: .plain, firstChunk: 0, chunkCount: 1, notes: [])
            ], tensors: [], chunks: [Manifest.Chunk(id: digest([1]), bytes: 1)])
        let model = publish(manifest, plane)
        let target = try Scratch()
        let error = await failure { () throws(HoldfastError) in
            try await Puller.pull(model, from: plane, into: target("in/side"))
        }
        #expect(error?.code == .corrupted)
        #expect(try FileManager.default.contentsOfDirectory(atPath: target.path) == [])
    }

    @Test func `a directory or a locked temporary file in the way is refused`() async throws {
        let plane = MemoryPlane()
        let model = try await published([("a", [1])], plane)
        let target = try Scratch()
        try FileManager.default.createDirectory(atPath: target("a"), withIntermediateDirectories: false)
        let directory = await failure { () throws(HoldfastError) in
            try await Puller.pull(model, from: plane, into: target.path, force: true)
        }
        #expect(directory?.code == .alreadyExists)
        let busy = try Scratch()
        try busy.write(".a.holdfast-partial", [])
        let descriptor = open(busy(".a.holdfast-partial"), O_RDWR)
        #expect(flock(descriptor, LOCK_EX | LOCK_NB) == 0)
        let locked = await failure { () throws(HoldfastError) in
            try await Puller.pull(model, from: plane, into: busy.path)
        }
        #expect(locked?.code == .preconditionFailed && locked?.message.contains("another pull") == true)
        close(descriptor)
        _ = try await Puller.pull(model, from: plane, into: busy.path)
        #expect(try busy.read("a") == [1])
    }

    @Test func `a name as long as the file system allows is pulled`() async throws {
        let plane = MemoryPlane()
        let files = [(String(repeating: "n", count: 255), [UInt8(1)])]
        let model = try await published(files, plane)
        let target = try Scratch()
        _ = try await Puller.pull(model, from: plane, into: target.path)
        try expectFiles(files, in: target)
    }

    @Test func `random models survive a round trip`() async throws {
        let seed = UInt64.random(in: 0...UInt64.max)
        print("round trip seed=\(seed)")
        var random = SeededRandom(state: seed)
        for _ in 0..<6 {
            var files: [(String, [UInt8])] = []
            for index in 0..<Int.random(in: 1...6, using: &random) {
                let depth = Int.random(in: 0...3, using: &random)
                let directory = (0..<depth).map { "d\($0)\(index)/" }.joined()
                if Bool.random(using: &random) {
                    let tensors = (0..<Int.random(in: 0...5, using: &random)).map { number in
                        let large = Int.random(in: 0...3, using: &random) == 0
                        return (
                            "t\(number)", random.bytes(Int.random(in: 0...(large ? 6 << 20 : 5_000), using: &random))
                        )
                    }
                    files.append(("\(directory)f\(index).safetensors", safetensors(tensors)))
                } else {
                    files.append(("\(directory)f\(index)", random.bytes(Int.random(in: 0...(5 << 20), using: &random))))
                }
            }
            let plane = MemoryPlane()
            let model = try await published(files, plane)
            let target = try Scratch()
            _ = try await Puller.pull(model, from: plane, into: target.path)
            try expectFiles(files, in: target)
            _ = try await Puller.verify(model, from: plane)
            plane.checkRules()
        }
    }
}
