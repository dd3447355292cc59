package import RaftCore

/// The first 56 bytes of a segment: which generation it holds, and what it continues.
package struct SegmentHeader: Sendable, Equatable {
    /// Counts the segments of the log's whole life; never used twice for frames that were acknowledged.
    package var generation: UInt32
    /// Generation of the segment that this one continues; 0 if the log begins here.
    package var previousGeneration: UInt32
    /// Offset at which that segment ends. It was durable up to there before this header was written.
    package var previousEnd: UInt32
    /// Index of the log's last entry at that point.
    package var lastIndex: LogIndex
    /// Term of that entry.
    package var lastTerm: Term
    /// Chain hash after that entry.
    package var chain: UInt64

    package init(
        generation: UInt32, previousGeneration: UInt32, previousEnd: UInt32, lastIndex: LogIndex, lastTerm: Term,
        chain: UInt64
    ) {
        self.generation = generation
        self.previousGeneration = previousGeneration
        self.previousEnd = previousEnd
        self.lastIndex = lastIndex
        self.lastTerm = lastTerm
        self.chain = chain
    }

    static let magic: UInt64 = 0x3147_4553_4C46_4F48  // "HOFLSEG1"
    static let bytes = 56

    /// Reads a segment's first block; nil if it was never written, is bad, or belongs to another log.
    package init?(_ bytes: UnsafeRawBufferPointer, seed: UInt32) {
        guard bytes.count >= Self.bytes, bytes.word64(8) == Self.magic, bytes.word32(4) == LogFormat.version,
            LogFormat.checksum(seed, UnsafeRawBufferPointer(rebasing: bytes[4..<Self.bytes])) == bytes.word32(0)
        else { return nil }
        generation = bytes.word32(16)
        previousGeneration = bytes.word32(20)
        previousEnd = bytes.word32(24)
        lastIndex = bytes.word64(32)
        lastTerm = bytes.word64(40)
        chain = bytes.word64(48)
    }

    /// Writes a segment's first block: the header, then zeros.
    package func encode(into block: UnsafeMutableRawBufferPointer, seed: UInt32) {
        block.initializeMemory(as: UInt8.self, repeating: 0)
        block.put32(4, LogFormat.version)
        block.put64(8, Self.magic)
        block.put32(16, generation)
        block.put32(20, previousGeneration)
        block.put32(24, previousEnd)
        block.put64(32, lastIndex)
        block.put64(40, lastTerm)
        block.put64(48, chain)
        block.put32(0, LogFormat.checksum(seed, UnsafeRawBufferPointer(rebasing: block[4..<Self.bytes])))
    }
}

/// A place in the log's history: positions grow with time and are never written twice with acknowledged frames.
package struct LogPosition: Sendable, Equatable, Comparable {
    /// Generation of the segment.
    package var generation: UInt32
    /// Offset in it.
    package var offset: UInt32

    package init(generation: UInt32, offset: UInt32) {
        self.generation = generation
        self.offset = offset
    }

    package static func < (left: LogPosition, right: LogPosition) -> Bool {
        (left.generation, left.offset) < (right.generation, right.offset)
    }
}

/// One slot of the header ring, 32 bytes: the frame at this position was durable.
package struct RingHeader: Sendable, Equatable {
    /// Where the frame lies.
    package var position: LogPosition
    /// Bytes of the frame's data.
    package var dataBytes: UInt32
    /// Index of the entry.
    package var index: LogIndex
    /// Chain hash after the entry.
    package var chain: UInt64

    package init(position: LogPosition, dataBytes: UInt32, index: LogIndex, chain: UInt64) {
        self.position = position
        self.dataBytes = dataBytes
        self.index = index
        self.chain = chain
    }

    /// Bytes of a slot.
    package static let bytes = 32

    /// Reads a slot; nil if it was never written, is bad, or belongs to another log.
    package init?(_ bytes: UnsafeRawBufferPointer, seed: UInt32) {
        guard bytes.count >= Self.bytes,
            LogFormat.checksum(seed, UnsafeRawBufferPointer(rebasing: bytes[4..<Self.bytes])) == bytes.word32(0)
        else { return nil }
        position = LogPosition(generation: bytes.word32(4), offset: bytes.word32(8))
        dataBytes = bytes.word32(12)
        index = bytes.word64(16)
        chain = bytes.word64(24)
    }

    /// Writes a slot.
    package func encode(into bytes: UnsafeMutableRawBufferPointer, seed: UInt32) {
        bytes.put32(4, position.generation)
        bytes.put32(8, position.offset)
        bytes.put32(12, dataBytes)
        bytes.put64(16, index)
        bytes.put64(24, chain)
        bytes.put32(0, LogFormat.checksum(seed, UnsafeRawBufferPointer(rebasing: bytes[4..<Self.bytes])))
    }
}

/// A small record kept in two files, one copy each; the copy with the higher sequence holds.
package protocol CopiedRecord: Sendable, Equatable {
    /// Grows with every write.
    var sequence: UInt64 { get set }
    /// Reads a copy; nil if it is bad.
    init?(_ bytes: UnsafeRawBufferPointer)
    /// Writes a copy of one block.
    func encode(into block: UnsafeMutableRawBufferPointer)
}

extension CopiedRecord {
    /// The copy that holds, and whether the others are unlike it (bad, missing or from before a crash); nil if all are bad.
    package static func better(of copies: [Self?]) -> (record: Self, differ: Bool)? {
        let best = copies.compactMap { $0 }.max { $0.sequence < $1.sequence }
        return best.map { best in (best, copies.contains { $0 != best }) }
    }
}

/// What the files `hardstate-1` and `hardstate-2` hold.
package struct HardStateRecord: CopiedRecord {
    package var sequence: UInt64
    /// Number of the log that this hard state belongs to.
    package var identity: UInt64
    /// Term, vote, and a commit index whose entries were durable when this was written.
    package var hardState: HardState

    package init(sequence: UInt64, identity: UInt64, hardState: HardState) {
        self.sequence = sequence
        self.identity = identity
        self.hardState = hardState
    }

    static let magic: UInt64 = 0x3141_5453_4C46_4F48  // "HOFLSTA1"
    static let bytes = 56

    package init?(_ bytes: UnsafeRawBufferPointer) {
        guard bytes.count >= Self.bytes, bytes.word64(8) == Self.magic, bytes.word32(4) == LogFormat.version,
            LogFormat.checksum(0, UnsafeRawBufferPointer(rebasing: bytes[4..<Self.bytes])) == bytes.word32(0)
        else { return nil }
        identity = bytes.word64(16)
        sequence = bytes.word64(24)
        hardState = HardState(term: bytes.word64(32), vote: bytes.word64(40), commit: bytes.word64(48))
    }

    package func encode(into block: UnsafeMutableRawBufferPointer) {
        block.initializeMemory(as: UInt8.self, repeating: 0)
        block.put32(4, LogFormat.version)
        block.put64(8, Self.magic)
        block.put64(16, identity)
        block.put64(24, sequence)
        block.put64(32, hardState.term)
        block.put64(40, hardState.vote)
        block.put64(48, hardState.commit)
        block.put32(0, LogFormat.checksum(0, UnsafeRawBufferPointer(rebasing: block[4..<Self.bytes])))
    }
}

/// What the files `start-1` and `start-2` hold: the log's shape, and the point before its first entry.
package struct StartRecord: CopiedRecord {
    package var sequence: UInt64
    /// Number of this log; part of every checksum in its segments and its header ring.
    package var identity: UInt64
    /// Bytes of a segment.
    package var segmentBytes: UInt32
    /// Slots of the header ring.
    package var headerSlots: UInt32
    /// Generation of the segment in which the log begins; segments of older generations are free.
    package var firstGeneration: UInt32
    /// Index before the first entry.
    package var previousIndex: LogIndex
    /// Its term.
    package var previousTerm: Term
    /// Chain hash at that point.
    package var chain: UInt64

    package init(
        sequence: UInt64, identity: UInt64, segmentBytes: UInt32, headerSlots: UInt32, firstGeneration: UInt32,
        previousIndex: LogIndex, previousTerm: Term, chain: UInt64
    ) {
        self.sequence = sequence
        self.identity = identity
        self.segmentBytes = segmentBytes
        self.headerSlots = headerSlots
        self.firstGeneration = firstGeneration
        self.previousIndex = previousIndex
        self.previousTerm = previousTerm
        self.chain = chain
    }

    static let magic: UInt64 = 0x3141_4F4C_4C46_4F48  // "HOFLLOA1"
    static let bytes = 72

    package init?(_ bytes: UnsafeRawBufferPointer) {
        guard bytes.count >= Self.bytes, bytes.word64(8) == Self.magic, bytes.word32(4) == LogFormat.version,
            LogFormat.checksum(0, UnsafeRawBufferPointer(rebasing: bytes[4..<Self.bytes])) == bytes.word32(0)
        else { return nil }
        identity = bytes.word64(16)
        sequence = bytes.word64(24)
        segmentBytes = bytes.word32(32)
        headerSlots = bytes.word32(36)
        firstGeneration = bytes.word32(40)
        previousIndex = bytes.word64(48)
        previousTerm = bytes.word64(56)
        chain = bytes.word64(64)
    }

    package func encode(into block: UnsafeMutableRawBufferPointer) {
        block.initializeMemory(as: UInt8.self, repeating: 0)
        block.put32(4, LogFormat.version)
        block.put64(8, Self.magic)
        block.put64(16, identity)
        block.put64(24, sequence)
        block.put32(32, segmentBytes)
        block.put32(36, headerSlots)
        block.put32(40, firstGeneration)
        block.put64(48, previousIndex)
        block.put64(56, previousTerm)
        block.put64(64, chain)
        block.put32(0, LogFormat.checksum(0, UnsafeRawBufferPointer(rebasing: block[4..<Self.bytes])))
    }
}
