internal import Logging
internal import NIOCore
internal import ReplicaCore
internal import Storage
internal import Synchronization

/// What a scrub of one node found.
struct ScrubReport: Sendable, Hashable {
    /// A scrub is under way; the numbers below grow.
    var isRunning = false
    /// Scrubs that came to their end since the node started.
    var ended: UInt64 = 0
    /// Chunks read and their bytes, in the last scrub or the one under way.
    var chunks: UInt64 = 0
    var bytes: UInt64 = 0
    /// Of these, how many were not what their names say: they were put aside and, where something names them, fetched anew.
    var badChunks: UInt64 = 0
    /// Whether the rows could not all be read: then the node is rebuilt by itself.
    var areRowsBad = false
    /// Why the last scrub did not come to its end; empty if it did.
    var failure = ""

    func encode(into writer: inout ByteWriter) {
        writer.bool(isRunning)
        for number in [ended, chunks, bytes, badChunks] { writer.varint(number) }
        writer.bool(areRowsBad)
        writer.text(failure)
    }

    static func decode(from reader: inout ByteReader) throws(DecodeError) -> ScrubReport {
        var report = ScrubReport()
        report.isRunning = try reader.bool()
        report.ended = try reader.varint()
        report.chunks = try reader.varint()
        report.bytes = try reader.varint()
        report.badChunks = try reader.varint()
        report.areRowsBad = try reader.bool()
        report.failure = try reader.text()
        return report
    }
}

/// Reads everything at rest now and then, to find what has rotted while a copy is still whole elsewhere.
///
/// Chunks are hashed and compared with their names, at a bounded rate; a bad one is put aside and fetched again by name. Then RocksDB
/// reads every block of the rows and compares its checksum; rows that do not hold are quarantined and rebuilt from a peer.
final class Scrub: Sendable {
    private let chunks: NodeChunks
    private let rows: RowStore
    private let damage: RowsDamage
    private let rate: SendRate
    private let interval: UInt64
    private let logger: Logger
    private let state = Mutex(ScrubReport())

    init(
        chunks: NodeChunks, rows: RowStore, damage: RowsDamage, bytesPerSecond: Int, intervalMilliseconds: Int,
        logger: Logger
    ) {
        self.chunks = chunks
        self.rows = rows
        self.damage = damage
        rate = SendRate(bytesPerSecond: UInt64(max(bytesPerSecond, 1)))
        interval = UInt64(max(intervalMilliseconds, 1))
        self.logger = logger
    }

    /// What the last scrub found, or the one under way so far.
    var report: ScrubReport { state.withLock { $0 } }

    /// Scrubs at every interval until the task is cancelled. The first begins at a moment of its own, so that members do not all
    /// read at once.
    func run() async {
        var pause = UInt64.random(in: interval / 2...interval)
        while !Task.isCancelled {
            do {
                try await Task.sleep(nanoseconds: pause.multipliedReportingOverflow(by: 1_000_000).partialValue)
            } catch {
                return
            }
            await once()
            pause = interval
        }
    }

    /// Scrubs once; returns at once if a scrub is under way.
    func once() async {
        let begins = state.withLock { report in
            guard !report.isRunning else { return false }
            report = ScrubReport(isRunning: true, ended: report.ended)
            return true
        }
        guard begins else { return }
        var failure = ""
        do throws(HoldfastError) {
            try await scrubChunks()
            try await scrubRows()
        } catch {
            failure = error.message
            logger.error("a scrub was given up", metadata: ["reason": "\(error.message)"])
        }
        let why = failure
        let report = state.withLock { report in
            report.isRunning = false
            report.failure = why
            if why.isEmpty { report.ended += 1 }
            return report
        }
        logger.info(
            "scrub ended",
            metadata: [
                "chunks": "\(report.chunks)", "bytes": "\(report.bytes)", "bad-chunks": "\(report.badChunks)",
                "rows-bad": "\(report.areRowsBad)",
            ])
    }

    private func scrubChunks() async throws(HoldfastError) {
        let keeper = chunks.keeper
        var next: UInt16 = 0
        while next < 256 {
            let first = UInt8(next)
            next += 1
            for id in try await keeper.readers.run({ () throws(HoldfastError) in try keeper.list(beginningWith: first) }
            ) {
                if Task.isCancelled { throw HoldfastError(.unavailable, "the node is stopping") }
                let size = try await keeper.readers.run { () throws(HoldfastError) in try keeper.size(id) }
                guard let size else { continue }
                try await rate.wait(for: size)
                let before = keeper.counters.figures.quarantinedChunks
                do throws(HoldfastError) {
                    _ = try await chunks.verify(id)
                } catch {
                    // Put aside and not to be had for now: it is fetched in the background.
                    logger.warning("a bad chunk is not whole yet", metadata: ["chunk": "\(id)", "reason": "\(error)"])
                }
                let isBad = keeper.counters.figures.quarantinedChunks > before
                state.withLock { report in
                    report.chunks += 1
                    report.bytes += UInt64(size)
                    if isBad { report.badChunks += 1 }
                }
            }
        }
    }

    private func scrubRows() async throws(HoldfastError) {
        let rows = self.rows
        let found = await withCheckedContinuation { (continuation: CheckedContinuation<RowStoreError?, Never>) in
            LaneThread.start("hf-scrub") {
                do throws(RowStoreError) {
                    try rows.verifyChecksums()
                    continuation.resume(returning: nil)
                } catch {
                    continuation.resume(returning: error)
                }
            }
        }
        guard let found else { return }
        guard found.isDamage else { throw HoldfastError(.unavailable, found.message) }
        state.withLock { $0.areRowsBad = true }
        await damage.found(found.message)
    }
}

extension ChunkKeeper {
    /// The chunks whose names begin with a byte. Blocks.
    func list(beginningWith first: UInt8) throws(HoldfastError) -> [ChunkID] {
        do {
            return try store.list(beginningWith: first)
        } catch {
            throw ChunkFault.store(error)
        }
    }

    /// The size of a chunk; nil if it is not here. Blocks.
    func size(_ id: ChunkID) throws(HoldfastError) -> Int? {
        do {
            return try store.size(id)
        } catch {
            throw ChunkFault.store(error)
        }
    }
}
