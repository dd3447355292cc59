internal import CHoldfast
internal import NIOCore
internal import ReplicaCore

/// A chunk as it crosses the link: a byte that says how, then the chunk raw, or as one zstd frame where that is shorter.
///
/// ```
/// link chunk = u8 0, bytes | u8 1, zstd frame (RFC 8878) that states its content's length
/// ```
enum LinkChunk {
    private static let raw: UInt8 = 0
    private static let zstd: UInt8 = 1

    /// Level 1: on weights the higher ones save less and take longer, since what can be saved is in the entropy of single bytes.
    private static let level: Int32 = 1
    /// So many pieces, spread over the chunk, are tried first.
    private static let samples = 4
    private static let sampleBytes = 16 << 10

    /// Whether what was saved is worth the time to expand it at the other end: a sixteenth.
    static func pays(_ compressed: Int, of bytes: Int) -> Bool { compressed > 0 && compressed <= bytes - bytes / 16 }

    /// The chunk for the wire. Computes: not for an event loop.
    static func encode(_ chunk: ByteBuffer) -> ByteBuffer {
        let packed = chunk.withUnsafeReadableBytes { looksCompressible($0) ? compress($0) : nil }
        if let packed { return packed }
        var buffer = ByteBufferAllocator().buffer(capacity: chunk.readableBytes + 1)
        buffer.writeInteger(raw)
        buffer.writeImmutableBuffer(chunk)
        return buffer
    }

    /// The chunk again. Nothing about it is checked but its length: the name covers the rest.
    ///
    /// - Throws: `corrupted` for bytes that are no link chunk, or one longer than any chunk.
    static func decode(_ buffer: ByteBuffer) throws(HoldfastError) -> ByteBuffer {
        var rest = buffer
        switch rest.readInteger(as: UInt8.self) {
        case raw: return rest
        case zstd:
            let expanded = rest.withUnsafeReadableBytes { frame -> ByteBuffer? in
                let count = chf_zstd_size(frame.baseAddress, frame.count)
                guard count > 0, count <= ChunkLimits.chunkBytesMax else { return nil }
                var chunk = ByteBufferAllocator().buffer(capacity: count)
                var isWhole = false
                chunk.writeWithUnsafeMutableBytes(minimumWritableBytes: count) { space in
                    isWhole = chf_zstd_expand(space.baseAddress, count, frame.baseAddress, frame.count) != 0
                    return isWhole ? count : 0
                }
                return isWhole ? chunk : nil
            }
            if let expanded { return expanded }
        default: break
        }
        throw HoldfastError(.corrupted, "what the other site sent is no chunk; its network or memory damages bytes")
    }

    private static func looksCompressible(_ chunk: UnsafeRawBufferPointer) -> Bool {
        guard chunk.count > samples * sampleBytes else { return true }
        let step = (chunk.count - sampleBytes) / (samples - 1)
        var (before, after) = (0, 0)
        withUnsafeTemporaryAllocation(byteCount: chf_zstd_bound(sampleBytes), alignment: 16) { scratch in
            for place in 0..<samples {
                let piece = UnsafeRawBufferPointer(rebasing: chunk[(place * step)..<(place * step + sampleBytes)])
                let count = chf_zstd_compress(scratch.baseAddress, scratch.count, piece.baseAddress, piece.count, level)
                before += piece.count
                after += count == 0 ? piece.count : min(count, piece.count)
            }
        }
        return pays(after, of: before)
    }

    private static func compress(_ chunk: UnsafeRawBufferPointer) -> ByteBuffer? {
        let room = chf_zstd_bound(chunk.count)
        var buffer = ByteBufferAllocator().buffer(capacity: 1 + room)
        buffer.writeInteger(zstd)
        let count = buffer.writeWithUnsafeMutableBytes(minimumWritableBytes: room) { space in
            chf_zstd_compress(space.baseAddress, room, chunk.baseAddress, chunk.count, level)
        }
        return pays(count, of: chunk.count) ? buffer : nil
    }
}
