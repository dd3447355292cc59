// Cuts received bytes into frames.
//
//   header ──24 bytes──▶ payload ──all bytes, checksum right──▶ header
//     └─── bad header ───▶ failed ◀─── wrong checksum ─┘
//
// 1. A frame that lies whole in one read is handed out as a slice of that read: no copy.
// 2. A frame that does not is gathered in one buffer of its own, which grows with what has arrived: no more than
//    four times the bytes that came, whatever the header announces.
// 3. After `failed` nothing is handed out any more.

internal import CHoldfast
package import NIOCore

/// Cuts a stream of bytes into frames; a pure value.
package struct FrameDecoder: Sendable {
    /// What the bytes so far amount to.
    package enum Verdict: Sendable, Equatable {
        /// The input is used up and no frame is complete.
        case needMore
        /// One frame, checked.
        case frame(FrameHeader, ByteBuffer)
        /// These are not frames; the connection has to end.
        case bad(FrameFault)
    }

    private struct Pending {
        var header: FrameHeader
        var announcedSum: UInt32
        var runningSum: UInt32
        /// Payload bytes that still go into the checksum.
        var uncheckedBytes: Int
    }

    private enum State {
        case header
        case payload(Pending)
        case failed(FrameFault)
    }

    private var state = State.header
    /// Bytes of an incomplete header or payload.
    private var held = ByteBuffer()
    private var payloadBytesMax: Int

    /// A decoder at the beginning of a stream that takes payloads up to `payloadBytesMax`.
    package init(payloadBytesMax: Int) {
        self.payloadBytesMax = payloadBytesMax
    }

    /// Whether the stream stands between two frames.
    package var isBetweenFrames: Bool {
        if case .header = state { return held.readableBytes == 0 }
        return false
    }

    /// Bytes of an incomplete frame that have arrived.
    package var heldBytes: Int { held.readableBytes }

    /// Bytes reserved for an incomplete frame.
    package var heldCapacity: Int { held.capacity }

    /// Sets the largest payload for the frames to come (it grows once the handshake is over).
    package mutating func setPayloadBytesMax(_ bytes: Int) { payloadBytesMax = bytes }

    /// Takes the next frame from `input`, which shrinks from the front; call until it answers `needMore`.
    package mutating func next(_ input: inout ByteBuffer) -> Verdict {
        while true {
            switch state {
            case .failed(let fault):
                return .bad(fault)
            case .header:
                do throws(FrameFault) {
                    guard try takeHeader(&input) else { return .needMore }
                } catch {
                    return fail(error)
                }
            case .payload(var pending):
                guard let payload = takePayload(&pending, &input) else {
                    state = .payload(pending)
                    return .needMore
                }
                guard pending.runningSum == pending.announcedSum else {
                    return fail(.checksum(expected: pending.announcedSum, found: pending.runningSum))
                }
                state = .header
                return .frame(pending.header, payload)
            }
        }
    }

    private mutating func fail(_ fault: FrameFault) -> Verdict {
        state = .failed(fault)
        held = ByteBuffer()
        return .bad(fault)
    }

    /// Reads the header out of `held` and `input`; false if it is incomplete.
    private mutating func takeHeader(_ input: inout ByteBuffer) throws(FrameFault) -> Bool {
        let parsed: Result<(header: FrameHeader, announcedSum: UInt32, runningSum: UInt32), FrameFault>
        if held.readableBytes == 0, input.readableBytes >= FrameHeader.byteCount {
            parsed = Self.parse(input, payloadBytesMax)
            input.moveReaderIndex(forwardBy: FrameHeader.byteCount)
        } else {
            let missing = FrameHeader.byteCount - held.readableBytes
            guard var part = input.readSlice(length: min(missing, input.readableBytes)) else { return false }
            held.writeBuffer(&part)
            guard held.readableBytes == FrameHeader.byteCount else { return false }
            parsed = Self.parse(held, payloadBytesMax)
            held.clear()
        }
        let found = try parsed.get()
        state = .payload(
            Pending(
                header: found.header, announcedSum: found.announcedSum, runningSum: found.runningSum,
                uncheckedBytes: found.header.checkedBytes))
        return true
    }

    private static func parse(
        _ buffer: ByteBuffer, _ payloadBytesMax: Int
    ) -> Result<(header: FrameHeader, announcedSum: UInt32, runningSum: UInt32), FrameFault> {
        buffer.withUnsafeReadableBytes { bytes in
            guard let address = bytes.baseAddress, bytes.count >= FrameHeader.byteCount else {
                return .failure(.magic(0))
            }
            do throws(FrameFault) {
                return .success(try FrameHeader.decode(address, payloadBytesMax: payloadBytesMax))
            } catch {
                return .failure(error)
            }
        }
    }

    /// Takes what `input` has of the payload; the payload once it is whole. Keeps (1) and (2).
    private mutating func takePayload(_ pending: inout Pending, _ input: inout ByteBuffer) -> ByteBuffer? {
        let total = Int(pending.header.payloadBytes)
        if held.readableBytes == 0, let whole = input.readSlice(length: total) {
            Self.check(whole, &pending)
            return whole
        }
        guard input.readableBytes > 0,
            var part = input.readSlice(length: min(total - held.readableBytes, input.readableBytes))
        else { return nil }
        Self.check(part, &pending)
        let arrived = held.readableBytes + part.readableBytes
        if held.capacity < arrived {
            held.reserveCapacity(min(total, max(arrived * 4, TransportLimits.payloadReserveBytesMin)))
        }
        held.writeBuffer(&part)
        guard held.readableBytes == total else { return nil }
        let payload = held
        held = ByteBuffer()
        return payload
    }

    /// Continues the checksum over the part of `bytes` that is under it, while the cache still holds them.
    private static func check(_ bytes: ByteBuffer, _ pending: inout Pending) {
        let count = min(pending.uncheckedBytes, bytes.readableBytes)
        guard count > 0 else { return }
        pending.runningSum = bytes.withUnsafeReadableBytes { chf_crc32c(pending.runningSum, $0.baseAddress, count) }
        pending.uncheckedBytes -= count
    }
}
