package import NIOCore
internal import Synchronization

/// One chunk's memory, lent by a pool.
package final class ChunkBuffer: Sendable {
    // Under a lock and changed in place: a second reference would make the next write copy the chunk.
    private let buffer: Mutex<ByteBuffer>
    /// What the pool counts for it.
    fileprivate let cost: Int

    fileprivate init(_ buffer: ByteBuffer, cost: Int) {
        self.buffer = Mutex(buffer)
        self.cost = cost
    }

    /// The bytes that were read.
    package var bytes: ByteBuffer { buffer.withLock { $0 } }

    /// Fills the buffer with `count` bytes of `file`; throws `changed` where the file is shorter. Blocks on the disk.
    package func read(
        _ count: Int, of file: OpenFile, at offset: UInt64, changed: @autoclosure () -> HoldfastError
    ) throws(HoldfastError) {
        var failure: HoldfastError?
        let done = buffer.withLock { buffer in
            buffer.clear()
            return buffer.writeWithUnsafeMutableBytes(minimumWritableBytes: count) { space in
                do throws(HoldfastError) {
                    return try file.read(into: UnsafeMutableRawBufferPointer(rebasing: space[..<count]), at: offset)
                } catch {
                    failure = error
                    return 0
                }
            }
        }
        if let failure { throw failure }
        guard done == count else { throw changed() }
    }

    /// Moves the memory out: a reference left here would make its next user allocate anew.
    fileprivate func surrender() -> ByteBuffer {
        buffer.withLock { buffer in
            defer { buffer = ByteBuffer() }
            return buffer
        }
    }
}

/// Lends chunk memory within a budget and uses the same memory again.
package final class ChunkBuffers: Sendable {
    // A chunk counts for 64 KiB at least, which bounds how many small ones are on their way.
    private static let costMin = 64 << 10
    private let budget: ByteBudget
    private let free = Mutex<[ByteBuffer]>([])

    /// A pool of `bytes` in all.
    package init(bytes: Int) { budget = ByteBudget(bytes: bytes) }

    /// The most that was ever lent at once.
    package var peakBytes: Int { budget.peakBytes }

    /// Waits for memory for a chunk of `count` bytes.
    package func take(_ count: Int) async throws(HoldfastError) -> ChunkBuffer {
        let cost = max(count, Self.costMin)
        try await budget.take(cost)
        // Whole chunks only are kept: almost all are, and a small one must not hold 4 MiB.
        let kept = count > ModelLimits.chunkBytesMax / 2 ? free.withLock { $0.popLast() } : nil
        return ChunkBuffer(kept ?? ByteBufferAllocator().buffer(capacity: count), cost: cost)
    }

    /// Takes memory back; nobody else may use it any more.
    package func give(_ buffer: ChunkBuffer) {
        let memory = buffer.surrender()
        if memory.capacity >= ModelLimits.chunkBytesMax { free.withLock { $0.append(memory) } }
        budget.give(buffer.cost)
    }
}
