import NIOCore

@testable import Holdfast
@testable import RaftCore
@testable import Transport

/// Frames, whole and in pieces: however the bytes are cut, the same frames come out, and nothing is kept beyond the bounds.
enum FuzzFrames {
    static func run(_ bytes: [UInt8]) {
        var input = Input(bytes)
        let mode = input.byte()
        let pieces = (0..<4).map { _ in Int(input.byte()) + 1 }
        var stream = input.rest()
        if mode & 1 == 1 { mend(&stream) }
        let whole = decode(stream, [stream.count])
        precondition(decode(stream, pieces) == whole, "the cut of the bytes changes the frames")
    }

    /// Gives every frame the magic, the layout version and the checksum that its decoder asks for.
    private static func mend(_ bytes: inout [UInt8]) {
        var start = 0
        while start + FrameHeader.byteCount <= bytes.count {
            (bytes[start], bytes[start + 1], bytes[start + 2]) = (0x48, 0x46, 1)
            (bytes[start + 6], bytes[start + 7]) = (0, 0)
            let length = Int(bytes[start + 4]) | Int(bytes[start + 5]) << 8
            let end = min(start + FrameHeader.byteCount + length, bytes.count)
            let isPartly = bytes[start + 20] & 2 != 0
            let summed = isPartly ? Int(bytes[start + 22]) | Int(bytes[start + 23]) << 8 : length
            let checked = bytes[(start + FrameHeader.byteCount)..<min(start + FrameHeader.byteCount + summed, end)]
            // Over the 16 bytes before the sum and the 4 behind it.
            let header = bytes.withUnsafeBytes { raw -> UInt32 in
                let first = LogSum.crc32c(0, UnsafeRawBufferPointer(rebasing: raw[start..<(start + 16)]))
                return LogSum.crc32c(first, UnsafeRawBufferPointer(rebasing: raw[(start + 20)..<(start + 24)]))
            }
            let sum = Array(checked).withUnsafeBytes { LogSum.crc32c(header, $0) }
            for place in 0..<4 { bytes[start + 16 + place] = UInt8(truncatingIfNeeded: sum >> (8 * UInt32(place))) }
            start = end
        }
    }

    private static func decode(_ bytes: [UInt8], _ pieces: [Int]) -> [String] {
        var decoder = FrameDecoder(payloadBytesMax: 1 << 16)
        var said: [String] = []
        var place = 0
        var turn = 0
        while place < bytes.count {
            let count = min(max(pieces[turn % pieces.count], 1), bytes.count - place)
            turn += 1
            var buffer = ByteBuffer(bytes: bytes[place..<(place + count)])
            place += count
            loop: while true {
                switch decoder.next(&buffer) {
                case .needMore: break loop
                case .frame(let header, let payload):
                    precondition(payload.readableBytes == Int(header.payloadBytes))
                    said.append("\(header) \(payload.readableBytesView.reduce(0) { $0 &* 31 &+ Int($1) })")
                case .bad(let fault):
                    said.append("\(fault)")
                    return said
                }
            }
            precondition(decoder.heldBytes <= FrameHeader.byteCount + (1 << 16))
            precondition(
                decoder.heldCapacity <= max(4 * decoder.heldBytes, TransportLimits.payloadReserveBytesMin) * 2)
        }
        return said
    }
}

/// Hello, welcome and refusal: what decodes encodes to a prefix of what came.
enum FuzzHandshake {
    static func run(_ bytes: [UInt8]) {
        var input = Input(bytes)
        let kind = input.below(3)
        let payload = ByteBuffer(bytes: input.rest())
        var again = ByteBuffer()
        do throws(HandshakeFault) {
            switch kind {
            case 0: try Hello(decoding: payload).encode(into: &again)
            case 1: try Welcome(decoding: payload).encode(into: &again)
            default: try Refusal(decoding: payload).encode(into: &again)
            }
        } catch {
            return
        }
        precondition(
            again.readableBytes <= payload.readableBytes
                && payload.readableBytesView.starts(with: again.readableBytesView),
            "a handshake frame has two forms")
    }
}

/// Consensus messages: what decodes comes back the same after another round.
enum FuzzMessage {
    static func run(_ bytes: [UInt8]) {
        var buffer = ByteBuffer(bytes: bytes)
        do throws(ConsensusCodec.Fault) {
            let message = try ConsensusCodec.decode(&buffer)
            var again = ByteBuffer()
            ConsensusCodec.encode(message, into: &again)
            let second = try ConsensusCodec.decode(&again)
            precondition(second == message, "a message changes on its way")
        } catch {
            return
        }
    }
}
