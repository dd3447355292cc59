internal import NIOCore
internal import ReplicaCore
internal import Storage
internal import Synchronization

/// The one owner of a node's chunk files: it takes chunks, says what is here, and unlinks.
///
/// Invariants:
/// 1. "It is here" (`holds`, `have`, a receipt) is said only of a chunk that the store holds durably, and only after the rows that
///    name it were read as applied here.
/// 2. A chunk is unlinked only inside the lock of its stripe, after its name was looked up in the applied rows and in the pins
///    inside that same lock, and while nobody writes it. With (1): a chunk that was said to be here for an open upload stays, since
///    the lookup either came first (then the file was gone when we looked) or finds the upload's row.
/// 3. Chunk bytes held in memory never pass `ChunkLimits.acceptBytesMax` for clients; what waits beyond is bounded and then refused.
/// 4. Blocking work runs on the threads of this type only.
final class ChunkKeeper: Sendable {
    /// How many writers of a stripe's chunks are under way, by chunk.
    private final class Stripe: Sendable {
        let writing = Mutex<[ChunkID: Int]>([:])
    }

    enum Gate: Sendable {
        case stored
        case notNamed
    }

    let store: ChunkStore
    let commands: any CommandPlane
    let counters = ChunkCounters()
    let pins = ReaderPins()
    /// Hash, write and fsync.
    let writers: ChunkThreads
    /// Rows, stat, open, read, unlink.
    let readers: ChunkThreads
    let ledgers = Mutex(UploadLedgers())
    private let stripes = (0..<64).map { _ in Stripe() }
    private let budget = ByteBudget(bytes: ChunkLimits.acceptBytesMax)
    private let waiting = Atomic<Int>(0)
    /// See `ChunkOptions`.
    private let roomRefusal: @Sendable (Int) -> HoldfastError?

    init(
        store: ChunkStore, commands: any CommandPlane, writers: Int, readers: Int,
        roomRefusal: @escaping @Sendable (Int) -> HoldfastError? = { _ in nil }
    ) {
        self.roomRefusal = roomRefusal
        self.store = store
        self.commands = commands
        self.writers = ChunkThreads(count: writers)
        self.readers = ChunkThreads(count: readers)
    }

    /// Ends the threads.
    func stop() async {
        await writers.stop()
        await readers.stop()
    }

    /// The most bytes of clients' chunks that were ever held at once.
    var peakAcceptBytes: Int { budget.peakBytes }

    // MARK: Taking chunks

    /// Takes a chunk of an open upload and returns when it is fsynced here.
    ///
    /// - Throws: `notFound` (no such open upload, or no such ordinal yet), `invalidArgument` (another chunk stands at that ordinal, or
    ///   the bytes are not those of the name), `resourceExhausted` (disk full), `overloaded`, `unavailable`.
    func accept(
        _ upload: UploadID, ordinal: UInt64, id: ChunkID, bytes: ByteBuffer, deadline: NIODeadline
    ) async throws(HoldfastError) {
        guard bytes.readableBytes <= ChunkLimits.chunkBytesMax else {
            throw HoldfastError(
                .invalidArgument, "a chunk of \(bytes.readableBytes) bytes is longer than \(ChunkLimits.chunkBytesMax)")
        }
        guard !commands.isQuarantined else { throw ChunkFault.quarantined(commands.node) }
        try await takeBudget(bytes.readableBytes)
        defer { budget.give(bytes.readableBytes) }
        let deadline = min(deadline, .now() + ChunkLimits.appliedWait)
        while true {
            let applied = commands.appliedIndex
            let gate = try await writers.run { () throws(HoldfastError) in
                guard try self.names(upload, ordinal: ordinal, id: id) else { return Gate.notNamed }
                if try self.write(id, bytes) {
                    self.counters.count {
                        $0.acceptedChunks += 1
                        $0.acceptedBytes += UInt64(bytes.readableBytes)
                    }
                }
                return .stored
            }
            if case .stored = gate { return }
            // The upload was added to on the leader; its rows reach us in a moment.
            do {
                try await commands.waitApplied(applied + 1, deadline: deadline)
            } catch {
                counters.count { $0.refusedNotNamed += 1 }
                throw HoldfastError(
                    .notFound, "upload \(upload) names no chunk \(ordinal) here; begin it and add the chunk first",
                    details: ["upload": upload.hex])
            }
        }
    }

    /// Writes a chunk that a peer sent. Throws `invalidArgument` if the bytes are not those of the name.
    func keepFetched(_ id: ChunkID, _ bytes: ByteBuffer) async throws(HoldfastError) {
        try await writers.run { () throws(HoldfastError) in
            if try self.write(id, bytes) {
                self.counters.count {
                    $0.fetchedChunks += 1
                    $0.fetchedBytes += UInt64(bytes.readableBytes)
                }
            }
        }
    }

    /// Keeps (3).
    private func takeBudget(_ bytes: Int) async throws(HoldfastError) {
        let before = waiting.wrappingAdd(1, ordering: .relaxed).oldValue
        defer { waiting.wrappingSubtract(1, ordering: .relaxed) }
        guard before < ChunkLimits.acceptWaitersMax else {
            counters.count { $0.refusedOverloaded += 1 }
            throw HoldfastError(.overloaded, "\(before) chunks wait to be written here; send this one again later")
        }
        try await budget.take(bytes)
    }

    /// Whether the open upload names the chunk at that ordinal, as applied here. Blocks.
    private func names(_ upload: UploadID, ordinal: UInt64, id: ChunkID) throws(HoldfastError) -> Bool {
        let found = try rows { rows in
            guard let info = try ModelReader.upload(upload, rows: rows) else { return ChunkID?.none }
            let chunk = try ModelReader.chunks(of: upload, number: info.number, from: ordinal, limit: 1, rows: rows)
            return chunk.first.flatMap { $0.ordinal == ordinal ? $0.id : nil }
        }
        guard let found else { return false }
        guard found == id else {
            counters.count { $0.refusedNotNamed += 1 }
            throw HoldfastError(
                .invalidArgument, "upload \(upload) names \(found) as chunk \(ordinal), not \(id); send that one")
        }
        return true
    }

    /// Checks, writes and fsyncs; true if the chunk was not here. Blocks. Keeps (2): the mark outlasts the write.
    private func write(_ id: ChunkID, _ bytes: ByteBuffer) throws(HoldfastError) -> Bool {
        let stripe = stripe(of: id)
        stripe.writing.withLock { $0[id, default: 0] += 1 }
        defer {
            stripe.writing.withLock { writing in
                let left = (writing[id] ?? 1) - 1
                writing[id] = left == 0 ? nil : left
            }
        }
        let begun = NIODeadline.now()
        do {
            if let refusal = roomRefusal(bytes.readableBytes), try !store.contains(id) {
                counters.count { $0.refusedFull += 1 }
                throw refusal
            }
            let isNew = try bytes.withUnsafeReadableBytes { buffer in try store.write(id, buffer) }
            let taken = NIODeadline.now() - begun
            counters.count { $0.writeNanoseconds += UInt64(max(0, taken.nanoseconds)) }
            return isNew
        } catch let error as ChunkError {
            counters.count { figures in
                if error.cause == .nameMismatch { figures.refusedHash += 1 }
                if error.cause == .noSpace { figures.refusedFull += 1 }
            }
            throw ChunkFault.store(error)
        } catch let error as HoldfastError {
            throw error
        } catch {
            throw HoldfastError(.unavailable, "chunk \(id) cannot be written: \(error)")
        }
    }

    // MARK: Looking

    /// Reads the applied rows. Blocks.
    func rows<Value: Sendable>(
        _ body: (borrowing any RowReader) throws -> Value
    ) throws(HoldfastError) -> Value {
        do {
            return try commands.withRows(body)
        } catch {
            throw ChunkFault.rows(error)
        }
    }

    /// Whether the chunk is here, durably. Blocks. Keeps (1): a sweep of the chunk under way ends first.
    func holds(_ id: ChunkID) throws(HoldfastError) -> Bool {
        do {
            return try stripe(of: id).writing.withLock { (_) throws(ChunkError) in try store.contains(id) }
        } catch {
            throw ChunkFault.store(error)
        }
    }

    /// Whether an open upload, or a version that is live or above the feed floor, names the chunk here. Blocks.
    func isNamed(_ id: ChunkID) throws(HoldfastError) -> Bool {
        try rows { rows in
            // The floor is read before the names: an older floor only keeps more.
            let state = try AppliedState(loading: rows)
            return try Pins.isPinned(id, at: ReadPoint(state), rows: rows)
        }
    }

    /// Opens a chunk for sending.
    ///
    /// - Throws: `notFound`; with the detail `retiredAt` when no row names the chunk at that revision.
    func open(_ id: ChunkID) async throws(HoldfastError) -> OutgoingChunk {
        try await readers.run { () throws(HoldfastError) in
            do throws(ChunkError) {
                let file = try self.store.open(id)
                let count = file.byteCount
                self.counters.count {
                    $0.servedChunks += 1
                    $0.servedBytes += UInt64(count)
                }
                return OutgoingChunk(descriptor: file.release(), byteCount: count)
            } catch {
                guard error.cause == .missing else { throw ChunkFault.store(error) }
            }
            let revision = try self.rows { rows in try AppliedState(loading: rows).revision }
            throw try self.isNamed(id) ? ChunkFault.missing(id) : ChunkFault.retired(id, at: revision)
        }
    }

    /// Reads a chunk whole; nil if it is not here. The bytes are not checked against the name.
    func read(_ id: ChunkID) async throws(HoldfastError) -> ByteBuffer? {
        try await readers.run { () throws(HoldfastError) in
            do {
                guard let count = try self.store.size(id) else { return nil }
                var buffer = ByteBufferAllocator().buffer(capacity: count)
                try buffer.writeWithUnsafeMutableBytes(minimumWritableBytes: count) {
                    try self.store.read(id, into: $0)
                }
                return buffer
            } catch let error as ChunkError {
                if error.cause == .missing { return nil }
                throw ChunkFault.store(error)
            } catch {
                throw HoldfastError(.unavailable, "chunk \(id) cannot be read: \(error)")
            }
        }
    }

    // MARK: Removing

    /// Unlinks a chunk unless something names it, a reader holds it or somebody writes it; answers the bytes given free, nil
    /// if it stays. Blocks. Keeps (2).
    func unlinkIfUnnamed(_ id: ChunkID) throws(HoldfastError) -> Int? {
        try stripe(of: id).writing.withLock { (writing) throws(HoldfastError) -> Int? in
            // Rows that are not to be relied on may not know what names the chunk.
            guard !commands.isQuarantined else { return nil }
            guard writing[id] == nil, !pins.contains(id), try !isNamed(id) else { return nil }
            do throws(ChunkError) {
                let count = try store.size(id) ?? 0
                return try store.remove(id) ? count : nil
            } catch {
                throw ChunkFault.store(error)
            }
        }
    }

    /// Reads a chunk and compares it with its name; a wrong one goes to the quarantine. True if it was whole; false if it is
    /// not here (any more). Blocks.
    func verify(_ id: ChunkID) throws(HoldfastError) -> Bool {
        let verdict: ChunkVerdict
        do {
            verdict = try store.verify(id)
        } catch {
            throw ChunkFault.store(error)
        }
        switch verdict {
        case .whole: return true
        case .missing: return false
        case .corrupted:
            // What was counted as held may be wrong: every list is looked through again. Keeps (1).
            ledgers.withLock { $0.forgetAll() }
            counters.count { $0.quarantinedChunks += 1 }
            return false
        }
    }

    private func stripe(of id: ChunkID) -> Stripe { stripes[Int(id.word3 % UInt64(stripes.count))] }
}
