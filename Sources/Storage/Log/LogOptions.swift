/// How a log store is laid out and paced.
package struct LogOptions: Sendable {
    /// Bytes of one segment file: a multiple of 4096, at least 8192, below 4 GiB. An entry with its frame must fit in one.
    package var segmentBytes = 64 << 20
    /// Segments kept ready beyond the one in use, so that a disk that fills up does not stop the log at once.
    package var spareSegments = 1
    /// Free segments kept for reuse after compaction; what is beyond is removed. At least `spareSegments`.
    package var freeSegmentsMax = 4
    /// Frame headers that the header ring holds; fixed when the log is formatted.
    package var headerSlots = 16_384
    /// The longest time that a frame header waits for its own fdatasync.
    package var headerDelayNanoseconds: UInt64 = 50_000_000
    /// Bytes of frames gathered into one write; a longer batch takes several writes and one wait.
    package var writeBytesMax = 4 << 20
    /// Whether to write past the page cache where the file system can: fewer copies and one call less a batch.
    package var unbuffered = true
    /// Called before every system call that changes the disk; a number returned is taken as that call's failure. For tests.
    package var failure: (@Sendable (LogCall, _ path: String) -> Int32?)?
    /// The files of the log, if they are not the system's. For simulations.
    package var files: (any LogFiles)?

    package init() {}
}

/// The system calls that a log makes to change the disk, as a test's failure hook sees them.
package enum LogCall: Sendable, Equatable {
    case create, allocate, write, flush, flushDirectory, remove
}
