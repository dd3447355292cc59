internal import NIOCore
internal import RaftCore
internal import ReplicaCore
internal import Logging
internal import Synchronization

/// Brings chunks to this node: the relay of a push, the catch-up after a restart, the read of a missing chunk and the repair of
/// a quarantined one are all this.
///
/// Invariants:
/// 1. A chunk is fetched once at a time, however many ask for it; the others wait for that one.
/// 2. Chunks under way never pass `ChunkLimits.fetchBytesPerPeerMax` from one peer and `ChunkLimits.fetchBytesMax` in all.
/// 3. Every chunk is checked against its name before it is kept; a peer that sent other bytes is told to look at its copy.
final class Fetcher: Sendable {
    /// What one look through a list came to.
    struct Result: Sendable {
        var fetched = 0
        var missing = 0
        /// Why the last one that is missing could not be had.
        var error: HoldfastError?
    }

    private typealias Waiter = CheckedContinuation<Swift.Result<Void, HoldfastError>?, Never>

    private struct Rest {
        var pause = RetryPause()
        var until: NIODeadline
    }

    private struct State {
        var underWay: [ChunkID: [Waiter]] = [:]
        var windows: [NodeID: ByteBudget] = [:]
        /// Peers that could not be reached are left alone for a while.
        var resting: [NodeID: Rest] = [:]
        var announcements: [NodeID: [Announcement]] = [:]
        var draining: Set<NodeID> = []
    }

    struct Announcement: Sendable {
        var upload: UploadID
        var ranges: [Range<UInt64>]
    }

    let keeper: ChunkKeeper
    let logger: Logger
    private let commands: any CommandPlane
    private let peers: any PeerPlane
    private let nest: TaskNest
    private let announcementWait: TimeAmount
    private let budget = ByteBudget(bytes: ChunkLimits.fetchBytesMax)
    private let state = Mutex(State())

    init(
        keeper: ChunkKeeper, commands: any CommandPlane, peers: any PeerPlane, nest: TaskNest,
        announcementWait: TimeAmount, logger: Logger
    ) {
        self.keeper = keeper
        self.commands = commands
        self.peers = peers
        self.nest = nest
        self.announcementWait = announcementWait
        self.logger = logger
    }

    /// The other members of the active configuration, ascending.
    var others: [NodeID] { commands.members.everyone.filter { $0 != commands.node } }

    // MARK: One chunk

    /// Returns when the chunk is here; asks the sources in order, and all other members where none is given.
    ///
    /// - Throws: why the last source could not give it; `notFound` with `retiredAt` where nothing names it any more.
    func fetch(_ id: ChunkID, from sources: [NodeID] = []) async throws(HoldfastError) {
        let joined = await withCheckedContinuation { (waiter: Waiter) in
            let isFirst = state.withLock { state in
                if state.underWay[id] == nil {
                    state.underWay[id] = []
                    return true
                }
                state.underWay[id]?.append(waiter)
                return false
            }
            if isFirst { waiter.resume(returning: nil) }
        }
        if let joined { return try joined.get() }
        let result: Swift.Result<Void, HoldfastError>
        do throws(HoldfastError) {
            try await fetchNow(id, from: sources.isEmpty ? others : sources)
            result = .success(())
        } catch {
            result = .failure(error)
        }
        let waiters = state.withLock { $0.underWay.removeValue(forKey: id) ?? [] }
        for waiter in waiters { waiter.resume(returning: result) }
        try result.get()
    }

    private func fetchNow(_ id: ChunkID, from sources: [NodeID]) async throws(HoldfastError) {
        if try await keeper.readers.run({ () throws(HoldfastError) in try self.keeper.holds(id) }) { return }
        var last = HoldfastError(
            .unavailable, "no member of the cluster that has chunk \(id) can be reached; look at the other nodes")
        for source in sources where source != commands.node {
            if Task.isCancelled { throw HoldfastError(.unavailable, "the fetch of chunk \(id) was cancelled") }
            guard !isResting(source) else { continue }
            do throws(HoldfastError) {
                return try await fetchOnce(id, from: source)
            } catch {
                if error.code == .resourceExhausted { throw error }
                // "Retired" is believed only where our own rows say so too; a peer may just be behind or ahead of us.
                last = error
            }
        }
        throw last
    }

    private func fetchOnce(_ id: ChunkID, from source: NodeID) async throws(HoldfastError) {
        let size = ChunkLimits.chunkBytesMax
        let window = state.withLock { state in
            let known = state.windows[source] ?? ByteBudget(bytes: ChunkLimits.fetchBytesPerPeerMax)
            state.windows[source] = known
            return known
        }
        try await window.take(size)
        defer { window.give(size) }
        try await budget.take(size)
        defer { budget.give(size) }
        let bytes: ByteBuffer
        do throws(HoldfastError) {
            bytes = try await peers.fetch(id, from: source, deadline: .now() + ChunkLimits.fetchWait)
            awake(source)
        } catch {
            if error.code == .unavailable || error.code == .deadlineExceeded { rest(source) }
            throw error
        }
        do throws(HoldfastError) {
            try await keeper.keepFetched(id, bytes)
        } catch {
            guard error.code == .invalidArgument else { throw error }
            keeper.counters.count { $0.mismatchedFetches += 1 }
            logger.warning("a peer sent a chunk with other bytes", metadata: ["chunk": "\(id)", "peer": "\(source)"])
            peers.tell(source, .suspect(id))
            throw HoldfastError(
                .corrupted, "node \(source) sent other bytes than chunk \(id) names; its copy is checked")
        }
    }

    // MARK: Many chunks

    /// Looks for what is not here, asks who has it (the holders, or all other members) and fetches that.
    func ensure(_ ids: [ChunkID], from holders: [NodeID]) async throws(HoldfastError) -> Result {
        let lacking = try await keeper.readers.run { () throws(HoldfastError) in
            var lacking: [ChunkID] = []
            for id in ids where try !self.keeper.holds(id) { lacking.append(id) }
            return lacking
        }
        guard !lacking.isEmpty else { return Result() }
        let sources = await locate(lacking, at: holders.isEmpty ? others : holders)
        let outcome = Mutex(Result())
        await forEachConcurrently(
            Array(lacking.enumerated()), limit: ChunkLimits.fetchBytesMax / ChunkLimits.chunkBytesMax
        ) { place, id in
            do throws(HoldfastError) {
                // Each chunk begins with another of its holders, so that all of them share the load.
                let known = sources[place]
                guard !known.isEmpty else { throw ChunkFault.missing(id) }
                let turn = place % known.count
                try await self.fetch(id, from: Array(known[turn...] + known[..<turn]))
                outcome.withLock { $0.fetched += 1 }
            } catch {
                outcome.withLock {
                    $0.missing += 1
                    $0.error = error
                }
            }
        }
        return outcome.withLock { $0 }
    }

    /// Fetches what this node lacks of an upload's list until it has everything, the deadline passes, the task is cancelled or
    /// `isWanted` (asked between two looks) says no. True: everything is here.
    func ensureList(
        _ upload: UploadID, number: UInt64, from holders: [NodeID], deadline: NIODeadline,
        isWanted: @Sendable () -> Bool = { true }
    ) async -> Bool {
        var holders = holders
        var pause = RetryPause()
        while !Task.isCancelled, isWanted() {
            do throws(HoldfastError) {
                let result = try await lookThrough(upload, number: number, from: holders, deadline: deadline)
                if result.missing == 0 { return true }
                if result.fetched > 0 { pause.reset() }
                logger.debug(
                    "chunks are still missing",
                    metadata: [
                        "upload": "\(upload)", "missing": "\(result.missing)", "last": "\(result.error?.message ?? "")",
                    ])
            } catch {
                logger.warning("a list of chunks cannot be completed now", metadata: ["error": "\(error)"])
            }
            if NIODeadline.now() >= deadline { return false }
            holders = []
            await pause.wait(until: deadline)
        }
        return false
    }

    private func lookThrough(
        _ upload: UploadID, number: UInt64, from holders: [NodeID], deadline: NIODeadline
    ) async throws(HoldfastError) -> Result {
        var total = Result()
        var next: UInt64 = 0
        while true {
            let first = next
            let page = try await keeper.readers.run { () throws(HoldfastError) in
                try self.keeper.chunks(of: upload, number: number, from: first, limit: ChunkLimits.ensureWindow)
            }
            guard let last = page.last else { return total }
            let result = try await ensure(page.map(\.id), from: holders)
            total.fetched += result.fetched
            total.missing += result.missing
            total.error = result.error ?? total.error
            // What is left is not looked at: it counts as missing, so that nobody takes the list for complete.
            if Task.isCancelled || (total.missing > 0 && NIODeadline.now() >= deadline) {
                total.missing += 1
                return total
            }
            next = last.ordinal + 1
        }
    }

    /// Which of the nodes have each chunk.
    private func locate(_ ids: [ChunkID], at nodes: [NodeID]) async -> [[NodeID]] {
        let asked = nodes.filter { $0 != commands.node && !isResting($0) }
        let found = Mutex([[NodeID]](repeating: [], count: ids.count))
        await forEachConcurrently(asked, limit: max(1, asked.count)) { node in
            do throws(HoldfastError) {
                let answer = try await self.peers.ask(node, .locate(ids), deadline: .now() + ChunkLimits.askWait)
                self.awake(node)
                guard case .bitmap(let bitmap) = answer, bitmap.count == ids.count else { return }
                found.withLock { found in
                    for place in ids.indices where bitmap[place] { found[place].append(node) }
                }
            } catch {
                self.rest(node)
            }
        }
        return found.withLock { $0.map { $0.sorted() } }
    }

    // MARK: Peers that do not answer

    private func isResting(_ node: NodeID) -> Bool {
        state.withLock { $0.resting[node].map { $0.until > .now() } ?? false }
    }

    private func rest(_ node: NodeID) {
        state.withLock { state in
            var rest = state.resting[node] ?? Rest(until: .now())
            rest.until = .now() + rest.pause.next()
            state.resting[node] = rest
        }
    }

    private func awake(_ node: NodeID) {
        state.withLock { _ = $0.resting.removeValue(forKey: node) }
    }
}

// MARK: Announcements

extension Fetcher {
    /// Hears of chunks that a peer has, and fetches them while the push goes on. Never blocks.
    func announced(_ upload: UploadID, _ ranges: [Range<UInt64>], by holder: NodeID) {
        let begins = state.withLock { state -> Bool in
            if state.announcements[holder, default: []].count >= ChunkLimits.announcementsMax {
                keeper.counters.count { $0.droppedAnnouncements += 1 }
                return false
            }
            state.announcements[holder, default: []].append(Announcement(upload: upload, ranges: ranges))
            return state.draining.insert(holder).inserted
        }
        if begins { nest.spawn { await self.drain(holder) } }
    }

    /// Fetches what the holder announced until nothing waits; one such task a holder.
    private func drain(_ holder: NodeID) async {
        while let batch = takeAnnouncements(of: holder) {
            for announcement in batch {
                let ids = await resolve(announcement)
                await forEachConcurrently(ids, limit: ChunkLimits.fetchBytesPerPeerMax / ChunkLimits.chunkBytesMax) {
                    id in
                    do throws(HoldfastError) {
                        try await self.fetch(id, from: [holder])
                    } catch {
                        // Whoever needs the chunk asks for it again: the publish, or the completeness after it.
                        self.logger.debug(
                            "an announced chunk was not fetched", metadata: ["chunk": "\(id)", "error": "\(error)"])
                    }
                }
            }
        }
    }

    private func takeAnnouncements(of holder: NodeID) -> [Announcement]? {
        state.withLock { state in
            let batch = state.announcements.removeValue(forKey: holder) ?? []
            if batch.isEmpty || Task.isCancelled {
                state.draining.remove(holder)
                return nil
            }
            return batch
        }
    }

    /// The chunks announced that this node's rows name; waits a little for rows that are not applied here yet.
    private func resolve(_ announcement: Announcement) async -> [ChunkID] {
        let deadline = NIODeadline.now() + announcementWait
        while true {
            let applied = commands.appliedIndex
            do throws(HoldfastError) {
                let (ids, isWhole) = try await keeper.readers.run { () throws(HoldfastError) in
                    try self.named(announcement)
                }
                if isWhole { return ids }
                do throws(HoldfastError) {
                    try await commands.waitApplied(applied + 1, deadline: deadline)
                } catch {
                    return ids
                }
            } catch {
                // Closed or not begun here: nothing to fetch.
                guard error.code == .notFound else {
                    logger.warning("an announcement cannot be read", metadata: ["error": "\(error)"])
                    return []
                }
                do throws(HoldfastError) {
                    try await commands.waitApplied(applied + 1, deadline: deadline)
                } catch {
                    return []
                }
            }
        }
    }

    /// The chunks announced, and whether all of them are named here. Blocks.
    private func named(_ announcement: Announcement) throws(HoldfastError) -> (ids: [ChunkID], isWhole: Bool) {
        let number = try keeper.number(ofOpen: announcement.upload)
        var ids: [ChunkID] = []
        var isWhole = true
        for range in announcement.ranges {
            let count = min(range.count, ChunkLimits.rowsPage)
            let page = try keeper.chunks(of: announcement.upload, number: number, from: range.lowerBound, limit: count)
            let named = page.filter { range.contains($0.ordinal) }
            if named.count < count { isWhole = false }
            ids += named.map(\.id)
        }
        return (ids, isWhole)
    }
}
