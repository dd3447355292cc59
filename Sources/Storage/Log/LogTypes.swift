package import RaftCore

/// One order to the log's writer thread. Orders are carried out in the sequence of submission.
package enum LogOperation: Sendable {
    /// Makes the hard state (if it is new) and the entries durable, in this order.
    ///
    /// `sequence` grows with every operation that has one. Entries are contiguous; if the first index is at or below the last index of the log, the log
    /// is first cut before it (a conflict). A hard state whose term and vote are known already costs no fsync: its commit rides along in a later frame.
    case persist(sequence: UInt64, hardState: HardState?, entries: [Entry])
    /// Lets go of entries up to and including `through`, all of them applied, in whole segments: some may stay readable, here and after a restart.
    case compact(through: LogIndex)
    /// Empties the log; the next entry has index `index + 1`, and `term` is the term of the entry at `index` (a snapshot was installed).
    case reset(sequence: UInt64, index: LogIndex, term: Term)
}

/// What the log can fail with.
package enum LogError: Error, Sendable, Equatable {
    /// There is no log in this directory: `LogStore.format` was never run, or its files were removed.
    case notFormatted(path: String)
    /// The directory holds a log that this build cannot read or that does not belong together; the detail says which file.
    case incompatible(detail: String)
    /// An entry that was acknowledged, or may have been, cannot be read back. Nothing was changed on disk; repair it from a peer.
    case corrupted(index: LogIndex, detail: String)
    /// Both copies of the hard state are bad: this node does not know whom it voted for and must not vote.
    case hardStateLost(detail: String)
    /// The disk is full. While a log runs it waits for room instead of failing with this.
    case noSpace(detail: String)
    /// A system call failed; `code` is the error number.
    case failed(operation: String, path: String, code: Int32)
    /// The entry was compacted away; `first` is the oldest one held.
    case compacted(first: LogIndex)
    /// The entry is not (yet) durable in this log; `last` is the newest one that is.
    case beyondEnd(last: LogIndex)
    /// The log was closed, or stopped by an earlier failure that was reported once.
    case stopped
}

/// The first entry of a stretch of entries of one term.
package struct TermRun: Sendable, Equatable {
    /// Index of the first entry of the stretch.
    package var first: LogIndex
    /// Term of every entry of the stretch.
    package var term: Term

    package init(first: LogIndex, term: Term) {
        self.first = first
        self.term = term
    }
}

/// What `LogStore.open` found.
package struct RecoveredLog: Sendable, Equatable {
    /// Term and vote as last acknowledged; commit as far as it is known to be durable: `previousIndex <= commit <= lastIndex`.
    package var hardState: HardState
    /// Index of the point before the first retained entry (0 in a new log).
    package var previousIndex: LogIndex
    /// Term of the point before the first retained entry (0 in a new log).
    package var previousTerm: Term
    /// Index of the last entry; equal to `previousIndex` if no entry is retained.
    package var lastIndex: LogIndex
    /// Term of the last entry; equal to `previousTerm` if no entry is retained.
    package var lastTerm: Term
    /// The terms of all retained entries, run by run, in index order; empty if no entry is retained.
    package var terms: [TermRun]
    /// Bytes of a torn, never acknowledged tail that were cut off and zeroed.
    package var tornBytes: Int
    /// Whether one copy of the hard state or of the log's start was bad or old and was written again from the other.
    package var repairedCopies: Bool

    /// Index of the first retained entry; one above `lastIndex` if there is none.
    package var firstIndex: LogIndex { previousIndex + 1 }
}

/// Figures of a log since it was opened; the node turns them into metrics.
package struct LogFigures: Sendable, Equatable {
    /// Drained batches that wrote entries.
    package var batches: UInt64 = 0
    /// Entries made durable.
    package var entries: UInt64 = 0
    /// Payload bytes of those entries.
    package var entryBytes: UInt64 = 0
    /// Bytes handed to the disk for them, with framing and padding.
    package var writtenBytes: UInt64 = 0
    /// Waits for the disk to hold entries durably (a write with O_DSYNC, or a write and its fdatasync).
    package var fsyncs: UInt64 = 0
    /// Sum of those waits.
    package var fsyncNanoseconds: UInt64 = 0
    /// The longest of those waits.
    package var fsyncNanosecondsMax: UInt64 = 0
    /// Those waits by duration: bucket `n` counts waits below 2^n microseconds that no earlier bucket counts; the last one counts the rest.
    package var fsyncBuckets: [UInt64] = Array(repeating: 0, count: 24)
    /// Times that term and vote were made durable.
    package var hardStateWrites: UInt64 = 0
    /// Segments used again after compaction, reset or a torn end.
    package var recycledSegments: UInt64 = 0
    /// Segments created and written for the first time.
    package var createdSegments: UInt64 = 0
    /// Times the writer had to wait for a spare segment.
    package var spareWaits: UInt64 = 0

    package init() {}
}
