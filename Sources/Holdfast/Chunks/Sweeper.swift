internal import Logging
internal import NIOCore
internal import ReplicaCore

/// Removes chunks that nothing names: not an open upload, not a version that is live or above the feed floor, not a local reader.
///
/// Mark and sweep over this node's own applied rows, one 256th of the names at a time. Everything is marked before anything is
/// removed, so that a failure to read anything removes nothing; and the keeper looks again immediately before it unlinks.
struct Sweeper: Sendable {
    /// What a sweep did.
    struct Report: Sendable, Hashable {
        var chunks = 0
        var bytes = 0
        /// Why nothing was looked at: rows that the log held at the start are not applied yet, or the rows are quarantined.
        var isTooEarly = false
    }

    let keeper: ChunkKeeper
    let commands: any CommandPlane
    let options: ChunkOptions
    let logger: Logger
    let idle = IdleUploads()

    /// Sweeps and expires at every interval until the task is cancelled.
    func run() async {
        while !Task.isCancelled {
            guard await pause() else { return }
            await expire()
            do throws(HoldfastError) {
                let report = try await sweep()
                if report.chunks > 0 {
                    logger.info(
                        "swept chunks that nothing names",
                        metadata: ["chunks": "\(report.chunks)", "bytes": "\(report.bytes)"])
                }
            } catch {
                logger.error("a sweep was given up and removed nothing more", metadata: ["error": "\(error)"])
            }
        }
    }

    /// How long a full disk waits for a sweep at most, in milliseconds.
    private static let fullMilliseconds: UInt64 = 3_000

    /// Waits until the next sweep is due; false when the task is cancelled.
    private func pause() async -> Bool {
        let step = max(1, min(options.sweepMilliseconds, 1_000))
        var waited: UInt64 = 0
        while waited
            < (options.isFull() ? min(options.sweepMilliseconds, Self.fullMilliseconds) : options.sweepMilliseconds)
        {
            do {
                try await Task.sleep(nanoseconds: step * 1_000_000)
            } catch {
                return false
            }
            waited += step
        }
        return true
    }

    /// One sweep. Throws when something could not be read; nothing is removed after that.
    func sweep() async throws(HoldfastError) -> Report {
        guard commands.isCaughtUpWithStart, !commands.isQuarantined else { return Report(isTooEarly: true) }
        do throws(HoldfastError) {
            let unnamed = try await keeper.readers.run { () throws(HoldfastError) in try self.unnamed() }
            var report = Report()
            for id in unnamed {
                let freed = try await keeper.readers.run { () throws(HoldfastError) in
                    try self.keeper.unlinkIfUnnamed(id)
                }
                guard let freed else { continue }
                report.chunks += 1
                report.bytes += freed
                keeper.counters.count {
                    $0.sweptChunks += 1
                    $0.sweptBytes += UInt64(freed)
                }
            }
            return report
        } catch {
            keeper.counters.count { $0.failedSweeps += 1 }
            throw error
        }
    }

    /// Chunks on disk without a mark, at most `ChunkLimits.sweepMax`. Blocks.
    ///
    /// The store lists names in their order and rows are read in theirs, so one page of marks is in memory at a time.
    private func unnamed() throws(HoldfastError) -> [ChunkID] {
        var unnamed: [ChunkID] = []
        var marks = Marks(keeper: keeper)
        var failure: HoldfastError?
        do {
            try keeper.store.list { id in
                do throws(HoldfastError) {
                    if try !marks.contains(id) { unnamed.append(id) }
                } catch {
                    failure = error
                    return false
                }
                return unnamed.count < ChunkLimits.sweepMax
            }
        } catch {
            throw ChunkFault.store(error)
        }
        if let failure { throw failure }
        return unnamed
    }

    /// The leader lets uploads go that nobody has added to for long, as it saw by itself: a new leader counts anew.
    func expire() async {
        guard commands.leader == commands.node else { return idle.forget() }
        do throws(HoldfastError) {
            let uploads = try await keeper.readers.run { () throws(HoldfastError) in
                try self.keeper.rows { rows in try ModelReader.uploads(rows: rows) }
            }
            let due = idle.look(at: uploads, now: options.uptime(), idleMilliseconds: options.uploadIdleMilliseconds)
            guard let before = due else { return }
            let outcome = try await commands.propose(
                .uploadExpire(before: before), deadline: .now() + ChunkLimits.fetchWait)
            if case .refused(let refusal) = outcome { throw ChunkFault.refused(refusal) }
        } catch {
            logger.warning("idle uploads were not expired now", metadata: ["error": "\(error)"])
        }
    }
}

/// The marks of a sweep in ascending order, a page at a time.
private struct Marks {
    let keeper: ChunkKeeper
    private var page: [ChunkID] = []
    private var place = 0
    private var isLastPage = false

    init(keeper: ChunkKeeper) { self.keeper = keeper }

    /// Whether the chunk is marked. Asked for ascending chunks only. Blocks.
    mutating func contains(_ id: ChunkID) throws(HoldfastError) -> Bool {
        while true {
            while place < page.count, page[place] < id { place += 1 }
            if place < page.count { return page[place] == id }
            if isLastPage { return false }
            // The page ended below the chunk: the next one begins at the chunk itself.
            page = try keeper.rows { rows in
                let applied = try AppliedState(loading: rows)
                return try Pins.pinned(from: id, limit: ChunkLimits.rowsPage, at: ReadPoint(applied), rows: rows)
            }
            place = 0
            isLastPage = page.count < ChunkLimits.rowsPage
        }
    }
}
