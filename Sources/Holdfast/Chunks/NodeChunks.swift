package import Logging
package import NIOCore
internal import RaftCore
package import ReplicaCore
package import Storage
internal import Synchronization

/// The chunk plane of a node: everything of a model that does not go through the log.
///
/// Between `start()` and `stop()` it works in the background; the frames of clients and peers come in through `accept`, `chunk` and `answer`, the applied
/// groups through `applied`. Every function may be called by any thread or task.
package final class NodeChunks: Sendable {
    let keeper: ChunkKeeper
    let fetcher: Fetcher
    let sweeper: Sweeper
    private let commands: any CommandPlane
    private let announcer: Announcer
    let publisher: Publisher
    private let watch: CompletenessWatch
    private let nest = TaskNest()
    private let background = Mutex<Task<Void, Never>?>(nil)

    /// A chunk plane over the node's store and its neighbours. It must be ended with `stop()`, started or not.
    package init(
        store: ChunkStore, commands: any CommandPlane, peers: any PeerPlane,
        options: ChunkOptions = ChunkOptions(), logger: Logger
    ) {
        self.commands = commands
        keeper = ChunkKeeper(
            store: store, commands: commands, writers: options.writerThreads, readers: options.readerThreads,
            roomRefusal: options.roomRefusal)
        fetcher = Fetcher(
            keeper: keeper, commands: commands, peers: peers, nest: nest,
            announcementWait: .milliseconds(options.announcementMilliseconds), logger: logger)
        announcer = Announcer(commands: commands, peers: peers)
        let collector = ReceiptCollector(commands: commands, peers: peers, keeper: keeper, fetcher: fetcher)
        publisher = Publisher(collector: collector, commands: commands, keeper: keeper)
        watch = CompletenessWatch(keeper: keeper, fetcher: fetcher, commands: commands, logger: logger)
        sweeper = Sweeper(keeper: keeper, commands: commands, options: options, logger: logger)
    }

    /// Begins background work: relaying, completing, sweeping. Called once.
    package func start() {
        background.withLock { background in
            precondition(background == nil, "a chunk plane is started once")
            background = Task {
                await withTaskGroup(of: Void.self) { group in
                    group.addTask { await self.nest.run() }
                    group.addTask { await self.watch.run() }
                    group.addTask { await self.sweeper.run() }
                }
            }
        }
    }

    /// Ends background work and waits for it, then ends the threads. Calls that come later fail with `unavailable`.
    ///
    /// Close the links to the peers first: a question or a fetch under way is waited for until it fails.
    package func stop() async {
        let task = background.withLock { $0 }
        task?.cancel()
        await task?.value
        await keeper.stop()
    }

    // MARK: From the apply thread

    /// Hears of a group whose batch is written, before the group shows in `CommandPlane.appliedIndex`: so `completeness` never
    /// claims a publish that was not looked at. Never blocks.
    package func applied(_ output: ApplyOutput) {
        for change in output.uploads {
            if case .closed(let upload) = change { keeper.ledgers.withLock { $0.forget(upload) } }
        }
        if !output.models.isEmpty || output.compacted != nil || output.rewound != nil { watch.modelsChanged() }
    }

    /// The rows were quarantined, or are relied on again: the cluster hears how far this node is complete now. Never blocks.
    package func quarantineChanged() {
        keeper.ledgers.withLock { $0.forgetAll() }
        watch.rowsDoubted()
    }

    /// Hears that a state snapshot took the place of the rows, before its index shows in `CommandPlane.appliedIndex`: what was known of
    /// uploads is void, and what the new rows publish is looked for. Never blocks.
    package func installed() {
        keeper.ledgers.withLock { $0.forgetAll() }
        watch.modelsChanged()
    }

    // MARK: From frames

    /// Takes a chunk of an open upload from a client and returns when it is fsynced here; then the other members hear of it.
    ///
    /// - Throws: `notFound` (no such open upload, or nothing named at that ordinal), `invalidArgument` (not the chunk named, or bytes
    ///   that are not those of the name), `resourceExhausted` (disk full), `overloaded`, `unavailable`.
    package func accept(
        upload: UploadID, ordinal: UInt64, id: ChunkID, bytes: ByteBuffer,
        deadline: NIODeadline = .now() + ChunkLimits.fetchWait
    ) async throws(HoldfastError) {
        guard ordinal < ReplicaCore.Limits.uploadChunksMax else {
            throw HoldfastError(.invalidArgument, "\(ordinal) is not the ordinal of a chunk")
        }
        announcer.begin()
        do throws(HoldfastError) {
            try await keeper.accept(upload, ordinal: ordinal, id: id, bytes: bytes, deadline: deadline)
        } catch {
            announcer.end(upload, ordinal: nil)
            throw error
        }
        announcer.end(upload, ordinal: ordinal)
    }

    /// Opens a chunk to be sent to a peer or client; its bytes are not checked here but by whoever receives them.
    ///
    /// - Throws: `notFound`, with the detail `retiredAt` = revision where nothing names the chunk any more.
    package func chunk(_ id: ChunkID) async throws(HoldfastError) -> OutgoingChunk { try await keeper.open(id) }

    /// Answers a chunk message; `announce` is answered `done`, which need not be sent, and so is `suspect`, once the chunk was
    /// looked at and a bad one was fetched again or is known to be lost.
    package func answer(
        _ request: ChunkRequest, deadline: NIODeadline = .now() + ChunkLimits.appliedWait
    ) async -> ChunkAnswer {
        do throws(HoldfastError) {
            switch request {
            case .have(let upload, let first, let count, let index):
                try await commands.waitApplied(index, deadline: deadline)
                return .bitmap(
                    try await keeper.readers.run { () throws(HoldfastError) in
                        try self.keeper.have(upload, first: first, count: count)
                    })
            case .receipt(let upload, let index):
                try await commands.waitApplied(index, deadline: deadline)
                return .receipt(
                    try await keeper.readers.run { () throws(HoldfastError) in try self.keeper.receipt(of: upload) })
            case .announce(let upload, let ranges, let holder):
                fetcher.announced(upload, ranges, by: holder)
                return .done
            case .ensure(let upload, let holders, let wait, let index):
                try await commands.waitApplied(index, deadline: deadline)
                return .receipt(try await fetcher.ensureOpen(upload, from: holders, waitMilliseconds: wait))
            case .locate(let ids): return .bitmap(try await locate(ids))
            case .suspect(let id):
                await check(id)
                return .done
            }
        } catch {
            return .refused(error)
        }
    }

    private func locate(_ ids: [ChunkID]) async throws(HoldfastError) -> ChunkBitmap {
        guard ids.count <= ChunkLimits.locateMax else {
            throw HoldfastError(.invalidArgument, "ask for at most \(ChunkLimits.locateMax) chunks at a time")
        }
        return try await keeper.readers.run { () throws(HoldfastError) in
            var answer = ChunkBitmap(count: ids.count)
            for (place, id) in ids.enumerated() { answer[place] = try self.keeper.holds(id) }
            return answer
        }
    }

    // MARK: For the node's own verbs

    /// Publishes, on the leader: see `Publisher`.
    package func publish(
        _ upload: UploadID, name: String, version: String?, root: ChunkID, totals: UploadTotals, deadline: NIODeadline
    ) async throws(HoldfastError) -> ReplicaCore.ModelVersion {
        try await publisher.publish(
            upload, name: name, version: version, root: root, totals: totals, deadline: deadline)
    }

    /// Keeps every chunk of a version from being swept here while the pin is held.
    ///
    /// - Throws: `notFound` if the version was retired and nothing above the feed floor names it.
    package func pin(_ model: ReplicaCore.ModelVersion) async throws(HoldfastError) -> ChunkPin {
        let record = model.record
        return try await keeper.readers.run { () throws(HoldfastError) in
            var ids: [ChunkID] = []
            var next: UInt64 = 0
            while true {
                let page = try self.keeper.chunks(
                    of: record.upload, number: record.uploadNumber, from: next, limit: ChunkLimits.rowsPage)
                guard let last = page.last else { break }
                ids += page.map(\.id)
                next = last.ordinal + 1
            }
            let pin = self.keeper.pins.pin(ids)
            // After the pin: a sweep that missed it had found the root unnamed before, and so do we.
            guard !ids.isEmpty, try self.keeper.isNamed(record.root) else {
                throw HoldfastError(
                    .notFound, "\(model.name)@\(model.version) was retired and its chunks are no longer kept")
            }
            return pin
        }
    }

    /// Keeps these chunks from being swept here while the pin is held. Those that are not here stay absent.
    package func pin(_ ids: [ChunkID]) -> ChunkPin { keeper.pins.pin(ids) }

    /// Checks a chunk against its name; a bad one goes to the quarantine and is fetched again. True if it is whole now.
    package func verify(_ id: ChunkID) async throws(HoldfastError) -> Bool {
        let before = keeper.counters.figures.quarantinedChunks
        if try await keeper.readers.run({ () throws(HoldfastError) in try self.keeper.verify(id) }) { return true }
        if keeper.counters.figures.quarantinedChunks != before { watch.chunkLost() }
        let isNamed = try await keeper.readers.run { () throws(HoldfastError) in try self.keeper.isNamed(id) }
        guard isNamed else { return false }
        try await fetcher.fetch(id)
        return true
    }

    /// Checks a chunk against its name; false for one that is missing or bad. A bad one goes to the quarantine, and what is lacking is looked
    /// for anew, which this does not wait for.
    func inspect(_ id: ChunkID) async throws(HoldfastError) -> Bool {
        let isWhole = try await keeper.readers.run { () throws(HoldfastError) in try self.keeper.verify(id) }
        if !isWhole { watch.chunkLost() }
        return isWhole
    }

    private func check(_ id: ChunkID) async {
        do throws(HoldfastError) {
            _ = try await verify(id)
        } catch {
            fetcher.logger.warning(
                "a chunk that a peer doubts is not whole here", metadata: ["chunk": "\(id)", "error": "\(error)"])
        }
    }

    /// The revision through which every published byte is here (the highest number of all while nothing applied is missing), and
    /// the bytes that are missing: estimated from the number of chunks, 0 only if none is known to be missing.
    package var completeness: (through: UInt64, missingBytes: UInt64) {
        let lacking = watch.lacking
        return (lacking.through ?? .max, lacking.missingBytes)
    }

    /// What was done since the start.
    package var figures: ChunkFigures { keeper.counters.figures }
}

extension NodeChunks: ChunkSource {
    /// The raw bytes of a chunk, from this disk or else from a peer. Bytes of this disk are not checked here.
    package func readChunk(_ id: ChunkID) async throws(HoldfastError) -> ByteBuffer {
        try await read(id, deadline: .now() + ChunkLimits.fetchWait)
    }

    /// The raw bytes of a chunk, from this disk or, until the deadline, from a peer. Bytes of this disk are not checked here.
    package func read(_ id: ChunkID, deadline: NIODeadline) async throws(HoldfastError) -> ByteBuffer {
        if let bytes = try await keeper.read(id) { return bytes }
        var pause = RetryPause()
        while true {
            do throws(HoldfastError) {
                try await fetcher.fetch(id)
            } catch {
                // A peer may be starting; one that says "retired" is believed where nothing names the chunk here either.
                let isNamed = try await keeper.readers.run { () throws(HoldfastError) in try self.keeper.isNamed(id) }
                guard isNamed, error.code != .resourceExhausted, NIODeadline.now() < deadline, !Task.isCancelled else {
                    throw error
                }
                await pause.wait(until: deadline)
            }
            if let bytes = try await keeper.read(id) { return bytes }
        }
    }

    /// Looks at this disk's copy; a bad one is replaced by a peer's.
    package func doubt(_ id: ChunkID) async { await check(id) }

    /// The path of the chunk's raw file, if it is here. One look at a directory on the calling thread.
    package func localFile(of id: ChunkID) -> String? {
        // The layout is the store's (`ChunkStore`): two digits of the name, then the others.
        let name = id.hex
        guard (try? keeper.store.contains(id)) == true else { return nil }
        return "\(keeper.store.path)/\(name.prefix(2))/\(name.dropFirst(2))"
    }
}
