internal import ReplicaCore

/// What is known to be here of the open uploads: a cache of what the disk says, filled when somebody asks.
///
/// A chunk that an open upload names is never swept, so a bit stays true until a quarantine clears them all.
struct UploadLedgers: Sendable {
    struct Ledger: Sendable {
        /// Tells the upload from another under the same ID.
        var number: UInt64
        var held = ChunkBitmap(count: 0)
        /// Ordinals 0..<prefix are all named and held.
        var prefix: UInt64 = 0

        func holds(_ ordinal: UInt64) -> Bool { ordinal < UInt64(held.count) && held[Int(ordinal)] }

        mutating func insert(_ ordinal: UInt64) {
            held.grow(to: Int(ordinal) + 1)
            held[Int(ordinal)] = true
            while holds(prefix) { prefix += 1 }
        }
    }

    private var ledgers: [UploadID: Ledger] = [:]
    private var generation: UInt64 = 0

    /// What is known of an upload, and the generation to hand back with more.
    func ledger(of upload: UploadID, number: UInt64) -> (Ledger, generation: UInt64) {
        let known = ledgers[upload].flatMap { $0.number == number ? $0 : nil }
        return (known ?? Ledger(number: number), generation)
    }

    /// Keeps what was learned, unless everything was forgotten meanwhile.
    mutating func keep(_ ledger: Ledger, of upload: UploadID, generation: UInt64) {
        guard generation == self.generation else { return }
        if let known = ledgers[upload], known.number == ledger.number, known.prefix > ledger.prefix { return }
        // A ledger of the largest upload takes 512 KiB; what is dropped is read from the disk again.
        if ledgers.count >= 64, ledgers[upload] == nil { ledgers.removeAll() }
        ledgers[upload] = ledger
    }

    mutating func forget(_ upload: UploadID) { ledgers[upload] = nil }

    mutating func forgetAll() {
        ledgers.removeAll()
        generation += 1
    }
}

extension ChunkKeeper {
    /// Which chunks of the open upload from `first` on are here, fsynced; ordinals that are not named count as absent. Blocks.
    func have(_ upload: UploadID, first: UInt64, count: Int) throws(HoldfastError) -> ChunkBitmap {
        guard count >= 0, count <= ChunkLimits.haveMax else {
            throw HoldfastError(.invalidArgument, "ask for at most \(ChunkLimits.haveMax) chunks at a time")
        }
        guard !commands.isQuarantined else { throw ChunkFault.quarantined(commands.node) }
        let number = try number(ofOpen: upload)
        var (ledger, generation) = ledgers.withLock { $0.ledger(of: upload, number: number) }
        var answer = ChunkBitmap(count: count)
        for chunk in try chunks(of: upload, number: number, from: first, limit: count) {
            guard chunk.ordinal - first < UInt64(count) else { break }
            if try look(for: chunk, in: &ledger) { answer[Int(chunk.ordinal - first)] = true }
        }
        let learned = ledger
        ledgers.withLock { $0.keep(learned, of: upload, generation: generation) }
        return answer
    }

    /// This node's word on the open upload: how many chunks it names here, and how many of them are not on this disk. Blocks.
    func receipt(of upload: UploadID) throws(HoldfastError) -> UploadReceipt {
        guard !commands.isQuarantined else { throw ChunkFault.quarantined(commands.node) }
        let number = try number(ofOpen: upload)
        var (ledger, generation) = ledgers.withLock { $0.ledger(of: upload, number: number) }
        var receipt = UploadReceipt(
            node: commands.node, incarnation: commands.incarnation, named: ledger.prefix, missing: 0)
        var next = ledger.prefix
        while true {
            let page = try chunks(of: upload, number: number, from: next, limit: ChunkLimits.rowsPage)
            for chunk in page {
                receipt.named += 1
                if try !look(for: chunk, in: &ledger) { receipt.missing += 1 }
            }
            guard page.count == ChunkLimits.rowsPage, let last = page.last else { break }
            next = last.ordinal + 1
        }
        let learned = ledger
        ledgers.withLock { $0.keep(learned, of: upload, generation: generation) }
        return receipt
    }

    /// A page of the chunk list of an upload, open or published. Blocks.
    func chunks(
        of upload: UploadID, number: UInt64, from first: UInt64, limit: Int
    ) throws(HoldfastError) -> [(ordinal: UInt64, id: ChunkID)] {
        try rows { rows in
            try ModelReader.chunks(of: upload, number: number, from: first, limit: limit, rows: rows)
        }
    }

    /// The number of an open upload; throws `notFound` for any other. Blocks.
    func number(ofOpen upload: UploadID) throws(HoldfastError) -> UInt64 {
        guard let info = try rows({ rows in try ModelReader.upload(upload, rows: rows) }) else {
            throw ChunkFault.noUpload(upload)
        }
        return info.number
    }

    private func look(
        for chunk: (ordinal: UInt64, id: ChunkID), in ledger: inout UploadLedgers.Ledger
    ) throws(HoldfastError) -> Bool {
        if ledger.holds(chunk.ordinal) { return true }
        guard try holds(chunk.id) else { return false }
        ledger.insert(chunk.ordinal)
        return true
    }
}
