import RaftCore
import Storage
import Testing

/// What ends a log where every frame by itself is intact, and what proves a loss where no header is in the ring.
@Suite struct LogChainTests {
    /// A log in one segment, made of frames in memory, with nothing in the ring.
    static func image(
        frames: [(entry: Entry, previous: UInt64)], after index: LogIndex = 0, generation: UInt32 = 5
    ) -> LogImage {
        let start = StartRecord(
            sequence: 1, identity: 3, segmentBytes: 8192, headerSlots: 4, firstGeneration: 5, previousIndex: index,
            previousTerm: 0, chain: LogFormat.chain(startingAt: index, term: 0))
        let seed = LogFormat.seed(identity: 3)
        var segment = LogGoldenTests.encoded(8192) { buffer in
            let block = UnsafeMutableRawBufferPointer(rebasing: buffer[..<4096])
            SegmentHeader(
                generation: generation, previousGeneration: 0, previousEnd: 0, lastIndex: index, lastTerm: 0,
                chain: start.chain
            ).encode(into: block, seed: seed)
        }
        var offset = 4096
        for (entry, previous) in frames {
            let count = LogFormat.frameBytes(dataBytes: entry.data.count)
            let frame = LogGoldenTests.encoded(count) { buffer in
                _ = Frame.encode(
                    entry, generation: 5, previous: previous, confirmed: 4096, commit: 0, seed: seed, into: buffer)
            }
            segment.replaceSubrange(offset..<offset + count, with: frame)
            offset += count
        }
        let state = HardStateRecord(sequence: 1, identity: 3, hardState: HardState())
        let stateBytes = LogGoldenTests.encoded(4096) { state.encode(into: $0) }
        let startBytes = LogGoldenTests.encoded(4096) { start.encode(into: $0) }
        return LogImage(files: [
            "start-1": startBytes, "start-2": startBytes, "hardstate-1": stateBytes, "hardstate-2": stateBytes,
            "headers": [UInt8](repeating: 0, count: 4096), "segment-000001": segment,
        ])
    }

    /// The chain hash after an entry.
    static func chain(after entry: Entry, _ previous: UInt64) -> UInt64 {
        let sum = entry.data.withUnsafeBytes { LogFormat.checksum(0, $0) }
        return FrameHeader(
            entry: entry, dataChecksum: sum, generation: 0, previous: previous, confirmed: 0, commit: 0
        ).chain
    }

    @Test func `numbers that no log comes to are refused, not counted with`() {
        #expect(Self.image(frames: [], after: 1 << 62).verdict == .entries([], HardState(commit: 1 << 62)))
        for index in [(1 << 62) + 1, LogIndex.max - 1, .max] {
            #expect(Self.image(frames: [], after: index).verdict == .corrupted)
        }
        // Found by the fuzzer: the next generation was counted from the largest one.
        #expect(Self.image(frames: [], generation: .max).verdict == .corrupted)
    }

    @Test func `an intact frame that breaks the chain ends the log`() {
        let origin = LogFormat.chain(startingAt: 0, term: 0)
        let first = Entry(term: 1, index: 1, data: [1])
        let second = Entry(term: 1, index: 2, data: [2])
        let other = Entry(term: 1, index: 2, data: [3])
        let third = Entry(term: 1, index: 3, data: [4])
        let after1 = Self.chain(after: first, origin)
        let after2 = Self.chain(after: second, after1)
        #expect(
            Self.image(frames: [(first, origin), (second, after1), (third, after2)]).verdict
                == .entries([first, second, third], HardState()))
        // Left behind by a torn write: it continues another second entry.
        #expect(
            Self.image(frames: [(first, origin), (other, after1), (third, after2)]).verdict
                == .entries([first, other], HardState()))
        // A replacement must continue the entry before it as well.
        let replacement = Entry(term: 2, index: 2, data: [9])
        #expect(
            Self.image(frames: [(first, origin), (second, after1), (replacement, after2)]).verdict
                == .entries([first, second], HardState()))
        #expect(
            Self.image(frames: [(first, origin), (second, after1), (replacement, after1)]).verdict
                == .entries([first, replacement], HardState()))
        // A gap does not continue anything.
        #expect(
            Self.image(frames: [(first, origin), (third, after1)]).verdict == .entries([first], HardState()))
    }

    @Test func `a later segment proves that the one before it was durable`() throws {
        // One batch that begins a second segment: no frame of the first tells that its end was durable.
        var files = try LogDamageTests.files { log in try log.persist(entries(1...8, term: 1, bytes: 900)) }
        files["headers"] = [UInt8](repeating: 0, count: 4096)
        let whole = LogImage(files: files).verdict
        #expect(whole == .entries(entries(1...8, term: 1, bytes: 900), HardState()))
        let end = LogImage(files: files).usedBytes("segment-000001")
        files["segment-000001"]?[end - 1] ^= 1
        #expect(LogImage(files: files).verdict == .corrupted)
    }

    @Test func `a commit index beyond the log proves that entries are gone`() throws {
        var files = try LogDamageTests.files { log in
            try log.persist(entries(1...3, term: 1), hardState: HardState(term: 1, vote: 1, commit: 3))
            try log.persist([], hardState: HardState(term: 2, vote: 1, commit: 3))
        }
        files["headers"] = [UInt8](repeating: 0, count: 4096)
        // The last write is all there is: without the commit index it would pass for torn.
        files["segment-000001"]?[4096 + 2 * 88 + 60] ^= 1
        #expect(LogImage(files: files).verdict == .corrupted)
    }
}
