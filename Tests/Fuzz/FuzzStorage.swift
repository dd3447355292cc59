import Foundation
import NIOCore

@testable import Holdfast
@testable import RaftCore
@testable import ReplicaCore
@testable import Storage

/// The checksum of frames and the log.
enum LogSum {
    static func crc32c(_ seed: UInt32, _ bytes: UnsafeRawBufferPointer) -> UInt32 { LogFormat.checksum(seed, bytes) }
}

/// Bytes at an address that stays.
private final class Held {
    let view: UnsafeMutableRawBufferPointer

    init(count: Int) {
        view = .allocate(byteCount: count, alignment: 16)
        view.initializeMemory(as: UInt8.self, repeating: 0)
    }

    deinit { view.deallocate() }
}

/// Recovery of a log. The input is a program that writes segments, frames and ring headers with right checksums and any fields, and
/// then damages bytes: random bytes alone would never pass a checksum.
enum FuzzLog {
    private static let segmentBytes = 4096 * 3
    private static let slots = 8

    static func run(_ bytes: [UInt8]) {
        var input = Input(bytes)
        let previousIndex = input.number()
        let previousTerm = input.number()
        let start = StartRecord(
            sequence: 1, identity: 7, segmentBytes: UInt32(segmentBytes), headerSlots: UInt32(slots),
            firstGeneration: UInt32(truncatingIfNeeded: input.number()), previousIndex: previousIndex,
            previousTerm: previousTerm, chain: LogFormat.chain(startingAt: previousIndex, term: previousTerm))
        let seed = LogFormat.seed(identity: 7)
        var writer = Writer(start: start, seed: seed)
        let ring = Held(count: slots * RingHeader.bytes)
        while !input.isEmpty {
            switch input.below(8) {
            case 0: writer.segment(&input)
            case 1, 2, 3, 4: writer.frame(&input)
            case 5: writer.ring(&input, ring.view, slots)
            case 6: writer.damage(&input)
            default: ring.view[input.below(ring.view.count)] ^= input.byte()
            }
        }
        recover(start, commit: input.number(), ring, writer.segments, seed)
    }

    private static func recover(
        _ start: StartRecord, commit: LogIndex, _ ring: Held, _ segments: [Held], _ seed: UInt32
    ) {
        let headers = segments.indices.map { slot in
            (slot: slot, header: SegmentHeader(UnsafeRawBufferPointer(segments[slot].view), seed: seed))
        }
        do throws(LogError) {
            let recovery = try LogRecovery(
                start: start, commit: commit, ring: UnsafeRawBufferPointer(ring.view), headers: headers
            ) { slot, bytesMax in
                UnsafeRawBufferPointer(rebasing: UnsafeRawBufferPointer(segments[slot].view).prefix(bytesMax))
            }
            precondition(recovery.lastIndex >= start.previousIndex && recovery.commit <= recovery.lastIndex)
            var index = start.previousIndex
            for segment in recovery.segments {
                for offset in segment.offsets {
                    let bytes = UnsafeRawBufferPointer(rebasing: segments[segment.slot].view[Int(offset)...])
                    guard let entry = Frame.entry(bytes, generation: segment.header.generation, seed: seed) else {
                        preconditionFailure("recovery counts a bad frame")
                    }
                    index += 1
                    precondition(entry.index == index, "recovery left a gap")
                }
            }
            precondition(index == recovery.lastIndex, "the entries do not reach the last index")
        } catch {
            return
        }
    }

    /// Segments under construction.
    private struct Writer {
        let start: StartRecord
        let seed: UInt32
        var segments: [Held] = []
        private var offset = LogFormat.firstFrame
        private var generation: UInt32 = 0
        /// Index, term and chain after every entry, so that a conflicting tail can be written.
        private var points: [(index: UInt64, term: UInt64, chain: UInt64)]

        init(start: StartRecord, seed: UInt32) {
            self.start = start
            self.seed = seed
            points = [(start.previousIndex, start.previousTerm, start.chain)]
        }

        private var last: (index: UInt64, term: UInt64, chain: UInt64) { points[points.count - 1] }

        mutating func segment(_ input: inout Input) {
            guard segments.count < 5 else { return }
            let isHonest = input.byte() & 7 != 0
            let next = segments.isEmpty ? start.firstGeneration : generation &+ 1
            var header = SegmentHeader(
                generation: next, previousGeneration: segments.isEmpty ? 0 : generation,
                previousEnd: segments.isEmpty ? 0 : UInt32(offset), lastIndex: last.index, lastTerm: last.term,
                chain: last.chain)
            if !isHonest {
                header.generation = UInt32(truncatingIfNeeded: input.number())
                header.previousEnd = UInt32(truncatingIfNeeded: input.number())
                header.lastIndex = input.number()
            }
            let bytes = Held(count: FuzzLog.segmentBytes)
            header.encode(into: UnsafeMutableRawBufferPointer(rebasing: bytes.view[..<4096]), seed: seed)
            segments.append(bytes)
            generation = header.generation
            offset = LogFormat.firstFrame
        }

        mutating func frame(_ input: inout Input) {
            guard let bytes = segments.last?.view else { return }
            let isHonest = input.byte() & 7 != 0
            let back = isHonest ? input.below(3) : 0
            if back > 0, back < points.count { points.removeLast(back) }
            let data = input.take(input.below(64))
            let entry = Entry(
                kind: .normal, term: last.term &+ UInt64(input.below(2)),
                index: isHonest ? last.index &+ 1 : input.number(), data: data)
            let size = LogFormat.frameBytes(dataBytes: data.count)
            guard offset + size <= bytes.count, entry.index > 0 else { return }
            let header = Frame.encode(
                entry, generation: generation, previous: isHonest ? last.chain : input.number(),
                confirmed: isHonest
                    ? UInt32(input.below(2) * LogFormat.firstFrame) : UInt32(truncatingIfNeeded: input.number()),
                commit: input.number(), seed: seed, into: UnsafeMutableRawBufferPointer(rebasing: bytes[offset...]))
            offset += size
            if isHonest { points.append((entry.index, entry.term, header.chain)) }
        }

        func ring(_ input: inout Input, _ ring: UnsafeMutableRawBufferPointer, _ slots: Int) {
            let slot = input.below(slots)
            RingHeader(
                position: LogPosition(
                    generation: UInt32(truncatingIfNeeded: input.number()), offset: UInt32(input.below(3) * 4096)),
                dataBytes: UInt32(input.byte()), index: input.number(), chain: input.number()
            ).encode(
                into: UnsafeMutableRawBufferPointer(
                    rebasing: ring[(slot * RingHeader.bytes)..<((slot + 1) * RingHeader.bytes)]), seed: seed)
        }

        func damage(_ input: inout Input) {
            guard let bytes = segments.last?.view else { return }
            bytes[(input.below(256) << 8 | input.below(256)) % bytes.count] ^= input.byte()
        }
    }
}

/// Hard state, start record and the sealed texts of a directory: what is read is what was written.
enum FuzzState {
    static func run(_ bytes: [UInt8]) {
        var input = Input(bytes)
        switch input.below(4) {
        case 0: record(HardStateRecord.self, mended(input.rest(), 56))
        case 1: record(StartRecord.self, mended(input.rest(), 72))
        case 2: text(input.rest())
        default: text(SealedText(kind: "identity", version: 1, fields: fields(&input)).bytes)
        }
        bytes.withUnsafeBytes { raw in _ = BatchForm.fault(in: raw) }
    }

    /// With the checksum that a record of `count` bytes must have.
    private static func mended(_ bytes: [UInt8], _ count: Int) -> [UInt8] {
        guard bytes.count >= count else { return bytes }
        var mended = bytes
        let sum = Array(bytes[4..<count]).withUnsafeBytes { LogSum.crc32c(0, $0) }
        for place in 0..<4 { mended[place] = UInt8(truncatingIfNeeded: sum >> (8 * UInt32(place))) }
        return mended
    }

    private static func record<Record: CopiedRecord>(_ type: Record.Type, _ bytes: [UInt8]) {
        guard let record = bytes.withUnsafeBytes({ Record($0) }) else { return }
        let block = Held(count: 4096)
        record.encode(into: block.view)
        precondition(Record(UnsafeRawBufferPointer(block.view)) == record, "a record changes")
        precondition(Record.better(of: [record, nil])?.record == record)
    }

    private static func fields(_ input: inout Input) -> [(name: String, value: String)] {
        var fields: [(name: String, value: String)] = []
        for name in ["node", "incarnation", "cluster", "bootstrap", "members", "created"] {
            let value = String(decoding: input.take(Int(input.byte())), as: UTF8.self)
            fields.append((name, value.replacingOccurrences(of: "\n", with: " ")))
        }
        return fields
    }

    private static func text(_ bytes: [UInt8]) {
        for kind in ["identity", "lineage", "peers", "repair"] {
            guard let text = try? SealedText(bytes, kind: kind, versions: 1...2) else { continue }
            precondition(text.bytes == bytes, "a sealed text has two forms")
            _ = NodeIdentity(text)
        }
    }
}

/// The manifest of a state snapshot, and requests for its parts.
enum FuzzSnapshot {
    static func run(_ bytes: [UInt8]) {
        var part = ByteBuffer(bytes: bytes)
        if let part = try? SnapshotPart.decode(&part) {
            var again = ByteBuffer()
            part.encode(into: &again)
            precondition(Array(again.readableBytesView) == bytes, "a part has two forms")
        }
        guard let manifest = try? SnapshotManifest(decoding: bytes) else { return }
        precondition(manifest.encoded() == bytes, "a manifest of a state snapshot has two forms")
        precondition(manifest.files.allSatisfy { SnapshotManifest.isPlain($0.name) }, "a file could lie anywhere")
        _ = manifest.bytes
    }
}
