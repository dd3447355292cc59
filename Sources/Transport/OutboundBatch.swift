// Frames on their way to a socket, in order.
//
// 1. `bytes` is the sum of all pieces and of `tail`.
// 2. A short frame is copied behind the one before it; a long payload stays the buffer that it is. So a turn's frames
//    are few buffers, which one writev takes.

internal import CHoldfast
internal import NIOCore

/// Frames waiting to be given to a socket; used on the loop, and under a lock by other threads.
struct OutboundBatch: Sendable {
    /// Closed buffers, in order before `tail`.
    private var pieces: [ByteBuffer] = []
    /// The buffer that grows.
    private var tail = ByteBuffer()
    /// Bytes of all frames.
    private(set) var bytes = 0
    /// Number of frames.
    private(set) var frames = 0

    var isEmpty: Bool { frames == 0 }

    /// Appends a frame whose payload `body` writes; the payload's size if it is over `limit`, and then nothing stays.
    mutating func append(
        _ kind: UInt8, _ id: UInt64, _ flags: FrameFlags, limit: Int, _ body: (inout ByteBuffer) -> Void
    ) -> Int? {
        reserve()
        let start = tail.writerIndex
        let payloadBytes = tail.writeFrame(kind: kind, id: id, flags: flags, body)
        guard payloadBytes <= limit else {
            tail.moveWriterIndex(to: start)
            return payloadBytes
        }
        count(FrameHeader.byteCount + payloadBytes)
        return nil
    }

    /// Appends a frame with a payload that exists, of which the checksum covers `summed` bytes if that is given; its
    /// size if it is over `limit`, and then nothing stays.
    mutating func append(
        _ kind: UInt8, _ id: UInt64, _ flags: FrameFlags, limit: Int, payload: ByteBuffer, summed: UInt16? = nil
    ) -> Int? {
        let payloadBytes = payload.readableBytes
        guard payloadBytes <= limit else { return payloadBytes }
        reserve()
        var header = FrameHeader(
            kind: kind, id: id, flags: flags.subtracting(.partlySummed), payloadBytes: UInt32(payloadBytes))
        if let summed {
            header.flags.insert(.partlySummed)
            header.summedBytes = UInt16(min(Int(summed), payloadBytes))
        }
        payload.withUnsafeReadableBytes {
            tail.writeFrameHeader(header, summed: UnsafeRawBufferPointer(rebasing: $0[..<header.checkedBytes]))
        }
        if payloadBytes <= TransportLimits.copiedPayloadBytesMax {
            tail.writeImmutableBuffer(payload)
        } else {
            seal()
            pieces.append(payload)
        }
        count(FrameHeader.byteCount + payloadBytes)
        return nil
    }

    /// Appends a frame's header and the first part of its payload; the rest is sent by the caller right behind this
    /// batch.
    mutating func appendOpening(_ header: FrameHeader, _ opening: ByteBuffer) {
        reserve()
        opening.withUnsafeReadableBytes { tail.writeFrameHeader(header, summed: $0) }
        tail.writeImmutableBuffer(opening)
        count(FrameHeader.byteCount + opening.readableBytes)
    }

    /// Hands every buffer to `write` in order and empties the batch. The last buffer's memory is used again once the
    /// socket has let go of it.
    mutating func drain(_ write: (ByteBuffer) -> Void) {
        for piece in pieces { write(piece) }
        pieces.removeAll(keepingCapacity: true)
        if tail.readableBytes > 0 {
            write(tail)
            tail.moveReaderIndex(to: tail.writerIndex)
        }
        bytes = 0
        frames = 0
    }

    /// Makes the drained batch ready for new frames; after the flush, so that the buffer is its own again.
    mutating func recycle() {
        guard bytes == 0 else { return }
        if tail.capacity <= 2 * TransportLimits.coalescedBytesMax { tail.clear() } else { tail = ByteBuffer() }
    }

    private mutating func count(_ frameBytes: Int) {
        bytes += frameBytes
        frames += 1
        if tail.readableBytes >= TransportLimits.coalescedBytesMax { seal() }
    }

    /// Begins a buffer at a size that most turns do not outgrow, instead of doubling up to it.
    private mutating func reserve() {
        if tail.capacity == 0 { tail.reserveCapacity(TransportLimits.coalescedBytesMin) }
    }

    private mutating func seal() {
        guard tail.readableBytes > 0 else { return }
        pieces.append(tail)
        tail = ByteBuffer()
    }
}
