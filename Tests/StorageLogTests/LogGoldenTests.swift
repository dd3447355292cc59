import Foundation
import RaftCore
import Storage
import Testing

/// The bytes on disk, held by files in `Golden`. To change the format, raise its version and keep these files readable.
@Suite struct LogGoldenTests {
    static let identity: UInt64 = 0x0123_4567_89AB_CDEF
    static let seed = LogFormat.seed(identity: identity)
    static let folder = URL(filePath: #filePath).deletingLastPathComponent().appending(path: "Golden")

    /// Compares with a golden file; with HOLDFAST_WRITE_GOLDEN set it writes the file and fails.
    static func expect(_ bytes: [UInt8], equal name: String) throws {
        let file = folder.appending(path: name)
        if ProcessInfo.processInfo.environment["HOLDFAST_WRITE_GOLDEN"] != nil {
            try FileManager.default.createDirectory(
                at: file.deletingLastPathComponent(), withIntermediateDirectories: true)
            try Data(bytes).write(to: file)
            Issue.record("wrote \(name)")
        }
        #expect([UInt8](try Data(contentsOf: file)) == bytes, "\(name)")
    }

    static func encoded(_ count: Int, _ body: (UnsafeMutableRawBufferPointer) -> Void) -> [UInt8] {
        var bytes = [UInt8](repeating: 0, count: count)
        bytes.withUnsafeMutableBytes(body)
        return bytes
    }

    @Test func `frames are written as the golden file has them, and read back`() throws {
        var bytes: [UInt8] = []
        var chain = LogFormat.chain(startingAt: 41, term: 2)
        let written = [
            Entry(term: 3, index: 42), Entry(term: 3, index: 43, data: Array("holdfast".utf8)),
            Entry(kind: .configurationChange, term: 4, index: 44, data: [0, 255, 1]),
            Entry(kind: .configurationChangeV2, term: 0xFFFF_FFFF_FFFF, index: 45, data: [9]),
        ]
        for (entry, commit) in zip(written, [41, 20, 900, 44] as [LogIndex]) {
            let count = LogFormat.frameBytes(dataBytes: entry.data.count)
            bytes += Self.encoded(count) { buffer in
                let header = Frame.encode(
                    entry, generation: 7, previous: chain, confirmed: 4096, commit: commit, seed: Self.seed,
                    into: buffer)
                chain = header.chain
            }
        }
        try Self.expect(bytes, equal: "frames.bin")
        var read: [Entry] = []
        var commits: [LogIndex?] = []
        bytes.withUnsafeBytes { buffer in
            var offset = 0
            while offset < buffer.count {
                let rest = UnsafeRawBufferPointer(rebasing: buffer[offset...])
                guard let entry = Frame.entry(rest, generation: 7, seed: Self.seed),
                    let header = Frame.header(rest, generation: 7, seed: Self.seed)
                else { break }
                #expect(Frame.header(rest, generation: 8, seed: Self.seed) == nil)
                #expect(Frame.header(rest, generation: 7, seed: Self.seed + 1) == nil)
                read.append(entry)
                commits.append(header.commit)
                offset += header.frameBytes
            }
        }
        #expect(read == written)
        // A commit index beyond the entry is told as the entry's own.
        #expect(commits == [41, 20, 44, 44])
    }

    @Test func `a lag too large for its field tells no commit index`() {
        let entry = Entry(term: 1, index: 1 << 40)
        let header = FrameHeader(
            entry: entry, dataChecksum: 0, generation: 1, previous: 0, confirmed: 0, commit: 5)
        #expect(header.commit == nil)
    }

    @Test func `the records are written as the golden files have them, and read back`() throws {
        let segment = SegmentHeader(
            generation: 9, previousGeneration: 8, previousEnd: 67_000_000, lastIndex: 123_456, lastTerm: 17,
            chain: 0xDEAD_BEEF_0000_0001)
        let segmentBytes = Self.encoded(64) { segment.encode(into: $0, seed: Self.seed) }
        try Self.expect(segmentBytes, equal: "segment-header.bin")
        segmentBytes.withUnsafeBytes {
            #expect(SegmentHeader($0, seed: Self.seed) == segment)
            #expect(SegmentHeader($0, seed: Self.seed ^ 1) == nil)
        }
        let ring = RingHeader(
            position: LogPosition(generation: 9, offset: 8192), dataBytes: 77, index: 123_457, chain: 0xFEED)
        let ringBytes = Self.encoded(32) { ring.encode(into: $0, seed: Self.seed) }
        try Self.expect(ringBytes, equal: "ring-header.bin")
        ringBytes.withUnsafeBytes {
            #expect(RingHeader($0, seed: Self.seed) == ring)
            #expect(RingHeader($0, seed: Self.seed ^ 1) == nil)
        }
        let state = HardStateRecord(
            sequence: 12, identity: Self.identity, hardState: HardState(term: 18, vote: 3, commit: 123_400))
        let stateBytes = Self.encoded(64) { state.encode(into: $0) }
        try Self.expect(stateBytes, equal: "hardstate.bin")
        stateBytes.withUnsafeBytes { #expect(HardStateRecord($0) == state) }
        let start = StartRecord(
            sequence: 4, identity: Self.identity, segmentBytes: 64 << 20, headerSlots: 16_384, firstGeneration: 6,
            previousIndex: 99, previousTerm: 11, chain: 0xABCD)
        let startBytes = Self.encoded(80) { start.encode(into: $0) }
        try Self.expect(startBytes, equal: "start.bin")
        startBytes.withUnsafeBytes { #expect(StartRecord($0) == start) }
    }

    @Test func `a whole log is written as the golden directory has it, and opened from there`() throws {
        let directory = try TestDirectory()
        try LogStore.format(directory: directory.path, identity: Self.identity, options: smallOptions())
        let log = try RunningLog(directory.path, options: smallOptions())
        try log.persist(entries(1...4, term: 1, bytes: 900), hardState: HardState(term: 1, vote: 2, commit: 0))
        try log.persist(entries(5...6, term: 1, bytes: 900), hardState: HardState(term: 1, vote: 2, commit: 3))
        try log.persist(entries(5...5, term: 2, bytes: 50), hardState: HardState(term: 2, vote: 1, commit: 3))
        log.store.close()
        let written = try directory.files()
        let names = [
            "headers", "hardstate-1", "hardstate-2", "start-1", "start-2", "segment-000001", "segment-000002",
        ]
        var golden: [String: [UInt8]] = [:]
        for name in names {
            try Self.expect(written[name] ?? [], equal: "log-1/" + name)
            golden[name] = [UInt8](try Data(contentsOf: Self.folder.appending(path: "log-1/" + name)))
        }
        let copy = try TestDirectory()
        try copy.write(golden)
        let (store, recovered) = try LogStore.open(directory: copy.path)
        #expect(recovered.hardState == HardState(term: 2, vote: 1, commit: 3))
        #expect(recovered.terms == [Storage.TermRun(first: 1, term: 1), Storage.TermRun(first: 5, term: 2)])
        let expected = entries(1...4, term: 1, bytes: 900) + entries(5...5, term: 2, bytes: 50)
        #expect(try store.read(from: 1, to: 5, bytesMax: .max) == expected)
    }

    @Test func `a checksum continues the log's own number`() {
        // CRC32C of "123456789" (RFC 3720 appendix B.4).
        #expect(
            "123456789".utf8.withContiguousStorageIfAvailable { LogFormat.checksum(0, UnsafeRawBufferPointer($0)) }
                == 0xE306_9283)
        #expect(LogFormat.seed(identity: 1) != LogFormat.seed(identity: 2))
    }
}
