internal import Logging
internal import NIOCore
internal import ReplicaCore
internal import Storage
internal import Synchronization

/// The checkpoints that a node keeps for others: made when somebody needs one, served in parts, and let go after a while.
///
/// Every member has one, so a state snapshot can be had from any node that has applied enough.
///
/// Invariants:
/// 1. At most `SnapshotLimits.checkpointsMax` are kept, unless more than that are being read.
/// 2. One is made at a time; who asks meanwhile waits for that one and looks again.
/// 3. What is kept is found again after a restart: a reader that was cut off goes on with the same bytes.
final class SnapshotShelf: Sendable {
    private struct Kept {
        var checkpoint: Checkpoint
        var usedAt: NIODeadline
    }

    private struct State {
        var kept: [Kept] = []
        var isMaking = false
        var waiting: [CheckedContinuation<Bool, Never>] = []
    }

    private let directory: String
    private let cluster: String
    private let rows: RowStore
    private let threads = ChunkThreads(count: 2)
    private let rate: SendRate?
    /// Why nothing is given now; nil while the rows are sound.
    private let refusal: @Sendable () -> String?
    private let counters: SnapshotCounters
    private let logger: Logger
    private let state = Mutex(State())

    /// A shelf below `directory`; takes up what an earlier life of the process left there.
    ///
    /// - Parameters:
    ///   - bytesPerSecond: what all readers together get at most; 0 for no limit.
    ///   - refusal: why the rows are doubted; nil while they are sound.
    init(
        directory: String, cluster: String, rows: RowStore, bytesPerSecond: Int,
        refusal: @escaping @Sendable () -> String?, counters: SnapshotCounters, logger: Logger
    ) {
        self.directory = directory
        self.cluster = cluster
        self.rows = rows
        self.counters = counters
        self.refusal = refusal
        self.logger = logger
        rate = bytesPerSecond > 0 ? SendRate(bytesPerSecond: UInt64(bytesPerSecond)) : nil
        do throws(SnapshotError) {
            let now = NIODeadline.now()
            let found = try Checkpoint.all(below: directory).map { Kept(checkpoint: $0, usedAt: now) }
            state.withLock { $0.kept = found }
        } catch {
            logger.warning("kept checkpoints cannot be read", metadata: ["error": "\(error)"])
        }
        _ = trim()
    }

    /// Ends the threads.
    func stop() async { await threads.stop() }

    /// The newest state kept; nil for none.
    var newest: Checkpoint? { state.withLock { $0.kept.max { $0.checkpoint.index < $1.checkpoint.index }?.checkpoint } }

    /// How many are kept.
    var count: Int { state.withLock { $0.kept.count } }

    /// A checkpoint that includes `index`: one that is kept, else a new one.
    ///
    /// - Throws: `unavailable` if this node has not applied that much.
    func checkpoint(atLeast index: UInt64) async throws(HoldfastError) -> Checkpoint {
        try checkSound()
        while true {
            if let kept = newest, kept.index >= index {
                touch(kept.id)
                return kept
            }
            guard await takesTurn() else { continue }
            defer { endTurn() }
            let made = try await make()
            guard made.index >= index else {
                throw HoldfastError(.unavailable, "this node has applied log index \(made.index), not yet \(index)")
            }
            return made
        }
    }

    /// True for the one who makes the next checkpoint; the others wait until it is made. Keeps (2).
    private func takesTurn() async -> Bool {
        await withCheckedContinuation { (continuation: CheckedContinuation<Bool, Never>) in
            let isFree = state.withLock { state -> Bool in
                if state.isMaking {
                    state.waiting.append(continuation)
                    return false
                }
                state.isMaking = true
                return true
            }
            if isFree { continuation.resume(returning: true) }
        }
    }

    private func endTurn() {
        let waiting = state.withLock { state in
            state.isMaking = false
            defer { state.waiting = [] }
            return state.waiting
        }
        for continuation in waiting { continuation.resume(returning: false) }
    }

    private func make() async throws(HoldfastError) -> Checkpoint {
        let begun = NIODeadline.now()
        let made = try await threads.run { [self] () throws(HoldfastError) in
            do throws(SnapshotError) {
                return try Checkpoint.make(of: rows, cluster: cluster, below: directory)
            } catch {
                throw HoldfastError(error)
            }
        }
        state.withLock { state in
            state.kept.removeAll { $0.checkpoint.id == made.id }
            state.kept.append(Kept(checkpoint: made, usedAt: .now()))
        }
        counters.count { $0.made += 1 }
        logger.info(
            "checkpoint made",
            metadata: [
                "index": "\(made.index)", "bytes": "\(made.manifest.bytes)", "files": "\(made.manifest.files.count)",
                "milliseconds": "\((NIODeadline.now() - begun).nanoseconds / 1_000_000)",
            ])
        try await threads.run { [self] () throws(HoldfastError) in _ = trim() }
        return made
    }

    /// Bytes of one file of a checkpoint, at most `SnapshotLimits.partBytesMax`.
    ///
    /// - Throws: `notFound` if the checkpoint is not kept.
    func part(of id: Digest, file: Int, offset: UInt64, count: Int) async throws(HoldfastError) -> ByteBuffer {
        guard let checkpoint = state.withLock({ state in state.kept.first { $0.checkpoint.id == id }?.checkpoint })
        else {
            throw HoldfastError(.notFound, "the state snapshot \(id) is not kept here; ask for a newer one")
        }
        try checkSound()
        touch(id)
        let count = max(0, min(count, SnapshotLimits.partBytesMax))
        try await rate?.wait(for: count)
        let bytes = try await threads.run { () throws(HoldfastError) in
            do throws(SnapshotError) {
                return try checkpoint.read(file: file, offset: offset, count: count)
            } catch {
                throw HoldfastError(error)
            }
        }
        touch(id)
        counters.count { $0.servedBytes += UInt64(bytes.count) }
        return ByteBuffer(bytes: bytes)
    }

    /// Lets a checkpoint go that a reader found to be bad.
    func drop(_ id: Digest) async throws(HoldfastError) {
        let dropped = state.withLock { state -> Checkpoint? in
            guard let place = state.kept.firstIndex(where: { $0.checkpoint.id == id }) else { return nil }
            return state.kept.remove(at: place).checkpoint
        }
        guard let dropped else { return }
        try await threads.run { [self] () throws(HoldfastError) in remove([dropped]) }
    }

    /// Lets go of what nobody reads; answers whether the newest one went.
    func expire() async throws(HoldfastError) -> Bool {
        guard count > 0 else { return false }
        return try await threads.run { [self] () throws(HoldfastError) in trim() }
    }

    /// Lets every checkpoint go: they were made of rows that are not to be relied on. Blocks.
    func forgetAll() {
        let gone = state.withLock { state in
            defer { state.kept = [] }
            return state.kept.map(\.checkpoint)
        }
        remove(gone)
    }

    /// A node whose rows are doubted gives them to nobody.
    private func checkSound() throws(HoldfastError) {
        if let refusal = refusal() {
            throw HoldfastError(.unavailable, "this node is quarantined and gives no state snapshots: \(refusal)")
        }
    }

    private func touch(_ id: Digest) {
        state.withLock { state in
            guard let place = state.kept.firstIndex(where: { $0.checkpoint.id == id }) else { return }
            state.kept[place].usedAt = .now()
        }
    }

    /// Keeps (1). Blocks; true if the newest one went.
    private func trim() -> Bool {
        let now = NIODeadline.now()
        let newest = newest?.id
        let gone = state.withLock { state -> [Checkpoint] in
            // The one used last first: those at the end go.
            state.kept.sort { ($0.usedAt, $0.checkpoint.index) > ($1.usedAt, $1.checkpoint.index) }
            var gone: [Checkpoint] = []
            var kept: [Kept] = []
            for (place, each) in state.kept.enumerated() {
                let idle = now - each.usedAt
                let isExtra = place >= SnapshotLimits.checkpointsMax && idle > SnapshotLimits.busyMin
                if isExtra || idle > SnapshotLimits.idleMax { gone.append(each.checkpoint) } else { kept.append(each) }
            }
            state.kept = kept
            return gone
        }
        remove(gone)
        return gone.contains { $0.id == newest }
    }

    private func remove(_ checkpoints: [Checkpoint]) {
        for checkpoint in checkpoints {
            do throws(SnapshotError) {
                try checkpoint.remove()
            } catch {
                logger.warning("a checkpoint cannot be removed", metadata: ["error": "\(error)"])
            }
        }
    }
}

/// Figures of state snapshots since the start.
struct SnapshotFigures: Sendable, Equatable {
    /// Checkpoints made here.
    var made: UInt64 = 0
    /// Bytes sent to other nodes.
    var servedBytes: UInt64 = 0
    /// Bytes fetched from other nodes.
    var fetchedBytes: UInt64 = 0
    /// Snapshots installed here.
    var installed: UInt64 = 0
    /// Fetches that were given up.
    var failed: UInt64 = 0
    /// Bytes of the snapshot being fetched, and how many of them are here.
    var wantedBytes: UInt64 = 0
    var presentBytes: UInt64 = 0
}

/// `SnapshotFigures` that several threads count.
final class SnapshotCounters: Sendable {
    private let values = Mutex(SnapshotFigures())

    var figures: SnapshotFigures { values.withLock { $0 } }

    func count(_ body: (inout SnapshotFigures) -> Void) { values.withLock { body(&$0) } }
}
