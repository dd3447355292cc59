internal import CHoldfast
package import RaftCore

/// The constants and sums of the log's bytes; `Docs/Reference/DataFormat.md` draws them. All numbers are little-endian.
package enum LogFormat {
    /// Format version that this code writes and the only one that it reads.
    package static let version: UInt32 = 1
    /// Files are written in whole blocks of this size; a segment's first frame begins at the second block.
    package static let blockBytes = 4096
    /// Bytes of a frame before its data.
    package static let frameHeaderBytes = 48
    /// Offset of the first frame in a segment.
    package static let firstFrame = 4096
    /// Frames begin at multiples of this.
    package static let frameAlignment = 8

    /// Bytes that an entry with so many payload bytes takes in a segment.
    package static func frameBytes(dataBytes: Int) -> Int {
        (frameHeaderBytes + dataBytes + frameAlignment - 1) & ~(frameAlignment - 1)
    }

    /// Bytes rounded up to whole blocks.
    package static func wholeBlocks(_ bytes: Int) -> Int { (bytes + blockBytes - 1) & ~(blockBytes - 1) }

    /// CRC32C of a buffer, continuing `seed`.
    package static func checksum(_ seed: UInt32, _ bytes: UnsafeRawBufferPointer) -> UInt32 {
        chf_crc32c(seed, bytes.baseAddress, bytes.count)
    }

    /// The sum that every checksum of one log continues: a file of another log never passes for one of this log.
    package static func seed(identity: UInt64) -> UInt32 {
        withUnsafeBytes(of: identity.littleEndian) { checksum(0, $0) }
    }

    /// The chain hash of the point at which a log begins: a function of its index and term alone.
    package static func chain(startingAt index: LogIndex, term: Term) -> UInt64 {
        mix(mix(0x486F_6C64_6661_7374, index), term)
    }

    /// One step of the chain hash: multiply and fold, so that every earlier word reaches every later value.
    static func mix(_ hash: UInt64, _ word: UInt64) -> UInt64 {
        let product = ((hash ^ word) &+ 0x9E37_79B9_7F4A_7C15) &* 0xD6E8_FEB8_6659_FD93
        return product ^ (product >> 32)
    }
}

/// The 48 bytes before an entry's data.
package struct FrameHeader: Sendable, Equatable {
    /// CRC32C of the data alone.
    package var dataChecksum: UInt32
    /// Bytes of data.
    package var dataBytes: UInt32
    /// Generation of the segment at the time of writing: a recycled segment is full of valid frames of an older one.
    package var generation: UInt32
    /// Index of the entry.
    package var index: LogIndex
    /// Term of the entry.
    package var term: Term
    /// Chain hash of the entry before this one.
    package var previous: UInt64
    /// Offset in this segment before which everything was durable when this frame was written.
    package var confirmed: UInt32
    /// The entry's index less the commit index known then (24 bits; the largest value says that it is not told).
    package var commitLag: UInt32
    /// Raw value of the entry's kind.
    package var kind: UInt8

    /// The lag that tells no commit index.
    package static let lagUntold: UInt32 = 0xFF_FFFF

    package init(
        entry: Entry, dataChecksum: UInt32, generation: UInt32, previous: UInt64, confirmed: UInt32, commit: LogIndex
    ) {
        self.dataChecksum = dataChecksum
        self.dataBytes = UInt32(entry.data.count)
        self.generation = generation
        index = entry.index
        term = entry.term
        self.previous = previous
        self.confirmed = confirmed
        // A commit beyond this entry says no more here than one at it: later entries may still be replaced.
        commitLag = UInt32(min(entry.index - min(commit, entry.index), UInt64(Self.lagUntold)))
        kind = entry.kind.rawValue
    }

    /// Reads the header at the start of `bytes`; nil if it is cut short or its checksum is wrong.
    package init?(_ bytes: UnsafeRawBufferPointer, seed: UInt32) {
        guard bytes.count >= LogFormat.frameHeaderBytes else { return nil }
        let sum = LogFormat.checksum(seed, UnsafeRawBufferPointer(rebasing: bytes[4..<LogFormat.frameHeaderBytes]))
        guard sum == bytes.word32(0) else { return nil }
        dataChecksum = bytes.word32(4)
        dataBytes = bytes.word32(8)
        generation = bytes.word32(12)
        index = bytes.word64(16)
        term = bytes.word64(24)
        previous = bytes.word64(32)
        confirmed = bytes.word32(40)
        commitLag = bytes.word32(44) >> 8
        kind = bytes[44]
    }

    /// Writes the header to the first 48 bytes of `bytes`.
    package func encode(into bytes: UnsafeMutableRawBufferPointer, seed: UInt32) {
        bytes.put32(4, dataChecksum)
        bytes.put32(8, dataBytes)
        bytes.put32(12, generation)
        bytes.put64(16, index)
        bytes.put64(24, term)
        bytes.put64(32, previous)
        bytes.put32(40, confirmed)
        bytes.put32(44, commitLag << 8 | UInt32(kind))
        let covered = UnsafeRawBufferPointer(rebasing: bytes[4..<LogFormat.frameHeaderBytes])
        bytes.put32(0, LogFormat.checksum(seed, covered))
    }

    /// Bytes of the whole frame.
    package var frameBytes: Int { LogFormat.frameBytes(dataBytes: Int(dataBytes)) }

    /// The chain hash after this entry. It depends on what every replica holds alike, not on where the frame lies.
    package var chain: UInt64 {
        let shape = UInt64(dataChecksum) << 32 | UInt64(dataBytes & 0xFF_FFFF) << 8 | UInt64(kind)
        return LogFormat.mix(LogFormat.mix(LogFormat.mix(previous, index), term), shape)
    }

    /// The commit index that the frame tells; nil if it tells none.
    package var commit: LogIndex? { commitLag == Self.lagUntold || commitLag > index ? nil : index - UInt64(commitLag) }

    /// Whether `data` is the data that this header was written for.
    package func matches(data: UnsafeRawBufferPointer) -> Bool {
        data.count == Int(dataBytes) && LogFormat.checksum(0, data) == dataChecksum
    }
}

/// A whole frame: writing it, and reading it back.
package enum Frame {
    /// Writes a frame and the zeros up to the next frame's place; returns its header. `bytes` holds at least the frame.
    package static func encode(
        _ entry: Entry, generation: UInt32, previous: UInt64, confirmed: UInt32, commit: LogIndex, seed: UInt32,
        into bytes: UnsafeMutableRawBufferPointer
    ) -> FrameHeader {
        let sum = entry.data.withUnsafeBytes { LogFormat.checksum(0, $0) }
        let header = FrameHeader(
            entry: entry, dataChecksum: sum, generation: generation, previous: previous, confirmed: confirmed,
            commit: commit)
        header.encode(into: bytes, seed: seed)
        let dataEnd = LogFormat.frameHeaderBytes + entry.data.count
        let data = UnsafeMutableRawBufferPointer(rebasing: bytes[LogFormat.frameHeaderBytes..<dataEnd])
        entry.data.withUnsafeBytes { data.copyMemory(from: $0) }
        for offset in dataEnd..<header.frameBytes { bytes[offset] = 0 }
        return header
    }

    /// Reads the header of the frame at the start of `bytes` if the whole frame is intact and of this generation.
    package static func header(
        _ bytes: UnsafeRawBufferPointer, generation: UInt32, seed: UInt32
    ) -> FrameHeader? {
        guard let header = FrameHeader(bytes, seed: seed), header.generation == generation,
            header.frameBytes <= bytes.count, Entry.Kind(rawValue: header.kind) != nil,
            header.matches(data: data(of: header, in: bytes))
        else { return nil }
        return header
    }

    /// Reads the frame at the start of `bytes` if it is intact and of this generation.
    package static func entry(_ bytes: UnsafeRawBufferPointer, generation: UInt32, seed: UInt32) -> Entry? {
        guard let header = header(bytes, generation: generation, seed: seed),
            let kind = Entry.Kind(rawValue: header.kind)
        else { return nil }
        return Entry(kind: kind, term: header.term, index: header.index, data: [UInt8](data(of: header, in: bytes)))
    }

    private static func data(of header: FrameHeader, in bytes: UnsafeRawBufferPointer) -> UnsafeRawBufferPointer {
        let end = LogFormat.frameHeaderBytes + Int(header.dataBytes)
        return UnsafeRawBufferPointer(rebasing: bytes[LogFormat.frameHeaderBytes..<end])
    }
}

extension UnsafeRawBufferPointer {
    /// The little-endian 32-bit number at an offset.
    func word32(_ offset: Int) -> UInt32 {
        UInt32(littleEndian: loadUnaligned(fromByteOffset: offset, as: UInt32.self))
    }
    /// The little-endian 64-bit number at an offset.
    func word64(_ offset: Int) -> UInt64 {
        UInt64(littleEndian: loadUnaligned(fromByteOffset: offset, as: UInt64.self))
    }
}

extension UnsafeMutableRawBufferPointer {
    /// Stores a 32-bit number at an offset, little-endian.
    func put32(_ offset: Int, _ value: UInt32) {
        storeBytes(of: value.littleEndian, toByteOffset: offset, as: UInt32.self)
    }
    /// Stores a 64-bit number at an offset, little-endian.
    func put64(_ offset: Int, _ value: UInt64) {
        storeBytes(of: value.littleEndian, toByteOffset: offset, as: UInt64.self)
    }
}
