package import NIOCore

/// Bounds of what the chunk plane of a node holds at once, with the sums that led to them.
package enum ChunkLimits {
    /// The longest chunk: 4 MiB.
    package static let chunkBytesMax = ModelLimits.chunkBytesMax
    /// Bytes of chunks being taken from clients, waiting or being written: 16 chunks keep the writers busy.
    package static let acceptBytesMax = 16 * chunkBytesMax
    /// Chunks that may wait for those bytes; their own bytes lie in their connections' buffers, 4 a connection.
    package static let acceptWaitersMax = 256
    /// Bytes of chunks being fetched from peers, over all of them: 8 chunks. With `acceptBytesMax` 96 MiB of a node's 300 MB.
    package static let fetchBytesMax = 8 * chunkBytesMax
    /// Bytes being fetched from one peer: 4 chunks hide a round trip and one fsync.
    package static let fetchBytesPerPeerMax = 4 * chunkBytesMax
    /// Chunks of a list that are looked for at once.
    package static let ensureWindow = 1_024
    /// Chunk IDs in one question about who has them: 4,096 × 32 bytes is 128 KiB.
    package static let locateMax = 4_096
    /// Ordinals in one question about what a node has: 8 KiB of bits.
    package static let haveMax = 65_536
    /// Ordinal ranges in one announcement.
    package static let announceRangesMax = 64
    /// Chunks after which an announcement leaves at once.
    package static let announceEvery = 4
    /// Announcements of one peer that wait here; more are dropped, since `ensure` finds what they told of.
    package static let announcementsMax = 256
    /// Nodes in one list of holders.
    package static let holdersMax = 128
    /// Chunk IDs read from rows at a time: 16,384 × 40 bytes is 640 KiB.
    package static let rowsPage = 16_384
    /// Chunks that one sweep removes: 65,536 × 32 bytes is 2 MiB; the rest go with the next sweep.
    package static let sweepMax = 65_536
    /// How long a request may wait for rows that this node has not applied yet.
    package static let appliedWait = TimeAmount.seconds(5)
    /// How long a peer may take to answer a chunk message that needs no work.
    package static let askWait = TimeAmount.seconds(3)
    /// How long a peer may take to send one chunk.
    package static let fetchWait = TimeAmount.seconds(30)
    /// How long one `ensure` may hold its answer.
    package static let ensureWaitMilliseconds: UInt64 = 5_000
    /// The first and the longest pause before something is tried again, in milliseconds.
    package static let pauseMilliseconds: ClosedRange<UInt64> = 20...5_000
}

/// A pause that doubles with every failure and is drawn at random from its upper half, so that nodes do not move in step.
struct RetryPause {
    private var milliseconds = ChunkLimits.pauseMilliseconds.lowerBound

    mutating func reset() { milliseconds = ChunkLimits.pauseMilliseconds.lowerBound }

    /// The next pause.
    mutating func next() -> TimeAmount {
        let drawn = UInt64.random(in: (milliseconds / 2)...milliseconds)
        milliseconds = min(milliseconds * 2, ChunkLimits.pauseMilliseconds.upperBound)
        return .milliseconds(Int64(drawn))
    }

    /// Pauses, at most until `deadline`; returns early when the task is cancelled.
    mutating func wait(until deadline: NIODeadline = .distantFuture) async {
        let now = NIODeadline.now()
        let pause = next()
        let left = deadline > now ? min(pause, deadline - now) : .zero
        // Cancellation ends the pause; every caller looks at it next.
        try? await Task.sleep(nanoseconds: UInt64(max(0, left.nanoseconds)))
    }
}
