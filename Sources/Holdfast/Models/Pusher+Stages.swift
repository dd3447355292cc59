internal import Glibc
internal import NIOCore
internal import ReplicaCore
internal import Storage

/// The four stages of a push and the queues between them.
extension Pusher {
    /// A chunk on its way.
    private struct Piece: Sendable {
        /// Index of the file in the plan.
        var file: Int
        /// Index of the chunk in the file.
        var index: Int
        /// Where it begins in the file.
        var offset: UInt64
        var bytes: Int
        var buffer: ChunkBuffer
    }

    private struct Hashed: Sendable {
        var piece: Piece
        var id: ChunkID
    }

    private struct Unsent: Sendable {
        var ordinal: Int
        var id: ChunkID
        var buffer: ChunkBuffer
    }

    /// What a stage leaves behind.
    private enum Outcome: Sendable {
        case done
        /// The SHA-256 of every file.
        case digests([Digest])
        /// Every chunk of every file in order.
        case chunks([Manifest.Chunk])
    }

    /// Runs the stages until every chunk of every file is at the node.
    func transferFiles() async throws(HoldfastError) -> Manifest {
        let read = ChunkQueue<Piece>()
        let hashed = ChunkQueue<Hashed>()
        let unsent = ChunkQueue<Unsent>()
        do {
            return try await withThrowingTaskGroup(of: Outcome.self) { group in
                group.addTask { try await readFiles(into: read) }
                group.addTask { try await hash(read, into: hashed) }
                group.addTask { try await announce(hashed, into: unsent) }
                group.addTask { try await send(unsent) }
                var digests: [Digest] = []
                var chunks: [Manifest.Chunk] = []
                // The first stage that fails ends this loop, and leaving the group cancels the others.
                for try await outcome in group {
                    switch outcome {
                    case .done: break
                    case .digests(let found): digests = found
                    case .chunks(let found): chunks = found
                    }
                }
                return manifest(digests: digests, chunks: chunks)
            }
        } catch {
            throw HoldfastError(wrapping: error)
        }
    }

    private func readFiles(into queue: ChunkQueue<Piece>) async throws(HoldfastError) -> Outcome {
        for (index, file) in plan.files.enumerated() {
            var opened: OpenFile?
            var offset: UInt64 = 0
            if file.chunks.isEmpty {
                _ = try await ModelThreads.run { () throws(HoldfastError) in
                    try plan.checkUnchanged(file, try plan.open(file))
                }
            }
            for (chunk, length) in file.chunks.enumerated() {
                let buffer = try await buffers.take(Int(length))
                let (source, start, isLast) = (opened, offset, chunk == file.chunks.count - 1)
                opened = try await ModelThreads.run { () throws(HoldfastError) in
                    let source = if let source { source } else { try openForReading(file) }
                    try buffer.read(Int(length), of: source, at: start, changed: PushPlan.changed(file))
                    if isLast { try plan.checkUnchanged(file, source) }
                    return source
                }
                queue.push(Piece(file: index, index: chunk, offset: offset, bytes: Int(length), buffer: buffer))
                offset += UInt64(length)
            }
        }
        queue.finish()
        return .done
    }

    private func openForReading(_ file: PushPlan.File) throws(HoldfastError) -> OpenFile {
        let source = try plan.open(file)
        // Advice only: a file system that ignores it is no fault.
        _ = posix_fadvise(source.descriptor, 0, 0, POSIX_FADV_SEQUENTIAL)
        return source
    }

    private func hash(
        _ queue: ChunkQueue<Piece>, into next: ChunkQueue<Hashed>
    ) async throws(HoldfastError) -> Outcome {
        var digests = [Digest](repeating: SHA256.digest(of: ByteBuffer()), count: plan.files.count)
        var whole = SHA256()
        while let piece = try await queue.next() {
            let count = plan.files[piece.file].chunks.count
            let bytes = piece.buffer.bytes
            let id: ChunkID
            if count == 1 {
                id = await Self.digest(bytes)
                digests[piece.file] = id
            } else {
                if piece.index == 0 { whole = SHA256() }
                let before = whole
                async let chunkID = Self.digest(bytes)
                async let running = Self.adding(bytes, to: before)
                (id, whole) = await (chunkID, running)
                if piece.index == count - 1 { digests[piece.file] = whole.finish() }
            }
            next.push(Hashed(piece: piece, id: id))
        }
        next.finish()
        return .digests(digests)
    }

    private static func digest(_ bytes: ByteBuffer) async -> Digest {
        await ModelThreads.compute { SHA256.digest(of: bytes) }
    }

    private static func adding(_ bytes: ByteBuffer, to hash: SHA256) async -> SHA256 {
        await ModelThreads.compute {
            var hash = hash
            bytes.withUnsafeReadableBytes { hash.update($0) }
            return hash
        }
    }

    private func announce(
        _ queue: ChunkQueue<Hashed>, into next: ChunkQueue<Unsent>
    ) async throws(HoldfastError) -> Outcome {
        var chunks: [Manifest.Chunk] = []
        var batch: [Unsent] = []
        var batchBytes = 0
        while let hashed = try await queue.next() {
            let piece = hashed.piece
            chunks.append(Manifest.Chunk(id: hashed.id, bytes: UInt32(piece.bytes)))
            let place = PushLedger.Place.file(index: piece.file, offset: piece.offset, bytes: piece.bytes)
            guard let ordinal = ledger.enter(hashed.id, at: place) else {
                buffers.give(piece.buffer)  // Keeps (2).
                continue
            }
            batch.append(Unsent(ordinal: ordinal, id: hashed.id, buffer: piece.buffer))
            batchBytes += piece.bytes
            if batchBytes >= ModelLimits.batchBytesMax || batch.count >= ModelLimits.batchChunksMax {
                try await announce(batch, into: next)
                (batch, batchBytes) = ([], 0)
            }
        }
        try await announce(batch, into: next)
        next.finish()
        return .chunks(chunks)
    }

    private func announce(_ batch: [Unsent], into next: ChunkQueue<Unsent>) async throws(HoldfastError) {
        guard let first = batch.first else { return }
        let present = try await announce(batch.map(\.id), firstOrdinal: first.ordinal)
        for (item, isPresent) in zip(batch, present) {
            if isPresent {
                ledger.known(item.ordinal, sent: false)
                buffers.give(item.buffer)
            } else {
                next.push(item)
            }
        }
    }

    /// Adds IDs to the upload, then asks which of them are at the node: keeps (1).
    func announce(_ ids: [ChunkID], firstOrdinal: Int) async throws(HoldfastError) -> [Bool] {
        try await plane.add(upload, firstOrdinal: firstOrdinal, ids: ids)
        return try await have(firstOrdinal: firstOrdinal, count: ids.count)
    }

    /// Which chunks are at the node.
    func have(firstOrdinal: Int, count: Int) async throws(HoldfastError) -> [Bool] {
        let present = try await plane.have(upload, firstOrdinal: firstOrdinal, count: count)
        guard present.count == count else {
            throw HoldfastError(.incompatible, "the node answered for \(present.count) chunks, not \(count)")
        }
        return present
    }

    private func send(_ queue: ChunkQueue<Unsent>) async throws(HoldfastError) -> Outcome {
        do {
            try await withThrowingTaskGroup(of: Void.self) { group in
                for _ in 0..<ModelLimits.sendsMax {
                    group.addTask {
                        while let item = try await queue.next() {
                            try await rate?.wait(for: item.buffer.bytes.readableBytes)
                            try await sendOne(item.ordinal, item.id, item.buffer.bytes)
                            buffers.give(item.buffer)
                        }
                    }
                }
                // The first that fails ends all: it keeps its buffer, and the stages before would wait for that in vain.
                for try await _ in group {}
            }
        } catch {
            throw HoldfastError(wrapping: error)
        }
        return .done
    }

    /// Sends one chunk. `notFound` means that another node takes the bytes now: it is asked whether it has this one.
    func sendOne(_ ordinal: Int, _ id: ChunkID, _ bytes: ByteBuffer) async throws(HoldfastError) {
        for attempt in 1... {
            do throws(HoldfastError) {
                try await plane.send(upload, ordinal: ordinal, id: id, bytes: bytes)
                return ledger.known(ordinal, sent: true)
            } catch {
                guard error.code == .notFound, attempt < ModelLimits.sendAttemptsMax else { throw error }
            }
            if try await have(firstOrdinal: ordinal, count: 1) == [true] { return ledger.known(ordinal, sent: false) }
        }
    }
}
