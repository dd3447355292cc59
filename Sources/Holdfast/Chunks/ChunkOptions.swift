internal import Glibc

/// What the chunk plane of a node is told at its start.
package struct ChunkOptions: Sendable {
    /// How long an upload may be idle before it expires.
    package var uploadIdleMilliseconds: UInt64 = 24 * 3_600_000
    /// How often the node looks for chunks that nothing names, and for idle uploads.
    package var sweepMilliseconds: UInt64 = 60_000
    /// Threads that hash, write and fsync.
    package var writerThreads = 3
    /// Threads that read rows and files.
    package var readerThreads = 2
    /// How long an announcement of chunks waits for the rows that name them; then a publish finds what it told of.
    package var announcementMilliseconds: Int64 = 1_000
    /// Why a chunk of so many bytes is not taken because the disk is full; nil if there is room. Asked on a writer thread; may block.
    package var roomRefusal: @Sendable (Int) -> HoldfastError? = { _ in nil }
    /// Whether the disk is full: then it is swept often.
    package var isFull: @Sendable () -> Bool = { false }
    /// Milliseconds of a clock that nobody sets: how long an upload was idle does not depend on the time of day.
    package var uptime: @Sendable () -> UInt64 = {
        var time = timespec()
        clock_gettime(CLOCK_MONOTONIC, &time)
        return UInt64(time.tv_sec) * 1_000 + UInt64(time.tv_nsec) / 1_000_000
    }

    package init() {}
}
