import Foundation
import NIOCore
import RaftCore
import ReplicaCore
import Storage
import Testing

@testable import Holdfast

/// Fetching a state snapshot from sources that fail in every way they can.
@Suite struct SnapshotFetchTests {
    /// Nodes that give checkpoints, until they are told not to.
    final class Sources: SnapshotPlane {
        struct Node: Sendable {
            var checkpoint: Checkpoint
            /// Calls that are answered before the connection is cut; nil for never.
            var answersLeft: Int?
            var changesByte = false
            var isGone = false
        }

        let nodes: Shared<[NodeID: Node]>
        let served = Shared(0)

        init(_ nodes: [NodeID: Node]) { self.nodes = Shared(nodes) }

        var sources: [NodeID] { nodes.withLock { $0.keys.sorted() } }

        func manifest(
            atLeast index: LogIndex, from node: NodeID, deadline: NIODeadline
        ) async throws(HoldfastError) -> SnapshotManifest {
            guard let found = nodes.withLock({ $0[node] }), !found.isGone else {
                throw HoldfastError(.unavailable, "node \(node) is gone")
            }
            return found.checkpoint.manifest
        }

        func part(
            _ part: SnapshotPart, from node: NodeID, deadline: NIODeadline
        ) async throws(HoldfastError) -> ByteBuffer {
            let found = nodes.withLock { nodes -> Node? in
                guard var found = nodes[node], !found.isGone else { return nil }
                if let left = found.answersLeft {
                    if left == 0 { return nil }
                    found.answersLeft = left - 1
                    nodes[node] = found
                }
                return found
            }
            guard let found else { throw HoldfastError(.unavailable, "node \(node) was cut off") }
            guard found.checkpoint.id == part.snapshot else {
                throw HoldfastError(.notFound, "node \(node) does not keep it")
            }
            do {
                var bytes = try found.checkpoint.read(file: part.file, offset: part.offset, count: part.count)
                if found.changesByte, !bytes.isEmpty { bytes[bytes.count / 2] ^= 1 }
                let count = bytes.count
                served.withLock { $0 += count }
                return ByteBuffer(bytes: bytes)
            } catch {
                throw HoldfastError(error)
            }
        }
    }

    private let scratch: Scratch
    private let threads = ChunkThreads(count: 1)
    private let counters = SnapshotCounters()

    init() throws { scratch = try Scratch() }

    /// A checkpoint of rows with `count` values that do not compress, at log index `index`.
    private func checkpoint(_ name: String, index: UInt64, count: Int = 40, lineage: Lineage? = nil) throws
        -> Checkpoint
    {
        let rows = try RowStore(path: scratch("\(name)-rows"))
        var random = SystemRandomNumberGenerator()
        var batch = WriteBatch()
        for number in 0..<count {
            batch.put(Array("k\(number)".utf8), (0..<4_096).map { _ in UInt8.random(in: 0...255, using: &random) })
        }
        var state = AppliedState()
        state.index = index
        state.term = 3
        batch.put([UInt8(ascii: "m"), 1], state.encoded())
        if let lineage { batch.put([UInt8(ascii: "m"), 3], [1] + lineage.bytes) }
        try rows.write(batch)
        return try Checkpoint.make(of: rows, cluster: "c", below: scratch("\(name)-kept"))
    }

    private func fetch(_ sources: Sources, lineage: Lineage? = nil, cluster: String = "c") -> SnapshotFetch {
        SnapshotFetch(
            plane: sources, staging: SnapshotStaging(DataLayout(scratch("node"))), threads: threads,
            options: RowStoreOptions(), cluster: cluster, lineage: { lineage }, seal: { _ in }, counters: counters,
            logger: quiet)
    }

    private func fetched(_ fetch: SnapshotFetch, _ wish: SnapshotFetch.Wish) async -> Result<StagedRows, HoldfastError>
    {
        do throws(HoldfastError) {
            return .success(try await fetch.run(wish))
        } catch {
            return .failure(error)
        }
    }

    @Test func aCutIsHealedAtTheSameByte() async throws {
        let made = try checkpoint("a", index: 10)
        let sources = Sources([1: .init(checkpoint: made, answersLeft: 2)])
        let healer = Task {
            try await eventually("the first node was cut off") {
                sources.nodes.withLock { $0[1]?.answersLeft == 0 }
            }
            sources.nodes.withLock { $0[1]?.answersLeft = nil }
        }
        let rows = try await fetch(sources).run(.exactly(made.manifest, from: 1))
        try await healer.value
        #expect(rows.index == 10)
        #expect(sources.served.withLock { $0 } == Int(made.manifest.bytes), "bytes were fetched twice")
        #expect(counters.figures.fetchedBytes == made.manifest.bytes)
        #expect(counters.figures.wantedBytes == 0, "nothing is missing once it is here")
        await threads.stop()
    }

    @Test func aRestartOfEitherEndGoesOnWhereItStopped() async throws {
        let made = try checkpoint("a", index: 10)
        let sources = Sources([1: .init(checkpoint: made, answersLeft: 3)])
        guard case .failure(let error) = await fetched(fetch(sources), .exactly(made.manifest, from: 1)) else {
            Issue.record("nothing was cut off")
            return
        }
        #expect(error.code == .unavailable)
        let before = sources.served.withLock { $0 }
        #expect(before > 0 && before < Int(made.manifest.bytes))
        // Both processes are new: the source reopened what it kept, this node finds its staging area.
        let kept = try #require(try Checkpoint.all(below: scratch("a-kept")).first)
        sources.nodes.withLock { $0[1] = .init(checkpoint: kept) }
        let rows = try await fetch(sources).run(.atLeast(10))
        #expect(rows.index == 10)
        #expect(sources.served.withLock { $0 } == Int(made.manifest.bytes), "bytes were fetched twice")
        await threads.stop()
    }

    @Test func anotherNodeGivesWhatTheFirstNoLongerCan() async throws {
        let made = try checkpoint("a", index: 10)
        let newer = try checkpoint("b", index: 15)
        let sources = Sources([
            1: .init(checkpoint: made, answersLeft: 1), 2: .init(checkpoint: newer),
        ])
        let rows = try await fetch(sources).run(.exactly(made.manifest, from: 1))
        #expect(rows.index == 15)
        await threads.stop()
    }

    @Test func aNodeThatIsOlderThanAskedForIsNotBelieved() async throws {
        let sources = Sources([1: .init(checkpoint: try checkpoint("a", index: 10))])
        guard case .failure(let error) = await fetched(fetch(sources), .atLeast(11)) else {
            Issue.record("an older state was taken")
            return
        }
        #expect(error.code == .unavailable)
        await threads.stop()
    }

    @Test func bytesThatAreNotWhatTheManifestNamesAreNotKept() async throws {
        let made = try checkpoint("a", index: 10)
        let good = try checkpoint("b", index: 12)
        let sources = Sources([1: .init(checkpoint: made, changesByte: true)])
        guard case .failure(let error) = await fetched(fetch(sources), .exactly(made.manifest, from: 1)) else {
            Issue.record("changed bytes were taken")
            return
        }
        #expect(error.code == .corrupted)
        // Asked for any, another node is tried.
        sources.nodes.withLock { $0[2] = .init(checkpoint: good) }
        #expect(try await fetch(sources).run(.atLeast(10)).index == 12)
        await threads.stop()
    }

    @Test func theStateOfAnotherClusterOrHistoryIsRefused() async throws {
        let own = Lineage(1, 2)
        let made = try checkpoint("a", index: 10, lineage: Lineage(3, 4))
        let sources = Sources([1: .init(checkpoint: made)])
        for fetch in [fetch(sources, lineage: own), fetch(sources, cluster: "d")] {
            guard case .failure(let error) = await fetched(fetch, .exactly(made.manifest, from: 1)) else {
                Issue.record("a foreign state was taken")
                continue
            }
            #expect(error.code == .incompatible)
        }
        #expect(sources.served.withLock { $0 } == 0)
        await threads.stop()
    }
}

/// What a node keeps for others, and for how long.
@Suite struct SnapshotShelfTests {
    @Test func itMakesOneForAllWhoWaitKeepsTwoAndFindsThemAgain() async throws {
        let scratch = try Scratch()
        let rows = try RowStore(path: scratch("rows"))
        func write(_ index: UInt64) throws {
            var state = AppliedState()
            state.index = index
            state.term = 1
            var batch = WriteBatch()
            batch.put([UInt8(ascii: "m"), 1], state.encoded())
            try rows.write(batch)
        }
        let doubt = Shared<String?>(nil)
        let counters = SnapshotCounters()
        func shelf() -> SnapshotShelf {
            SnapshotShelf(
                directory: scratch("kept"), cluster: "c", rows: rows, bytesPerSecond: 0,
                refusal: { doubt.withLock { $0 } }, counters: counters, logger: quiet)
        }
        try write(5)
        let first = shelf()
        let made = await withTaskGroup(of: UInt64?.self) { group in
            for _ in 0..<5 { group.addTask { try? await first.checkpoint(atLeast: 5).index } }
            return await group.reduce(into: []) { $0.append($1) }
        }
        #expect(made == [5, 5, 5, 5, 5])
        #expect(counters.figures.made == 1)
        let tooNew = await refusal { _ = try await first.checkpoint(atLeast: 6) }
        #expect(tooNew?.code == .unavailable)
        try write(6)
        let newest = try await first.checkpoint(atLeast: 6)
        #expect(newest.index == 6)
        let part = try await first.part(of: newest.id, file: 0, offset: 0, count: 10)
        #expect(part.readableBytes == min(10, Int(newest.manifest.files[0].bytes)))
        await first.stop()

        let second = shelf()
        #expect(second.newest?.id == newest.id, "a reader that was cut off goes on with the same bytes")
        doubt.withLock { $0 = "rows differ" }
        #expect(await refusal { _ = try await second.checkpoint(atLeast: 1) }?.code == .unavailable)
        let quarantined = await refusal { _ = try await second.part(of: newest.id, file: 0, offset: 0, count: 10) }
        #expect(quarantined?.code == .unavailable)
        doubt.withLock { $0 = nil }
        try await second.drop(newest.id)
        #expect(
            await refusal { _ = try await second.part(of: newest.id, file: 0, offset: 0, count: 1) }?.code == .notFound)
        await second.stop()
    }
}
