internal import Glibc
internal import Logging
internal import NIOCore
internal import ReplicaCore
internal import Storage
internal import Synchronization

/// Knows whether this node's disk, and those of a quorum, have room, and keeps the reserve. Looks once a second, since others may
/// fill a disk too.
///
/// Invariants:
/// 1. Nothing is decided here: `SpaceGate` says what a look means.
/// 2. A full disk stops nothing. What needs room is refused before anything of it has happened, log and rows wait for room, and
///    everything goes on by itself.
final class SpaceWatch: Sendable {
    private struct State {
        var gate: SpaceGate
        var freeBytes: UInt64
        /// Voters that said at the last round that their disks are full.
        var fullVoters: Set<UInt64> = []
        var isAsking = false
        /// Bytes of commands let through since the last look that they asked for.
        var admittedBytes: UInt64 = 0
        /// Tables hold history that is gone; and since when that is being changed, or was tried.
        var isCompactionDue = false
        var compactionTried: NIODeadline?
        /// Since when the disk is full and nobody takes more of it, and the most that was free since.
        var calm: (since: NIODeadline, freeBytes: UInt64) = (.now(), 0)
    }

    private let node: UInt64
    private let directory: DataDirectory
    private let log: LogStore
    private let rows: RowStore
    private let rowsWait: RoomWait
    private let logger: Logger
    private let state: Mutex<State>
    private let looks = Relay<@Sendable () -> Void>()
    private let compactions = Relay<@Sendable () -> Void>()
    private let lane: Lane<Void>
    /// Writes the rows' tables anew, which may take long.
    private let compaction: Lane<Void>

    /// - Parameter onFault: called on the watch's thread when the rows cannot be written for another reason than a full disk.
    init(
        directory: DataDirectory, log: LogStore, rows: RowStore, rowsWait: RoomWait, logger: Logger,
        onFault: @escaping @Sendable (HoldfastError) -> Void
    ) {
        node = directory.identity.node
        self.directory = directory
        self.log = log
        self.rows = rows
        self.rowsWait = rowsWait
        self.logger = logger
        state = Mutex(State(gate: SpaceGate(reserveBytes: UInt64(directory.reserveBytes)), freeBytes: .max))
        compaction = Lane("hf-room") { [compactions] _ in compactions.body?() }
        lane = Lane("hf-space") { [looks] _ in looks.body?() }
        compactions.set { [weak self] in self?.compact() }
        looks.set { [weak self] in self?.look(onFault) }
        look(onFault)
    }

    /// Asks for a look; returns at once.
    func check() { lane.submit(()) }

    /// Old history is gone from the rows. Once the disk is full their tables are written anew: by itself RocksDB gives the room back
    /// only when enough new rows come, and they are refused.
    func historyDropped() {
        state.withLock { $0.isCompactionDue = true }
        check()
    }

    /// Begins to write the tables anew if that would give a full disk room; again after a while if it failed. Not while the disk is
    /// still filling up: RocksDB is at its worst when room ends in the middle of that.
    private func compactIfDue() {
        let isDue = state.withLock { state in
            let (now, free) = (NIODeadline.now(), state.freeBytes)
            if !state.gate.isFull || free &+ Self.calmBytes < state.calm.freeBytes { state.calm = (now, free) }
            state.calm.freeBytes = max(state.calm.freeBytes, free)
            let isTried = state.compactionTried.map { now - $0 < Self.compactionPause } ?? false
            guard state.isCompactionDue, !isTried, now - state.calm.since >= Self.calmTime,
                free >= state.gate.reserveBytes / 4
            else { return false }
            state.isCompactionDue = false
            state.compactionTried = now
            return true
        }
        if isDue { compaction.submit(()) }
    }

    /// How long a full disk is left alone between two attempts to write the tables anew.
    private static let compactionPause = TimeAmount.seconds(5)
    /// How long a full disk must be calm, and what it may lose meanwhile.
    private static let calmTime = TimeAmount.seconds(2)
    private static let calmBytes: UInt64 = 1 << 20

    /// Ends the threads.
    func stop() {
        lane.stop()
        compaction.stop()
    }

    // MARK: What it knows

    /// Whether this node refuses what needs room, and the bytes free as last seen.
    var report: (isFull: Bool, freeBytes: UInt64) { state.withLock { ($0.gate.isFull, $0.freeBytes) } }

    /// Whether the reserve's room is held.
    var isReserveHeld: Bool { directory.isReserveHeld }

    /// Whether the rows wait for room.
    var rowsAreWaiting: Bool { rowsWait.isWaiting }

    /// Why a leader refuses a command that needs room; nil while there is room, here and on the disks of a quorum: a leader alone
    /// with room would fill the logs of the others until nothing can be committed any more, no deletion either.
    ///
    /// - Parameter bytes: of the command. Many of them bring the next look forward.
    func refusal(ofCommand bytes: Int, members: Members) -> HoldfastError? {
        let (gate, free, fullVoters, isDue) = state.withLock { state in
            state.admittedBytes += UInt64(bytes)
            let isDue = state.admittedBytes > state.gate.reserveBytes / 8
            if isDue { state.admittedBytes = 0 }
            return (state.gate, state.freeBytes, state.fullVoters, isDue)
        }
        if isDue { check() }
        if gate.isFull { return refusal(free, gate) }
        let voters = Set(members.voters + members.outgoingVoters)
        guard !fullVoters.isDisjoint(with: voters), !members.isQuorum(voters.subtracting(fullVoters)) else {
            return nil
        }
        let names = fullVoters.intersection(voters).sorted().map { String($0) }.joined(separator: ", ")
        return HoldfastError(
            .resourceExhausted,
            "the disks of nodes \(names) are full, and without them there is no quorum: what needs room is refused; delete "
                + "what is not needed, or give those disks room, and it goes on by itself", details: ["nodes": names])
    }

    /// Why a chunk of so many bytes is not taken; nil if there is room for it. Asks the disk. Blocks.
    func refusal(ofChunk bytes: Int) -> HoldfastError? {
        let free = measure()
        let gate = state.withLock { $0.gate }
        return gate.admits(UInt64(bytes), freeBytes: free) ? nil : refusal(free, gate)
    }

    private func refusal(_ free: UInt64, _ gate: SpaceGate) -> HoldfastError {
        HoldfastError(
            .resourceExhausted,
            "the disk of node \(node) is full: \(free >> 20) MiB are free, and \(gate.lowBytes >> 20) MiB are kept for "
                + "deletions; delete keys, retire models, or give the disk room, and it goes on by itself",
            details: ["node": String(node), "freeBytes": String(free)])
    }

    // MARK: Looking

    private func measure() -> UInt64 {
        do throws(DirectoryError) {
            return try directory.space().free
        } catch {
            // What cannot be measured is not taken for full: a write that finds no room says so itself.
            logger.warning("the disk cannot be measured", metadata: ["error": "\(error)"])
            return .max
        }
    }

    private func look(_ onFault: (HoldfastError) -> Void) {
        if let error = rows.backgroundError, error.cause != .noSpace {
            onFault(HoldfastError(error.cause == .corruption ? .corrupted : .unavailable, error.message))
        }
        observe()
        // A reserve that was just taken or given back changes what is free.
        observe()
        compactIfDue()
    }

    private func compact() {
        do throws(RowStoreError) {
            try rows.compactAll()
            logger.notice("the rows' tables were written anew to make room")
        } catch {
            logger.warning("the rows' tables could not be written anew", metadata: ["error": "\(error)"])
            state.withLock { $0.isCompactionDue = true }
        }
        check()
    }

    private func observe() {
        let look = SpaceGate.Look(
            freeBytes: measure(), isReserveHeld: directory.isReserveHeld,
            isWaiting: log.isOutOfSpace || rowsWait.isWaiting)
        let (order, wasFull, isFull, low) = state.withLock { state in
            let wasFull = state.gate.isFull
            let order = state.gate.observe(look)
            state.freeBytes = look.freeBytes
            return (order, wasFull, state.gate.isFull, state.gate.lowBytes)
        }
        if wasFull != isFull { tell(isFull, look, low) }
        do throws(DirectoryError) {
            switch order {
            case .keep: break
            case .release:
                if try directory.releaseReserve() {
                    logger.warning("the reserve was released: the disk is nearly at its end")
                }
            case .restore: try directory.restoreReserve()
            }
        } catch {
            // Somebody else was faster; the next look decides anew.
            logger.warning("the reserve could not be changed", metadata: ["error": "\(error)"])
        }
    }

    private func tell(_ isFull: Bool, _ look: SpaceGate.Look, _ low: UInt64) {
        let metadata: Logger.Metadata = ["free-bytes": "\(look.freeBytes)", "low-bytes": "\(low)"]
        if isFull {
            logger.warning("the disk is full: what needs room is refused", metadata: metadata)
        } else {
            logger.notice("the disk has room again", metadata: metadata)
        }
    }

    // MARK: The other voters

    /// Asks once who of the others is full, unless a round is under way.
    func askOthers(_ ask: @escaping @Sendable () async -> Set<UInt64>) {
        let isFirst = state.withLock { state in
            defer { state.isAsking = true }
            return !state.isAsking
        }
        guard isFirst else { return }
        Task {
            let full = await ask()
            self.state.withLock { state in
                state.fullVoters = full
                state.isAsking = false
            }
        }
    }

    /// This node does not lead: what it once heard of the others is not true any more.
    func forgetOthers() { state.withLock { $0.fullVoters = [] } }
}

/// A wait for room on a disk that ends early when the node stops.
final class RoomWait: Sendable {
    /// How long a full disk is left alone between two attempts, in microseconds.
    private static let pauseMicroseconds: UInt32 = 100_000

    private let isOver = Atomic<Bool>(false)
    private let waiting = Atomic<Bool>(false)

    /// Whether somebody waits now.
    var isWaiting: Bool { waiting.load(ordering: .relaxed) }

    /// Waits a moment; false when the node stops. Blocks: for a thread of its own.
    func pause() -> Bool {
        waiting.store(true, ordering: .relaxed)
        usleep(Self.pauseMicroseconds)
        return !isOver.load(ordering: .relaxed)
    }

    /// The attempt went well.
    func ended() { waiting.store(false, ordering: .relaxed) }

    /// Ends every wait: the node stops.
    func stop() { isOver.store(true, ordering: .relaxed) }
}
