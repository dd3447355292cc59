internal import RaftCore

/// Where the durable entries lie. The writer changes it once a batch, readers look into it; it is always under a lock.
///
/// Invariants:
/// 1. `segments` are in the order of the log, and the entries that count in them are contiguous from `previousIndex + 1` to `lastIndex`.
/// 2. `terms` covers exactly these entries, and neighbouring runs differ in term.
struct LogMap: Sendable {
    struct Segment: Sendable {
        let file: SegmentFile
        let header: SegmentHeader
        /// Index of the first entry that counts here, if `offsets` is not empty.
        var first: LogIndex
        /// Frames of the entries that count here.
        var offsets: [UInt32]
        /// Offset behind the last frame.
        var end: UInt32
        /// Lowest index of any frame here.
        var lowest: LogIndex
    }

    /// A stretch of entries in one segment, to be read without the lock.
    struct Stretch: Sendable {
        let file: SegmentFile
        let generation: UInt32
        let first: LogIndex
        let offsets: [UInt32]
        /// Offset behind the last frame of the stretch.
        let end: UInt32
    }

    private(set) var previousIndex: LogIndex
    private(set) var previousTerm: Term
    private(set) var lastIndex: LogIndex
    private(set) var segments: [Segment]
    private(set) var terms: [TermRun]

    /// Entries of one stretch at most, so that the lock is held shortly.
    private static let stretchMax = 4096

    init(start: StartRecord, segments: [Segment], terms: [TermRun], lastIndex: LogIndex) {
        previousIndex = start.previousIndex
        previousTerm = start.previousTerm
        self.segments = segments
        self.terms = terms
        self.lastIndex = lastIndex
    }

    /// Term of an entry or of the point before the first; nil outside.
    func term(at index: LogIndex) -> Term? {
        if index == previousIndex { return previousTerm }
        guard index > previousIndex, index <= lastIndex else { return nil }
        var low = 0
        var high = terms.count
        while low < high {
            let middle = (low + high) / 2
            if terms[middle].first <= index { low = middle + 1 } else { high = middle }
        }
        return low > 0 ? terms[low - 1].term : nil
    }

    /// The stretch of entries from `index` on that lies in one segment and ends at `to` at the latest; nil if the index is not in the log.
    func stretch(from index: LogIndex, to: LogIndex) -> Stretch? {
        guard index > previousIndex, index <= lastIndex else { return nil }
        for segment in segments.reversed() where !segment.offsets.isEmpty && segment.first <= index {
            let from = Int(index - segment.first)
            guard from < segment.offsets.count else { return nil }
            let count = min(to - index, UInt64(Self.stretchMax - 1), UInt64(segment.offsets.count - from - 1))
            let behind = from + Int(count) + 1
            return Stretch(
                file: segment.file, generation: segment.header.generation, first: index,
                offsets: Array(segment.offsets[from..<behind]),
                end: behind < segment.offsets.count ? segment.offsets[behind] : segment.end)
        }
        return nil
    }

    /// Adds a segment behind the others.
    mutating func append(_ segment: Segment) { segments.append(segment) }

    /// Adds a durable frame of the last segment; its index may lie in the log, which is then cut before it.
    mutating func append(_ frame: StagedFrame) {
        if frame.index <= lastIndex { cut(from: frame.index) }
        if terms.last?.term != frame.term { terms.append(TermRun(first: frame.index, term: frame.term)) }
        lastIndex = frame.index
        let last = segments.count - 1
        if segments[last].offsets.isEmpty { segments[last].first = frame.index }
        segments[last].offsets.append(frame.position.offset)
        segments[last].end = frame.position.offset + UInt32(LogFormat.frameBytes(dataBytes: Int(frame.dataBytes)))
        segments[last].lowest = min(segments[last].lowest, frame.index)
    }

    private mutating func cut(from index: LogIndex) {
        while let run = terms.last, run.first >= index { terms.removeLast() }
        for segment in segments.indices.reversed() where !segments[segment].offsets.isEmpty {
            let kept = index > segments[segment].first ? Int(index - segments[segment].first) : 0
            if kept >= segments[segment].offsets.count { break }
            segments[segment].offsets.removeSubrange(kept...)
        }
        lastIndex = index - 1
    }

    /// How many segments at the front hold nothing that is needed once all entries up to `index` may go; never all of them.
    func removable(through index: LogIndex) -> Int {
        var lowest = LogIndex.max
        for segment in segments.indices.reversed() where segment > 0 {
            lowest = min(lowest, segments[segment].lowest)
            // The point before the first entry must be one that no later frame replaces.
            let point = segments[segment].header.lastIndex
            if point <= index, lowest > point { return segment }
        }
        return 0
    }

    /// The point before the oldest segment that would be kept if only `bytes` of segments were: what lies at or below it may go. 0 if
    /// all of them fit. The segment in use counts as its frames do.
    func point(keepingBytes bytes: UInt64) -> LogIndex {
        var kept: UInt64 = 0
        var next: Segment?
        for segment in segments.reversed() {
            kept += UInt64(segment.end)
            if kept > bytes, let next { return next.header.lastIndex }
            next = segment
        }
        return 0
    }

    /// Drops segments at the front; the log then begins behind the point that the next one continues.
    mutating func removeFirst(_ count: Int) -> [SegmentFile] {
        let removed = segments[..<count].map(\.file)
        segments.removeFirst(count)
        guard let header = segments.first?.header else { return removed }
        previousIndex = header.lastIndex
        previousTerm = header.lastTerm
        while terms.count > 1, terms[1].first <= previousIndex + 1 { terms.removeFirst() }
        if lastIndex <= previousIndex { terms = [] }
        if let run = terms.first, run.first <= previousIndex { terms[0].first = previousIndex + 1 }
        return removed
    }

    /// Drops everything; the log then begins behind the given point.
    mutating func reset(index: LogIndex, term: Term) -> [SegmentFile] {
        let removed = segments.map(\.file)
        segments = []
        terms = []
        previousIndex = index
        previousTerm = term
        lastIndex = index
        return removed
    }
}
