import NIOCore
import Testing

@testable import Transport

@Suite("Frames") struct FrameTests {
    private static let limit = 1 << 20

    private static func frame(_ kind: UInt8, id: UInt64, _ payload: [UInt8], flags: FrameFlags = []) -> ByteBuffer {
        var buffer = ByteBuffer()
        buffer.writeFrame(kind: kind, id: id, flags: flags) { $0.writeBytes(payload) }
        return buffer
    }

    private static func verdicts(_ decoder: inout FrameDecoder, _ input: ByteBuffer) -> [FrameDecoder.Verdict] {
        var input = input
        var verdicts: [FrameDecoder.Verdict] = []
        while true {
            let verdict = decoder.next(&input)
            if verdict == .needMore { return verdicts }
            verdicts.append(verdict)
            if case .bad = verdict { return verdicts }
        }
    }

    @Test("a frame has the golden bytes of the wire protocol") func golden() {
        let frame = Self.frame(17, id: 0x0102_0304_0506_0708, [UInt8]("abc".utf8), flags: .more)
        let golden: [UInt8] = [
            0x48, 0x46, 0x01, 0x11, 0x03, 0x00, 0x00, 0x00,
            0x08, 0x07, 0x06, 0x05, 0x04, 0x03, 0x02, 0x01,
            0x73, 0xE7, 0x8E, 0xA8, 0x01, 0x00, 0x00, 0x00,
            0x61, 0x62, 0x63,
        ]
        #expect([UInt8](frame.readableBytesView) == golden)
    }

    @Test(
        "what is encoded is decoded, many frames in a buffer, in pieces of every size",
        arguments: [1, 2, 7, 23, 64, 5_000])
    func roundTrip(_ pieceBytes: Int) throws {
        var dice = Dice(11)
        var stream = ByteBuffer()
        var expected: [(UInt8, UInt64, [UInt8])] = []
        for index in 0..<200 {
            let payload = dice.bytes(Int.random(in: 0...700, using: &dice))
            let kind = UInt8.random(in: 16...255, using: &dice)
            stream.writeFrame(kind: kind, id: UInt64(index)) { $0.writeBytes(payload) }
            expected.append((kind, UInt64(index), payload))
        }
        var decoder = FrameDecoder(payloadBytesMax: Self.limit)
        var found: [(UInt8, UInt64, [UInt8])] = []
        while let piece = stream.readSlice(length: min(pieceBytes, stream.readableBytes)), piece.readableBytes > 0 {
            for verdict in Self.verdicts(&decoder, piece) {
                guard case .frame(let header, let payload) = verdict else {
                    Issue.record("\(verdict)")
                    return
                }
                found.append((header.kind, header.id, [UInt8](payload.readableBytesView)))
            }
        }
        #expect(found.count == expected.count)
        #expect(zip(found, expected).allSatisfy { $0 == $1 })
        #expect(decoder.isBetweenFrames)
    }

    @Test("a frame that lies whole in a read is not copied") func sliceOfRead() throws {
        let frame = Self.frame(16, id: 1, [1, 2, 3, 4])
        let address = frame.withUnsafeReadableBytes { UInt(bitPattern: $0.baseAddress) }
        var decoder = FrameDecoder(payloadBytesMax: Self.limit)
        var input = frame
        guard case .frame(_, let payload) = decoder.next(&input) else { throw FrameFault.magic(0) }
        #expect(payload.withUnsafeReadableBytes { UInt(bitPattern: $0.baseAddress) } == address + 24)
    }

    @Test("no flipped bit of a frame yields a frame") func everyFlip() {
        let good = [UInt8](Self.frame(16, id: 9, [UInt8]("holdfast".utf8)).readableBytesView)
        for position in good.indices {
            for bit in 0..<8 {
                var bytes = good
                bytes[position] ^= 1 << bit
                // Zeros behind it, so that a flipped length finds its bytes.
                let input = ByteBuffer(bytes: bytes + [UInt8](repeating: 0, count: 600))
                var decoder = FrameDecoder(payloadBytesMax: 512)
                let verdicts = Self.verdicts(&decoder, input)
                guard case .bad = verdicts.first else {
                    Issue.record("byte \(position) bit \(bit): \(verdicts)")
                    continue
                }
            }
        }
    }

    @Test("a cut frame is never handed out") func everyCut() {
        let good = [UInt8](Self.frame(16, id: 9, [UInt8]("holdfast".utf8)).readableBytesView)
        for count in good.indices {
            var decoder = FrameDecoder(payloadBytesMax: Self.limit)
            #expect(Self.verdicts(&decoder, ByteBuffer(bytes: good[..<count])) == [])
            #expect(decoder.isBetweenFrames == (count == 0))
        }
    }

    @Test("random bytes are refused, and stay refused", arguments: 0..<64 as Range<UInt64>) func randomBytes(
        _ seed: UInt64
    ) {
        var dice = Dice(seed)
        var bytes = dice.bytes(512)
        // Half of them get past the first checks.
        if seed % 2 == 0 { bytes.replaceSubrange(0..<3, with: [0x48, 0x46, 1]) }
        if seed % 4 == 0 { bytes.replaceSubrange(4..<8, with: [UInt8(seed), 0, 0, 0]) }
        if seed % 8 == 0 { bytes.replaceSubrange(20..<24, with: [0, 0, 0, 0]) }
        var decoder = FrameDecoder(payloadBytesMax: 256)
        let verdicts = Self.verdicts(&decoder, ByteBuffer(bytes: bytes))
        guard case .bad(let fault) = verdicts.first else {
            Issue.record("seed \(seed): \(verdicts)")
            return
        }
        #expect(Self.verdicts(&decoder, Self.frame(16, id: 1, [])) == [.bad(fault)])
    }

    @Test("a length over the limit is refused with the header") func tooLong() {
        var buffer = ByteBuffer()
        buffer.writeFrameHeader(
            FrameHeader(kind: 16, id: 1, payloadBytes: .max), summed: UnsafeRawBufferPointer(start: nil, count: 0))
        var decoder = FrameDecoder(payloadBytesMax: Self.limit)
        #expect(Self.verdicts(&decoder, buffer) == [.bad(.tooLong(bytes: .max, limit: Self.limit))])
    }

    @Test("memory follows the bytes that came, not the length that was announced") func progressiveMemory() {
        var decoder = FrameDecoder(payloadBytesMax: 8 << 20)
        var header = ByteBuffer()
        header.writeFrameHeader(
            FrameHeader(kind: 16, id: 1, payloadBytes: 8 << 20), summed: UnsafeRawBufferPointer(start: nil, count: 0))
        #expect(Self.verdicts(&decoder, header) == [])
        #expect(decoder.heldCapacity <= 4_096)
        var arrived = 0
        let piece = ByteBuffer(repeating: 0, count: 10_000)
        while arrived < 1 << 20 {
            #expect(Self.verdicts(&decoder, piece) == [])
            arrived += piece.readableBytes
            // A buffer's capacity is rounded up to a power of two.
            #expect(decoder.heldCapacity <= 2 * max(arrived * 4, TransportLimits.payloadReserveBytesMin))
        }
        #expect(decoder.heldBytes == arrived)
    }

    @Test("a partly summed frame is checked as far as it says, and no further") func partlySummed() {
        var good = ByteBuffer()
        let opening: [UInt8] = [1, 2, 3]
        opening.withUnsafeBytes {
            good.writeFrameHeader(
                FrameHeader(kind: 16, id: 1, flags: .partlySummed, summedBytes: 3, payloadBytes: 5), summed: $0)
        }
        good.writeBytes(opening + [8, 9])
        for position in 0..<good.readableBytes {
            var bytes = [UInt8](good.readableBytesView)
            bytes[position] ^= 1
            var decoder = FrameDecoder(payloadBytesMax: 16)
            let verdicts = Self.verdicts(&decoder, ByteBuffer(bytes: bytes + [UInt8](repeating: 0, count: 16)))
            if position >= 27 {
                guard case .frame(let header, let payload) = verdicts.first else {
                    Issue.record("byte \(position): \(verdicts)")
                    continue
                }
                #expect(header.flags == .partlySummed)
                #expect(payload.readableBytes == 5)
            } else {
                guard case .bad = verdicts.first else {
                    Issue.record("byte \(position): \(verdicts)")
                    continue
                }
            }
        }
    }

    @Test("a frame written whole is summed whole, whatever flags it was given") func wholeSum() {
        var decoder = FrameDecoder(payloadBytesMax: 16)
        let frame = Self.frame(16, id: 1, [1, 2, 3], flags: [.partlySummed, .more])
        #expect(
            Self.verdicts(&decoder, frame) == [
                .frame(FrameHeader(kind: 16, id: 1, flags: .more, payloadBytes: 3), ByteBuffer(bytes: [1, 2, 3]))
            ])
    }

    @Test("unknown flags and a summed length without its flag are refused") func unknownFlags() {
        for (flags, summed) in [(UInt16(4), UInt16(0)), (0x8000, 0), (0, 1), (2, 9)] {
            var buffer = ByteBuffer()
            [UInt8](repeating: 0, count: 8).withUnsafeBytes {
                buffer.writeFrameHeader(
                    FrameHeader(
                        kind: 16, id: 1, flags: FrameFlags(rawValue: flags), summedBytes: summed, payloadBytes: 8),
                    summed: $0)
            }
            buffer.writeRepeatingByte(0, count: 8)
            var decoder = FrameDecoder(payloadBytesMax: 64)
            #expect(Self.verdicts(&decoder, buffer) == [.bad(.flags(flags))])
        }
    }
}
