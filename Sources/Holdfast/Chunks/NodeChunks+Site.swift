internal import NIOCore
internal import ReplicaCore
internal import Synchronization

// Chunks that come from another site.
extension NodeChunks {
    /// Brings every chunk of an upload here: what another member has from there, and only the rest from elsewhere, once, as `LinkChunk`s.
    func gather(
        _ upload: UploadID, number: UInt64, pacer: LinkPacer,
        from elsewhere: @escaping @Sendable (ChunkID) async throws(HoldfastError) -> ByteBuffer
    ) async throws(HoldfastError) {
        var next: UInt64 = 0
        while true {
            let first = next
            let page = try await keeper.readers.run { [keeper] () throws(HoldfastError) in
                try keeper.chunks(of: upload, number: number, from: first, limit: ChunkLimits.ensureWindow)
            }
            guard let last = page.last else { return }
            try await gather(page.map(\.id), pacer: pacer, from: elsewhere)
            next = last.ordinal + 1
        }
    }

    /// Brings these chunks here, which no row needs to name: a pin keeps them. Each is tried; throws why one of them cannot be had.
    func gather(
        _ ids: [ChunkID], isEarly: Bool = false, pacer: LinkPacer,
        from elsewhere: @escaping @Sendable (ChunkID) async throws(HoldfastError) -> ByteBuffer
    ) async throws(HoldfastError) {
        let missing = try await lacking(ids)
        guard !missing.isEmpty else { return }
        _ = try await fetcher.ensure(missing, from: [])
        let failure = Mutex<HoldfastError?>(nil)
        await forEachConcurrently(
            try await lacking(missing), limit: ChunkLimits.fetchBytesPerPeerMax / ChunkLimits.chunkBytesMax
        ) { [keeper] id in
            do throws(HoldfastError) {
                if Task.isCancelled { throw HoldfastError(.unavailable, "the fetch of chunk \(id) was cancelled") }
                try await pacer.turn(of: ChunkLimits.chunkBytesMax)
                let sent: ByteBuffer
                do throws(HoldfastError) {
                    sent = try await elsewhere(id)
                } catch {
                    pacer.giveBack(ChunkLimits.chunkBytesMax)
                    throw error
                }
                pacer.giveBack(ChunkLimits.chunkBytesMax - sent.readableBytes)
                let bytes = try await keeper.readers.run { () throws(HoldfastError) in try LinkChunk.decode(sent) }
                keeper.counters.count { figures in
                    figures.siteChunks += 1
                    if isEarly { figures.siteEarlyChunks += 1 }
                    figures.siteBytes += UInt64(bytes.readableBytes)
                    figures.siteWireBytes += UInt64(sent.readableBytes)
                }
                // Compared with the name there, whatever it was on the wire.
                try await keeper.keepFetched(id, bytes)
            } catch {
                failure.withLock { $0 = error }
            }
        }
        if let error = failure.withLock({ $0 }) { throw error }
    }

    /// Those that are not here, each once, in their order.
    private func lacking(_ ids: [ChunkID]) async throws(HoldfastError) -> [ChunkID] {
        try await keeper.readers.run { [keeper] () throws(HoldfastError) in
            var seen: Set<ChunkID> = []
            var lacking: [ChunkID] = []
            for id in ids where seen.insert(id).inserted {
                if try !keeper.holds(id) { lacking.append(id) }
            }
            return lacking
        }
    }

    /// Receipts of a quorum for all chunks of an upload; the other members fetch what they lack from those who have it.
    func receipts(
        for upload: UploadID, count: UInt64, deadline: NIODeadline
    ) async throws(HoldfastError) -> [Publication.Receipt] {
        try await publisher.collector.collect(upload, count: count, deadline: deadline)
    }
}
