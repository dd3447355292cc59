internal import RaftCore
internal import Synchronization

/// The one owner of the log's files while it is open for writing.
///
/// Invariants:
/// 1. Frames are written one behind the other; nothing acknowledged is written again except the same bytes of a shared block.
/// 2. A write begins only after everything written before it is durable: `confirmed` says up to where, and every frame repeats it.
/// 3. A segment is begun only after all frames of the one before it are durable.
/// 4. Term and vote are durable before the entries of the operations gathered with them.
/// 5. A segment goes back to the pool only after the start record that no longer counts it is durable in both copies.
/// 6. The readers' map and the header ring learn of a frame only after it is durable.
/// 7. An entry at or below the commit index is never replaced.
///
/// `@unchecked Sendable`: used by one thread at a time: the one that opens the log, then the writer thread, whose start and end order the accesses.
final class LogWriter: @unchecked Sendable {
    /// The segment being filled.
    struct Active: Sendable {
        let segment: SegmentFile
        let header: SegmentHeader
        /// File offset of the buffer's first byte, a whole block.
        var base: Int
        /// Bytes of the buffer in use, from `base` on.
        var used: Int
        /// How many of them are durable.
        var durable: Int

        var position: Int { base + used }
    }

    let shared: LogShared
    let pool: SparePool
    let seed: UInt32
    let segmentBytes: Int
    var start: CopiedFile<StartRecord>
    var hardState: CopiedFile<HardStateRecord>
    var ring: HeaderRing
    let buffer: PageBuffer
    var active: Active?
    var nextGeneration: UInt32
    var lastIndex: LogIndex
    var lastTerm: Term
    /// Chain hash after the last entry, durable or not.
    var chain: UInt64
    var commit: LogIndex
    /// Frames of the batch at hand.
    var staged: [StagedFrame] = []
    /// Segments begun in the batch at hand.
    var begun: [LogMap.Segment] = []
    private var stagedBytes = 0
    private var writtenBytes = 0
    /// The compaction asked for in the batch at hand.
    var compactThrough: LogIndex = 0

    init(
        shared: LogShared, pool: SparePool, start: CopiedFile<StartRecord>, hardState: CopiedFile<HardStateRecord>,
        ring: HeaderRing, recovery: LogRecovery, active: Active?, buffer: PageBuffer
    ) {
        self.shared = shared
        self.pool = pool
        self.start = start
        self.hardState = hardState
        self.ring = ring
        self.active = active
        self.buffer = buffer
        seed = LogFormat.seed(identity: start.record.identity)
        segmentBytes = Int(start.record.segmentBytes)
        nextGeneration = recovery.nextGeneration
        lastIndex = recovery.lastIndex
        lastTerm = recovery.lastTerm
        chain = recovery.chain
        commit = recovery.commit
    }

    /// The largest payload that fits in a segment.
    static func entryBytesMax(segmentBytes: Int) -> Int {
        min(segmentBytes - LogFormat.firstFrame - LogFormat.frameHeaderBytes, 0xFF_FFFF)
    }

    /// Carries out operations in order; returns the highest sequence among them, all of which are then durable.
    func carryOut(_ operations: [LogOperation]) throws(LogError) -> UInt64? {
        try writeHardState(of: operations)
        var sequence: UInt64?
        for operation in operations {
            switch operation {
            case .persist(let number, let state, let entries):
                let committed = commit
                if let state { commit = max(commit, state.commit) }
                for entry in entries { try append(entry, committed: committed) }
                sequence = number
            case .compact(let through):
                compactThrough = max(compactThrough, through)
            case .reset(let number, let index, let term):
                try flush()
                try reset(index: index, term: term)
                sequence = number
            }
        }
        try flush()
        return sequence
    }

    /// What can wait until the batch has been acknowledged: headers into the ring, compaction.
    func settle() throws(LogError) {
        try ring.enter(staged)
        staged.removeAll(keepingCapacity: true)
        if compactThrough > 0 { try compact(through: compactThrough) }
        compactThrough = 0
    }

    /// Makes the newest term and vote durable if they changed. Keeps (4).
    private func writeHardState(of operations: [LogOperation]) throws(LogError) {
        var newest: HardState?
        for operation in operations {
            if case .persist(_, .some(let state), _) = operation { newest = state }
        }
        guard var state = newest else { return }
        let known = hardState.record.hardState
        guard state.term != known.term || state.vote != known.vote else { return }
        precondition(state.term >= known.term, "term \(known.term) went back to \(state.term)")
        // Only a commit index whose entries are durable: recovery takes a higher one for a lost tail.
        state.commit = min(commit, lastIndex)
        var record = hardState.record
        record.hardState = state
        try shared.timed { () throws(LogError) in try hardState.write(record) }
        shared.figures.withLock { $0.hardStateWrites += 1 }
    }

    /// Puts one frame into the buffer. Keeps (1) and (7).
    private func append(_ entry: Entry, committed: LogIndex) throws(LogError) {
        precondition(entry.index <= lastIndex + 1, "entry \(entry.index) leaves a gap after \(lastIndex)")
        let bytes = LogFormat.frameBytes(dataBytes: entry.data.count)
        precondition(
            entry.data.count <= Self.entryBytesMax(segmentBytes: segmentBytes), "entry of \(entry.data.count) bytes")
        var previous = chain
        if entry.index <= lastIndex {
            precondition(entry.index > committed, "entry \(entry.index) would replace a committed one (\(committed))")
            previous = try chain(before: entry.index)
        }
        var current = try room(for: bytes)
        if current.used + bytes > buffer.bytes.count, current.used > current.durable {
            try write()
            current = try room(for: bytes)
        }
        buffer.grow(to: LogFormat.wholeBlocks(current.used + bytes))
        let place = UnsafeMutableRawBufferPointer(rebasing: buffer.bytes[current.used..<(current.used + bytes)])
        let position = LogPosition(generation: current.header.generation, offset: UInt32(current.position))
        let header = Frame.encode(
            entry, generation: position.generation, previous: previous,
            confirmed: UInt32(current.base + current.durable), commit: commit, seed: seed, into: place)
        active?.used += bytes
        chain = header.chain
        lastIndex = entry.index
        lastTerm = entry.term
        stagedBytes += entry.data.count
        staged.append(
            StagedFrame(
                index: entry.index, term: entry.term, position: position, dataBytes: header.dataBytes, chain: chain))
    }

    /// The segment to write a frame of so many bytes to, a new one if it does not fit. Keeps (3).
    private func room(for bytes: Int) throws(LogError) -> Active {
        if let active, active.position + bytes <= segmentBytes { return active }
        try write()
        if pool.isEmpty { shared.figures.withLock { $0.spareWaits += 1 } }
        let segment = try shared.watched { () throws(LogError) in try pool.take() }
        let header = SegmentHeader(
            generation: nextGeneration, previousGeneration: active?.header.generation ?? 0,
            previousEnd: UInt32(active?.position ?? 0), lastIndex: lastIndex, lastTerm: lastTerm,
            chain: chain)
        nextGeneration += 1
        let block = UnsafeMutableRawBufferPointer(rebasing: buffer.bytes[..<LogFormat.firstFrame])
        header.encode(into: block, seed: seed)
        let begun = Active(
            segment: segment, header: header, base: 0, used: LogFormat.firstFrame, durable: LogFormat.firstFrame)
        active = begun
        self.begun.append(
            LogMap.Segment(
                file: segment, header: header, first: lastIndex + 1, offsets: [], end: UInt32(LogFormat.firstFrame),
                lowest: .max))
        return begun
    }

    /// Writes the buffer's new bytes and returns when they are durable. Keeps (2).
    private func write() throws(LogError) {
        guard var current = active, current.used > current.durable else { return }
        let whole = LogFormat.wholeBlocks(current.used)
        UnsafeMutableRawBufferPointer(rebasing: buffer.bytes[current.used..<whole])
            .initializeMemory(as: UInt8.self, repeating: 0)
        let bytes = UnsafeRawBufferPointer(rebasing: buffer.bytes[..<whole])
        try shared.timed { () throws(LogError) in try current.segment.file.writeDurably(bytes, at: current.base) }
        writtenBytes += whole
        let tail = current.used & ~(LogFormat.blockBytes - 1)
        if tail > 0, current.used > tail {
            let kept = UnsafeRawBufferPointer(rebasing: buffer.bytes[tail..<current.used])
            buffer.bytes.copyMemory(from: kept)
        }
        current.base += tail
        current.used -= tail
        current.durable = current.used
        active = current
    }

    /// Makes the batch durable and shows it to readers. Keeps (6).
    private func flush() throws(LogError) {
        try write()
        guard !staged.isEmpty else { return }
        shared.map.withLock { map in
            var next = begun.startIndex
            for frame in staged {
                while next < begun.endIndex, begun[next].header.generation <= frame.position.generation {
                    map.append(begun[next])
                    next += 1
                }
                map.append(frame)
            }
        }
        begun.removeAll(keepingCapacity: true)
        shared.figures.withLock { figures in
            figures.batches += 1
            figures.entries += UInt64(staged.count)
            figures.entryBytes += UInt64(stagedBytes)
            figures.writtenBytes += UInt64(writtenBytes)
        }
        stagedBytes = 0
        writtenBytes = 0
    }
}
