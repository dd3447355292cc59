package import RaftCore

/// One segment as recovery found it, in the order of the log.
package struct RecoveredSegment: Sendable, Equatable {
    /// Number of its file.
    package var slot: Int
    /// What it says of itself.
    package var header: SegmentHeader
    /// Index of the first entry that still counts here, if any does.
    package var first: LogIndex
    /// Offsets of the frames of the entries that still count, by index from `first`; frames replaced later are left out.
    package var offsets: [UInt32]
    /// Offset behind the last frame.
    package var end: UInt32
    /// The lowest index of any frame here, replaced or not: the segments before it cannot go while they hold its predecessor.
    package var lowest: LogIndex
}

/// What the bytes of a log say. Pure: bytes in, verdict out.
///
/// Verdicts, at the first place where no intact frame continues the chain:
/// 1. A segment that continues the log from exactly this place: go on there.
/// 2. Something proves that more was durable once (a header in the ring at or behind this place, a frame behind it that was
///    written after it had become durable, a later segment, a commit index beyond the log): `corrupted`.
/// 3. Otherwise the tail is torn: it was never acknowledged, and the log ends here.
package struct LogRecovery {
    /// Segments of the log in order; empty if nothing was written since it was started.
    package private(set) var segments: [RecoveredSegment] = []
    /// Index of the last entry.
    package private(set) var lastIndex: LogIndex
    /// Term of the last entry.
    package private(set) var lastTerm: Term
    /// Chain hash after the last entry.
    package private(set) var chain: UInt64
    /// Highest commit index told by a frame or the hard state.
    package private(set) var commit: LogIndex
    /// Terms of the entries.
    package private(set) var terms: [TermRun] = []
    /// Bytes behind the last segment's end that hold frames of a torn write and are to be zeroed.
    package private(set) var tornBytes = 0
    /// The generation for the next segment.
    package private(set) var nextGeneration: UInt32

    /// The largest index at which a log may begin: 2⁶² entries are more than any disk holds, and leave room to count.
    private static let indexMax: LogIndex = 1 << 62

    private let start: StartRecord
    private let seed: UInt32
    /// Chain hashes after the entries, from `start.previousIndex` on, so that a replacement can be checked.
    private var chains: [UInt64]

    /// Reads a log.
    ///
    /// - Parameters:
    ///   - start: the better copy of the log's start.
    ///   - commit: the commit index of the better copy of the hard state.
    ///   - ring: the bytes of the header ring.
    ///   - headers: the first block of every segment file, by slot.
    ///   - load: gives the bytes of a slot's file, or the first `bytesMax` of them, valid until the next call.
    package init(
        start: StartRecord, commit: LogIndex, ring: UnsafeRawBufferPointer,
        headers: [(slot: Int, header: SegmentHeader?)],
        load: (_ slot: Int, _ bytesMax: Int) throws(LogError) -> UnsafeRawBufferPointer
    ) throws(LogError) {
        self.start = start
        seed = LogFormat.seed(identity: start.identity)
        lastIndex = start.previousIndex
        lastTerm = start.previousTerm
        chain = start.chain
        chains = [start.chain]
        self.commit = max(commit, start.previousIndex)
        nextGeneration = start.firstGeneration
        // Numbers that no log comes to; with them the next index or generation could not be counted.
        guard start.previousIndex <= Self.indexMax, start.firstGeneration < .max else {
            throw .corrupted(index: 0, detail: "the log says that it begins after index \(start.previousIndex)")
        }
        for (slot, header) in headers {
            guard let header else { continue }
            guard header.generation < .max else {
                throw .corrupted(
                    index: start.previousIndex + 1, detail: "segment \(slot) has generation \(header.generation)")
            }
            nextGeneration = max(nextGeneration, header.generation + 1)
        }
        var bytes = UnsafeRawBufferPointer(start: nil, count: 0)
        while let next = successor(in: headers) {
            bytes = try load(next.slot, .max)
            segments.append(next)
            scan(bytes)
            // Segments get their names at full size: no crash shortens one, and what is gone may have been acknowledged.
            if bytes.count < Int(start.segmentBytes) {
                throw .corrupted(index: lastIndex + 1, detail: "segment \(next.slot) ends at byte \(bytes.count)")
            }
        }
        let durable = try proofs(ring: ring, headers: headers, tail: bytes, load: load)
        if let index = durable {
            throw .corrupted(
                index: index, detail: "the log ends at index \(lastIndex), but entry \(index) had been made durable")
        }
        self.commit = min(self.commit, lastIndex)
    }

    /// Where the log ends so far.
    private var end: LogPosition {
        guard let last = segments.last else { return LogPosition(generation: start.firstGeneration, offset: 0) }
        return LogPosition(generation: last.header.generation, offset: last.end)
    }

    /// The segment that continues the log from exactly its present end.
    private func successor(in headers: [(slot: Int, header: SegmentHeader?)]) -> RecoveredSegment? {
        var best: RecoveredSegment?
        for (slot, header) in headers {
            guard let header, header.generation >= start.firstGeneration,
                header.lastIndex == lastIndex, header.lastTerm == lastTerm, header.chain == chain
            else { continue }
            if segments.isEmpty {
                guard header.generation == start.firstGeneration else { continue }
            } else {
                guard header.generation > end.generation, header.previousGeneration == end.generation,
                    header.previousEnd == end.offset
                else { continue }
            }
            if let best, best.header.generation > header.generation { continue }
            best = RecoveredSegment(
                slot: slot, header: header, first: lastIndex + 1, offsets: [], end: UInt32(LogFormat.firstFrame),
                lowest: .max)
        }
        return best
    }

    /// Reads the frames of the segment added last, up to the first that is bad or breaks the chain.
    private mutating func scan(_ bytes: UnsafeRawBufferPointer) {
        let current = segments.count - 1
        let generation = segments[current].header.generation
        var offset = LogFormat.firstFrame
        while offset < bytes.count {
            let rest = UnsafeRawBufferPointer(rebasing: bytes[offset...])
            guard let frame = Frame.header(rest, generation: generation, seed: seed), accept(frame) else { break }
            if segments[current].offsets.isEmpty { segments[current].first = frame.index }
            segments[current].offsets.append(UInt32(offset))
            segments[current].lowest = min(segments[current].lowest, frame.index)
            offset += frame.frameBytes
            segments[current].end = UInt32(offset)
        }
    }

    /// Takes an intact frame into the log if it continues the chain, at the end or in the place of a conflicting tail.
    private mutating func accept(_ frame: FrameHeader) -> Bool {
        guard frame.index > start.previousIndex, frame.index <= lastIndex + 1 else { return false }
        let before = Int(frame.index - start.previousIndex) - 1
        guard frame.previous == chains[before] else { return false }
        if frame.index <= lastIndex {
            chains.removeSubrange((before + 1)...)
            while let run = terms.last, run.first >= frame.index { terms.removeLast() }
            drop(from: frame.index)
        }
        if terms.last?.term != frame.term { terms.append(TermRun(first: frame.index, term: frame.term)) }
        lastIndex = frame.index
        lastTerm = frame.term
        chain = frame.chain
        chains.append(chain)
        if let told = frame.commit { commit = max(commit, told) }
        return true
    }

    /// Forgets the offsets of replaced entries.
    private mutating func drop(from index: LogIndex) {
        for segment in segments.indices.reversed() where !segments[segment].offsets.isEmpty {
            let kept = index > segments[segment].first ? Int(index - segments[segment].first) : 0
            if kept >= segments[segment].offsets.count { return }
            segments[segment].offsets.removeSubrange(kept...)
        }
    }

    /// Looks for proof that more than the log read so far had been durable; returns the index that is lost. Sets `tornBytes`.
    private mutating func proofs(
        ring: UnsafeRawBufferPointer, headers: [(slot: Int, header: SegmentHeader?)], tail: UnsafeRawBufferPointer,
        load: (_ slot: Int, _ bytesMax: Int) throws(LogError) -> UnsafeRawBufferPointer
    ) throws(LogError) -> LogIndex? {
        let end = end
        var lost: RingHeader?
        for slot in 0..<ring.count / RingHeader.bytes {
            let bytes = UnsafeRawBufferPointer(rebasing: ring[(slot * RingHeader.bytes)...])
            guard let header = RingHeader(bytes, seed: seed), header.position >= end else { continue }
            if let lost, lost.position <= header.position { continue }
            lost = header
        }
        if let lost { return lost.position == end ? lost.index : min(lost.index, lastIndex + 1) }
        if commit > lastIndex { return lastIndex + 1 }
        for (_, header) in headers {
            guard let header else { continue }
            if header.generation > end.generation { return lastIndex + 1 }
            if segments.isEmpty, header.generation == end.generation { return lastIndex + 1 }
        }
        if !segments.isEmpty {
            let (confirmed, extent) = Self.frames(
                in: tail, from: Int(end.offset), generation: end.generation, seed: seed)
            if confirmed > Int(end.offset) { return lastIndex + 1 }
            tornBytes = extent - Int(end.offset)
        }
        // A segment whose header went bad says its generation in its frames.
        for (slot, header) in headers where header == nil {
            let bytes = try load(slot, LogFormat.firstFrame + LogFormat.frameHeaderBytes)
            if bytes.count < LogFormat.firstFrame + LogFormat.frameHeaderBytes { return lastIndex + 1 }
            guard let first = FrameHeader(UnsafeRawBufferPointer(rebasing: bytes[LogFormat.firstFrame...]), seed: seed),
                first.generation >= start.firstGeneration, first.generation > end.generation || segments.isEmpty
            else { continue }
            let found = Self.frames(
                in: try load(slot, .max), from: LogFormat.firstFrame, generation: first.generation, seed: seed)
            if found.confirmed > LogFormat.firstFrame { return lastIndex + 1 }
        }
        return nil
    }

    /// Frames of a generation anywhere behind an offset: the largest offset that they call durable, and the end of the last one.
    private static func frames(
        in bytes: UnsafeRawBufferPointer, from: Int, generation: UInt32, seed: UInt32
    ) -> (confirmed: Int, extent: Int) {
        var confirmed = 0
        var extent = from
        var offset = from
        while offset + LogFormat.frameHeaderBytes <= bytes.count {
            if bytes.word32(offset + 12) == generation,
                let header = FrameHeader(UnsafeRawBufferPointer(rebasing: bytes[offset...]), seed: seed)
            {
                confirmed = max(confirmed, Int(header.confirmed))
                extent = max(extent, min(offset + header.frameBytes, bytes.count))
                offset += header.frameBytes
            } else {
                offset += LogFormat.frameAlignment
            }
        }
        return (confirmed, extent)
    }
}
