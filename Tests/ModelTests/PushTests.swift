import Foundation
import Glibc
import NIOCore
import ReplicaCore
import Synchronization
import Testing

@testable import Holdfast

@Suite struct PushTests {
    private func push(
        _ path: String, _ plane: MemoryPlane, name: String = "m", upload: String? = nil, rate: UInt64? = nil,
        buffers: ChunkBuffers? = nil, progress: (@Sendable (TransferProgress) -> Void)? = nil,
        began: (@Sendable (String) -> Void)? = nil
    ) async throws(HoldfastError) -> PushResult {
        try await Pusher.push(
            path, as: name, upload: upload, rateLimitBytesPerSecond: rate, plane: plane, buffers: buffers,
            progress: progress, began: began)
    }

    @Test func `a directory is pushed with nested paths, empty files and every byte`() async throws {
        let scratch = try Scratch()
        var random = SeededRandom(state: 1)
        let weights = safetensors(
            [("a", random.bytes(100)), ("big", random.bytes(9_000_000)), ("z", random.bytes(7))],
            notes: "{\"format\":\"pt\"}")
        try scratch.write("model.safetensors", weights)
        try scratch.write("1_Pooling/config.json", Array("{}".utf8))
        try scratch.write("empty", [])
        try scratch.write("x/y/z.bin", random.bytes(4_194_305))
        let plane = MemoryPlane()
        let seen = Mutex<[TransferProgress]>([])
        let begun = Mutex<[String]>([])
        let result = try await push(
            scratch.path, plane, progress: { step in seen.withLock { $0.append(step) } },
            began: { id in begun.withLock { $0.append(id) } })
        plane.checkRules()
        let total = UInt64(weights.count + 2 + 4_194_305)
        #expect(result.model.bytes == total)
        #expect(result.model.files == 4)
        #expect(result.newBytes == total)
        #expect(begun.withLock { $0 } == [result.upload])
        #expect(result.upload.utf8.count == 32)
        let steps = seen.withLock { $0 }.map(\.doneBytes)
        #expect(steps == steps.sorted())
        #expect(steps.first == 0 && steps.last == total)
        let model = try await Model.load(result.model, from: plane)
        #expect(model.files.map(\.path) == ["1_Pooling/config.json", "empty", "model.safetensors", "x/y/z.bin"])
        #expect(
            model.files.map(\.sha256)
                == [digest(Array("{}".utf8)), digest([]), digest(weights), digest(try scratch.read("x/y/z.bin"))].map(
                    \.hex))
        #expect(model.tensors.map(\.name) == ["a", "big", "z"])
        #expect(try await model.data(of: "model.safetensors") == weights)
        #expect(plane.state.withLock { $0.sends.values.allSatisfy { $0 == 1 } })
    }

    @Test func `the same content gives the same root and sends nothing again`() async throws {
        let scratch = try Scratch()
        var random = SeededRandom(state: 2)
        let content = random.bytes(5_000_000)
        try scratch.write("one/a", content)
        try scratch.write("two/a", content)
        let plane = MemoryPlane()
        let first = try await push(scratch("one"), plane)
        let second = try await push(scratch("two"), plane)
        #expect(first.model.root == second.model.root)
        #expect(first.newBytes == 5_000_000)
        #expect(second.newBytes == 0)
        plane.checkRules()
    }

    @Test func `one file is pushed under its own name`() async throws {
        let scratch = try Scratch()
        let path = try scratch.write("d/a.bin", [1, 2, 3])
        let plane = MemoryPlane()
        let result = try await push(path, plane)
        #expect(try await Model.load(result.model, from: plane).files.map(\.path) == ["a.bin"])
    }

    @Test func `equal chunks are sent once and count for every place`() async throws {
        let scratch = try Scratch()
        try scratch.write("zeros", [UInt8](repeating: 0, count: 5 << 22))
        try scratch.write("zeros2", [UInt8](repeating: 0, count: 2 << 22))
        let plane = MemoryPlane()
        let last = Mutex<TransferProgress?>(nil)
        let result = try await push(scratch.path, plane, progress: { step in last.withLock { $0 = step } })
        #expect(result.newBytes == 4 << 20)
        #expect(last.withLock { $0 }?.doneBytes == 7 << 22)
        #expect(result.model.chunks == 3)
        plane.checkRules()
    }

    @Test func `a push that was cut resumes with the same upload and sends only the rest`() async throws {
        let scratch = try Scratch()
        var random = SeededRandom(state: 3)
        try scratch.write("a", random.bytes(20 << 20))
        let isCut = Atomic(true)
        let plane = MemoryPlane(beforeSend: { (_, number) throws(HoldfastError) in
            if isCut.load(ordering: .relaxed), number > 3 { throw HoldfastError(.unavailable, "the node is gone") }
        })
        let error = await failure { () throws(HoldfastError) in try await push(scratch.path, plane) }
        #expect(error?.code == .unavailable)
        let upload = try #require(error?.details["upload"])
        let held = plane.state.withLock { $0.chunks.count }
        #expect(held >= 1 && held < 5)
        isCut.store(false, ordering: .relaxed)
        let first = Mutex<[UInt64]>([])
        let result = try await push(
            scratch.path, plane, upload: upload, progress: { step in first.withLock { $0.append(step.doneBytes) } })
        #expect(result.upload == upload)
        #expect(result.newBytes == UInt64(5 - held) << 22)
        #expect(plane.state.withLock { Set($0.begun).count } == 1)
        plane.checkRules()
    }

    @Test func `a push whose sends fail ends, though every buffer is on its way`() async throws {
        let scratch = try Scratch()
        var random = SeededRandom(state: 9)
        let chunk = random.bytes(4 << 20)
        // More chunks than there are buffers, all different.
        try scratch.write("a", (0..<48).flatMap { number in [UInt8(number)] + chunk.dropFirst() })
        let plane = MemoryPlane(beforeSend: { (_, number) throws(HoldfastError) in
            if number > 1 { throw HoldfastError(.resourceExhausted, "the disk is full") }
        })
        let error = await failure { () throws(HoldfastError) in try await push(scratch.path, plane) }
        #expect(error?.code == .resourceExhausted)
        #expect(error?.details["upload"] != nil)
    }

    @Test func `chunks that a lost node took with it are sent again`() async throws {
        let scratch = try Scratch()
        var random = SeededRandom(state: 4)
        try scratch.write("a", random.bytes(20 << 20))
        let losses = Atomic(0)
        let plane = MemoryPlane(
            beforeSend: { (plane, number) throws(HoldfastError) in
                if number == 4 {
                    // Another node answers from now on: it has nothing.
                    plane.state.withLock { $0.chunks.removeAll() }
                    throw HoldfastError(.notFound, "this node does not know the upload yet")
                }
            },
            beforePublish: { (plane) throws(HoldfastError) in
                if losses.add(1, ordering: .relaxed).newValue == 1 {
                    plane.state.withLock { $0.chunks.removeAll() }
                    throw HoldfastError(.notFound, "chunks are missing")
                }
            })
        let result = try await push(scratch.path, plane)
        #expect(losses.load(ordering: .relaxed) == 2)
        #expect(try await Model.load(result.model, from: plane).data(of: "a") == scratch.read("a"))
        plane.checkRules()
    }

    @Test func `a publish that lacks chunks of a lost node is tried again, one that lacks none is not`() async throws {
        let scratch = try Scratch()
        try scratch.write("a", [1, 2, 3])
        let tries = Atomic(0)
        let loses = MemoryPlane(beforePublish: { (plane) throws(HoldfastError) in
            guard tries.add(1, ordering: .relaxed).newValue == 1 else { return }
            plane.state.withLock { $0.chunks.removeAll() }
            throw HoldfastError(.unavailable, "no quorum holds every chunk")
        })
        let result = try await push(scratch.path, loses)
        #expect(tries.load(ordering: .relaxed) == 2)
        #expect(result.newBytes == 3)
        let refusals = Atomic(0)
        let refuses = MemoryPlane(beforePublish: { (_) throws(HoldfastError) in
            refusals.add(1, ordering: .relaxed)
            throw HoldfastError(.unavailable, "no quorum")
        })
        let error = await failure { () throws(HoldfastError) in try await push(scratch.path, refuses) }
        #expect(error?.code == .unavailable && error?.message == "no quorum")
        #expect(refusals.load(ordering: .relaxed) == 1)
    }

    @Test func `a node that never keeps chunks ends the push`() async throws {
        let scratch = try Scratch()
        try scratch.write("a", [1])
        let plane = MemoryPlane(beforePublish: { (_) throws(HoldfastError) in throw HoldfastError(.notFound, "missing")
        })
        let error = await failure { () throws(HoldfastError) in try await push(scratch.path, plane) }
        #expect(error?.code == .notFound)
        let never = MemoryPlane(beforeSend: { (_, _) throws(HoldfastError) in throw HoldfastError(.notFound, "gone") })
        let other = await failure { () throws(HoldfastError) in try await push(scratch.path, never) }
        #expect(other?.code == .notFound)
        #expect(never.state.withLock { $0.sends.values.max() } == ModelLimits.sendAttemptsMax)
    }

    /// What happens to the file while its first chunk is on its way.
    static let changes: [(what: String, code: HoldfastError.Code, change: @Sendable (String) throws -> Void)] = [
        (
            "it grows", .preconditionFailed,
            { path in
                let file = try #require(FileHandle(forWritingAtPath: path))
                try file.seekToEnd()
                try file.write(contentsOf: Data([1]))
            }
        ),
        ("it shrinks", .preconditionFailed, { path in _ = truncate(path, 100) }),
        (
            "it is written in place", .preconditionFailed,
            { path in
                let file = try #require(FileHandle(forWritingAtPath: path))
                try file.write(contentsOf: Data([1]))
                try file.close()
                var times = [timespec(tv_sec: 1, tv_nsec: 0), timespec(tv_sec: 1, tv_nsec: 0)]
                _ = utimensat(AT_FDCWD, path, &times, 0)
            }
        ),
        (
            "it is replaced", .preconditionFailed,
            { path in
                try FileManager.default.copyItem(atPath: path, toPath: path + ".new")
                _ = rename(path + ".new", path)
            }
        ),
        ("it vanishes", .notFound, { path in _ = unlink(path) }),
    ]

    @Test(arguments: changes.indices)
    func `a file that changes or vanishes while it is read fails the push by name`(index: Int) async throws {
        let scratch = try Scratch()
        var random = SeededRandom(state: 5)
        let path = try scratch.write("d/weights.bin", random.bytes(48 << 20))
        let isDone = Atomic(false)
        let change = Self.changes[index].change
        // The pool is smaller than the file: the reader cannot reach its end before the first chunk was sent.
        let plane = MemoryPlane(beforeSend: { (_, _) throws(HoldfastError) in
            guard !isDone.exchange(true, ordering: .relaxed) else { return }
            do { try change(path) } catch { throw HoldfastError(.unavailable, "the test cannot change the file") }
        })
        let error = await failure { () throws(HoldfastError) in
            try await push(scratch("d"), plane, buffers: ChunkBuffers(bytes: ModelLimits.pushBytesMax / 2))
        }
        #expect(error?.code == Self.changes[index].code, "\(Self.changes[index].what): \(String(describing: error))")
        #expect(error?.message.contains("weights.bin") == true)
        #expect(plane.state.withLock { $0.published.isEmpty })
    }

    @Test func `symbolic links, pipes and leftovers of a pull are refused by name`() async throws {
        let plane = MemoryPlane()
        let links = try Scratch()
        try links.write("a", [1])
        #expect(symlink(links("a"), links("link")) == 0)
        let link = await failure { () throws(HoldfastError) in try await push(links.path, plane) }
        #expect(link?.code == .invalidArgument && link?.message.contains("link") == true)
        let alone = await failure { () throws(HoldfastError) in try await push(links("link"), plane) }
        #expect(alone?.code == .invalidArgument && alone?.message.contains("symbolic link") == true)

        let directories = try Scratch()
        try directories.write("d/a", [1])
        #expect(symlink(directories("d"), directories("d2")) == 0)
        let directory = await failure { () throws(HoldfastError) in try await push(directories.path, plane) }
        #expect(directory?.message.contains("d2") == true)

        let pipes = try Scratch()
        #expect(mkfifo(pipes("pipe"), 0o600) == 0)
        let pipe = await failure { () throws(HoldfastError) in try await push(pipes.path, plane) }
        #expect(pipe?.code == .invalidArgument && pipe?.message.contains("pipe") == true)

        let leftovers = try Scratch()
        try leftovers.write(".a.holdfast-partial", [1])
        let partial = await failure { () throws(HoldfastError) in try await push(leftovers.path, plane) }
        #expect(partial?.message.contains("unfinished pull") == true)

        let empty = try Scratch()
        #expect(
            await failure { () throws(HoldfastError) in try await push(empty.path, plane) }?.code == .invalidArgument)
        #expect(await failure { () throws(HoldfastError) in try await push(empty("none"), plane) }?.code == .notFound)
        #expect(plane.state.withLock { $0.begun.isEmpty })
    }

    @Test func `a malformed safetensors file fails the push before it begins`() async throws {
        let scratch = try Scratch()
        try scratch.write("d/m.safetensors", safetensors(json: "{\"w\":{\"dtype\":\"Q9\"}}"))
        let plane = MemoryPlane()
        let error = await failure { () throws(HoldfastError) in try await push(scratch.path, plane) }
        #expect(error?.code == .invalidArgument)
        #expect(error?.message.contains("d/m.safetensors") == true && error?.message.contains("'w'") == true)
        try scratch.write("d/m.safetensors", littleEndian(200_000_000) + [1])
        let large = await failure { () throws(HoldfastError) in try await push(scratch.path, plane) }
        #expect(large?.message.contains("100000000") == true)
        #expect(plane.state.withLock { $0.begun.isEmpty })
    }

    @Test(arguments: ["", "a/b/c", "/a", "a/", "-a", "a b", "ä", "a@1", String(repeating: "a", count: 97)])
    func `a name outside the rules is refused`(name: String) async {
        let error = await failure { () throws(HoldfastError) in try await push("/nowhere", MemoryPlane(), name: name) }
        #expect(error?.code == .invalidArgument)
    }

    @Test func `an upload ID that is none is refused`() async {
        for text in ["", "12", String(repeating: "g", count: 32), String(repeating: "0", count: 34)] {
            let error = await failure { () throws(HoldfastError) in
                try await push("/nowhere", MemoryPlane(), upload: text)
            }
            #expect(error?.code == .invalidArgument)
        }
    }

    @Test func `memory does not grow with the model`() async throws {
        let scratch = try Scratch()
        var random = SeededRandom(state: 6)
        try scratch.write("a", random.bytes(96 << 20))
        let buffers = ChunkBuffers(bytes: ModelLimits.pushBytesMax / 2)
        let plane = MemoryPlane()
        _ = try await push(scratch.path, plane, buffers: buffers)
        #expect(buffers.peakBytes <= ModelLimits.pushBytesMax / 2)
        #expect(buffers.peakBytes > 0)
        #expect(plane.state.withLock { $0.sendsInFlightPeak } <= ModelLimits.sendsMax)
    }

    @Test func `a buffer that comes back is used again`() async throws {
        let scratch = try Scratch()
        var random = SeededRandom(state: 8)
        let path = try scratch.write("a", random.bytes(8 << 20))
        let file = OpenFile(owning: open(path, O_RDONLY), path: path)
        let buffers = ChunkBuffers(bytes: ModelLimits.chunkBytesMax)
        func address(of buffer: ChunkBuffer) -> UInt {
            buffer.bytes.withUnsafeReadableBytes { UInt(bitPattern: $0.baseAddress) }
        }
        let first = try await buffers.take(4 << 20)
        try first.read(4 << 20, of: file, at: 0, changed: HoldfastError(.preconditionFailed, "short"))
        let place = address(of: first)
        buffers.give(first)
        let second = try await buffers.take(4 << 20)
        try second.read(4 << 20, of: file, at: 4 << 20, changed: HoldfastError(.preconditionFailed, "short"))
        #expect(address(of: second) == place)
        #expect(first.bytes.readableBytes == 0)
        #expect(throws: HoldfastError.self) {
            try second.read(1, of: file, at: 8 << 20, changed: HoldfastError(.preconditionFailed, "short"))
        }
    }

    @Test func `whoever waits for bytes is served in order and leaves when cancelled`() async throws {
        let budget = ByteBudget(bytes: 10)
        try await budget.take(8)
        let cancelled = Task { await failure { () throws(HoldfastError) in try await budget.take(5) } }
        cancelled.cancel()
        #expect(await cancelled.value?.code == .unavailable)
        let waiting = Task { () -> Bool in (try? await budget.take(10)) != nil }
        budget.give(8)
        #expect(await waiting.value)
        budget.give(10)
        #expect(budget.peakBytes == 10)
    }

    @Test func `a cancelled push stops and publishes nothing`() async throws {
        let scratch = try Scratch()
        var random = SeededRandom(state: 7)
        try scratch.write("a", random.bytes(80 << 20))
        let (started, continuation) = AsyncStream.makeStream(of: Void.self)
        let plane = MemoryPlane(beforeSend: { (_, _) throws(HoldfastError) in
            continuation.yield()
            do { try await Task.sleep(for: .seconds(3_600)) } catch { throw HoldfastError(wrapping: error) }
        })
        let path = scratch.path
        let task = Task { await failure { () throws(HoldfastError) in try await push(path, plane) } }
        for await _ in started { break }
        task.cancel()
        let error = await task.value
        #expect(error?.code == .unavailable)
        #expect(error?.details["upload"]?.utf8.count == 32)
        #expect(plane.state.withLock { $0.published.isEmpty })
    }

    @Test func `a rate limit gives every byte its time`() {
        let rate = SendRate(bytesPerSecond: 1_000)
        let start = ContinuousClock.now
        #expect(rate.delay(of: 500, at: start) == .zero)
        #expect(rate.delay(of: 1_000, at: start) == .milliseconds(500))
        #expect(rate.delay(of: 1, at: start + .milliseconds(500)) == .seconds(1))
        // Time that nobody used is not saved up.
        #expect(rate.delay(of: 1, at: start + .seconds(100)) == .zero)
        #expect(rate.delay(of: 1, at: start + .seconds(100)) == .milliseconds(1))
    }
}
