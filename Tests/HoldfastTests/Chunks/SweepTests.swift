import Foundation
import NIOCore
import ReplicaCore
import Storage
import Synchronization
import Testing

@testable import Holdfast

/// Flips a byte of a chunk file, as a disk may.
func spoil(_ path: String) throws {
    try FileManager.default.setAttributes([.posixPermissions: 0o600], ofItemAtPath: path)
    var bytes = try #require(FileManager.default.contents(atPath: path))
    bytes[bytes.count / 2] ^= 1
    let file = try #require(FileHandle(forWritingAtPath: path))
    try file.write(contentsOf: bytes)
    try file.close()
}

/// A monotonic clock that a test moves.
private final class Clock: Sendable {
    let milliseconds = Mutex<UInt64>(5_000)
}

/// Whether the node has answered.
private final class Answered: Sendable {
    let isSaid = Mutex(false)
}

@Suite(.serialized) struct SweepTests {
    @Test func aSweepRemovesOnlyWhatNothingNames() async throws {
        let cluster = try ChunkCluster(nodes: [1])
        let (published, open, aborted) = (
            Material(seed: 21, count: 4), Material(seed: 22, count: 4), Material(seed: 23, count: 4)
        )
        for material in [published, open, aborted] {
            try await cluster.begin(material)
            try await cluster.send(material, 0..<4, to: 1)
        }
        _ = try await cluster.publish(published)
        try await cluster.propose(.uploadAbort(aborted.upload))
        let sweeper = try cluster.chunks(1).sweeper
        let report = try await sweeper.sweep()
        #expect(report.chunks == 4 && report.bytes == Int(aborted.totals.bytes))
        #expect(try cluster.count(published, at: 1) == 4 && cluster.count(open, at: 1) == 4)
        #expect(try cluster.count(aborted, at: 1) == 0)
        #expect(try await sweeper.sweep().chunks == 0)
        await cluster.stop()
    }

    @Test func aReaderThatPinsAVersionKeepsItsChunks() async throws {
        let cluster = try ChunkCluster(nodes: [1])
        let material = Material(seed: 24, count: 4)
        try await cluster.begin(material)
        try await cluster.send(material, 0..<4, to: 1)
        let model = try await cluster.publish(material)
        let pin = try await cluster.chunks(1).pin(model)
        let one = try cluster.chunks(1).pin([material.ids[2]])
        try await cluster.propose(.retire(name: "m", version: "1"))
        let sweeper = try cluster.chunks(1).sweeper
        // Above the feed floor a revision still names it, pinned or not.
        #expect(try await sweeper.sweep().chunks == 0)
        try await cluster.propose(.compact(revision: 2))
        #expect(try await sweeper.sweep().chunks == 0)
        #expect(try cluster.count(material, at: 1) == 4)
        pin.release()
        #expect(try await sweeper.sweep().chunks == 3)
        #expect(try cluster.replica(1).store.contains(material.ids[2]))
        one.release()
        #expect(try await sweeper.sweep().chunks == 1)
        #expect(await failure { try await cluster.chunks(1).pin(model) }?.code == .notFound)
        await cluster.stop()
    }

    @Test func nothingIsSweptBeforeTheLogOfTheStartIsApplied() async throws {
        let cluster = try ChunkCluster(nodes: [1])
        let material = Material(seed: 25, count: 2)
        try await cluster.begin(material)
        try await cluster.send(material, 0..<2, to: 1)
        try await cluster.propose(.uploadAbort(material.upload))
        try cluster.replica(1).set(caughtUp: false)
        #expect(try await cluster.chunks(1).sweeper.sweep().isTooEarly)
        #expect(try cluster.count(material, at: 1) == 2)
        try cluster.replica(1).set(caughtUp: true)
        #expect(try await cluster.chunks(1).sweeper.sweep().chunks == 2)
        await cluster.stop()
    }

    @Test func rowsThatCannotBeReadRemoveNothing() async throws {
        let cluster = try ChunkCluster(nodes: [1])
        let material = Material(seed: 26, count: 3)
        try await cluster.begin(material)
        try await cluster.send(material, 0..<3, to: 1)
        try await cluster.propose(.uploadAbort(material.upload))
        try cluster.replica(1).set(failsReads: true)
        let error = await failure { try await cluster.chunks(1).sweeper.sweep() }
        #expect(error?.code == .corrupted)
        #expect(throws: HoldfastError.self) { try cluster.chunks(1).keeper.unlinkIfUnnamed(material.ids[0]) }
        #expect(try cluster.count(material, at: 1) == 3)
        #expect(try cluster.chunks(1).figures.failedSweeps == 1)
        await cluster.stop()
    }

    @Test func anAbandonedUploadExpiresAndIsSwept() async throws {
        var options = ChunkCluster.quietOptions
        options.uploadIdleMilliseconds = 1_000
        let clock = Clock()
        options.uptime = { clock.milliseconds.withLock { $0 } }
        let cluster = try ChunkCluster(nodes: [1, 2, 3], options: options)
        let material = Material(seed: 27, count: 3)
        try await cluster.begin(material)
        try await cluster.send(material, 0..<3, to: 1)
        // A chunk under way while the upload goes would be swept the next time; here all are still.
        try await eventually("the chunks are everywhere") {
            try cluster.nodes.allSatisfy { try cluster.count(material, at: $0) == 3 }
        }
        // The time of day jumps, and nothing depends on it: neither ahead by a day nor back.
        for node in cluster.nodes { await (try cluster.chunks(node)).sweeper.expire() }
        cluster.state.withLock { $0.time += 86_400_000 }
        for node in cluster.nodes { await (try cluster.chunks(node)).sweeper.expire() }
        for node in cluster.nodes { #expect(try await cluster.chunks(node).sweeper.sweep().chunks == 0) }
        clock.milliseconds.withLock { $0 += 500 }
        let active = Material(seed: 28, count: 1)
        try await cluster.begin(active)
        for node in cluster.nodes { await (try cluster.chunks(node)).sweeper.expire() }
        for node in cluster.nodes { #expect(try await cluster.chunks(node).sweeper.sweep().chunks == 0) }
        clock.milliseconds.withLock { $0 += 500 }
        for node in cluster.nodes { await (try cluster.chunks(node)).sweeper.expire() }
        for node in cluster.nodes { #expect(try await cluster.chunks(node).sweeper.sweep().chunks == 3) }
        let answer = try await cluster.chunks(2).answer(.receipt(active.upload, appliedAtLeast: 0))
        #expect(
            answer == .receipt(UploadReceipt(node: 2, incarnation: Incarnation(2, 77), named: 1, missing: 1)))
        await cluster.stop()
    }

    /// The worst moment, made on purpose: the chunk is named by a new upload between the sweep's lookup and its unlink.
    @Test(arguments: [false, true])
    func aChunkNamedWhileItIsUnlinkedIsEitherAbsentOrWrittenAnew(isSent: Bool) async throws {
        var options = ChunkCluster.quietOptions
        options.readerThreads = 2
        let cluster = try ChunkCluster(nodes: [1], options: options)
        let material = Material(seed: 29, count: 1)
        try await cluster.begin(material)
        try await cluster.send(material, 0..<1, to: 1)
        try await cluster.propose(.uploadAbort(material.upload))

        var again = material
        again.upload = UploadID(29, 29)
        let named = again
        let replica = try cluster.replica(1)
        let chunks = replica.chunks
        let question = Mutex<Task<Bool, any Error>?>(nil)
        let answered = Answered()
        let afterLookup: @Sendable () -> Void = {
            do {
                try replica.commit(.uploadBegin(named.upload, name: "m", version: nil))
                try replica.commit(.uploadAdd(named.upload, first: 0, ids: named.ids))
            } catch {
                Issue.record("not named: \(error)")
            }
            let task = Task {
                defer { answered.isSaid.withLock { $0 = true } }
                if isSent {
                    try await cluster.send(named, 0..<1, to: 1)
                    return true
                }
                let answer = await chunks.answer(.have(named.upload, first: 0, count: 1, appliedAtLeast: 0))
                guard case .bitmap(let have) = answer else { return false }
                return have[0]
            }
            question.withLock { $0 = task }
            // The answer waits for the unlink: did it not, it would come within this time and be wrong.
            let deadline = ContinuousClock.now + .milliseconds(100)
            while !answered.isSaid.withLock({ $0 }), ContinuousClock.now < deadline { usleep(1_000) }
        }
        let freed = try await chunks.keeper.readers.run { () throws(HoldfastError) in
            replica.set(afterOwnRead: afterLookup)
            return try chunks.keeper.unlinkIfUnnamed(material.ids[0])
        }
        let isHere = try await #require(question.withLock { $0 }).value
        // The lookup came before the name, so the chunk went; it is said to be here only where it was sent again.
        #expect(freed != nil)
        #expect(isHere == isSent)
        #expect(try replica.store.contains(material.ids[0]) == isHere)
        await cluster.stop()
    }

    /// The race that the one owner closes: a chunk that lies there unnamed is named by a new upload, said to be here, and unlinked.
    @Test(arguments: [UInt64(31), 32, 33]) func aChunkSaidToBeHereIsNeverSweptBeforeThePublish(seed: UInt64)
        async throws
    {
        let cluster = try ChunkCluster(nodes: [1])
        var random = SeededRandom(seed: seed)
        let material = Material(seed: seed, count: 8, bytes: 512)
        let chunks = try cluster.chunks(1)
        let rounds = 40
        let swept = Shared(0)
        let sweeps = Task {
            while !Task.isCancelled {
                let chunks = try await chunks.sweeper.sweep().chunks
                swept.withLock { $0 += chunks }
            }
        }
        let end = ContinuousClock.now + .seconds(30)
        var round = 0
        // As many as it takes until the sweeper came in between, which a busy machine may put off.
        while round < rounds || (swept.withLock { $0 } == 0 && ContinuousClock.now < end) {
            defer { round += 1 }
            var again = material
            again.upload = UploadID(seed, UInt64(round))
            try await cluster.begin(again)
            let answer = await chunks.answer(.have(again.upload, first: 0, count: 8, appliedAtLeast: 0))
            guard case .bitmap(let have) = answer else {
                Issue.record("no bitmap: \(answer)")
                break
            }
            let lacking = (0..<8).filter { !have[$0] }
            try await cluster.send(again, lacking, to: 1)
            for _ in 0..<Int.random(in: 0...3, using: &random) { await Task.yield() }
            let receipt = await chunks.answer(.receipt(again.upload, appliedAtLeast: 0))
            let whole = UploadReceipt(node: 1, incarnation: Incarnation(1, 77), named: 8, missing: 0)
            #expect(receipt == .receipt(whole), "seed \(seed) round \(round)")
            #expect(try cluster.count(again, at: 1) == 8, "seed \(seed) round \(round)")
            try await cluster.propose(.uploadAbort(again.upload))
            for _ in 0..<Int.random(in: 0...50, using: &random) { await Task.yield() }
        }
        sweeps.cancel()
        try await sweeps.value
        #expect(swept.withLock { $0 } > 0, "seed \(seed): the sweeper never came in between")
        await cluster.stop()
    }
}
