package import RaftCore

/// The log of one node on disk: entries, term, vote and commit.
package final class LogStore: Sendable {
    /// Creates an empty log in an existing, empty directory and makes it durable. `identity` is any number that other logs do not have (draw it at random).
    package static func format(directory: String, identity: UInt64, options: LogOptions = LogOptions()) throws(LogError)
    {
        throw .stopped
    }

    /// Reads the log in `directory`, cuts off a torn tail, and opens it for writing. The caller holds the data directory's lock.
    ///
    /// On `corrupted` and `hardStateLost` nothing on disk has been changed.
    package static func open(
        directory: String, options: LogOptions = LogOptions()
    ) throws(LogError) -> (LogStore, RecoveredLog) {
        throw .stopped
    }

    /// Starts the writer thread (`hf-log`). To be called once.
    ///
    /// - Parameters:
    ///   - onDurable: called on the writer thread, once per drained batch that held sequences, with the highest sequence that is durable with all before it.
    ///   - onFailure: called on the writer thread, once: a write or an fsync failed, nothing after the last `onDurable` may be relied on, and the log is stopped for good.
    package func start(
        onDurable: @escaping @Sendable (UInt64) -> Void, onFailure: @escaping @Sendable (LogError) -> Void
    ) {}

    /// Queues an operation from any thread and returns at once. After a failure or `close` it is dropped.
    package func submit(_ operation: LogOperation) {}

    /// Queues several operations in one hand-off.
    package func submit(contentsOf operations: [LogOperation]) {}

    /// Payload bytes queued or being written, for the caller to refuse new work by.
    package var pendingBytes: Int { 0 }

    /// The monotonic time in nanoseconds at which the wait for the disk in progress began; 0 if there is none.
    package var flushStarted: UInt64 { 0 }

    /// Whether the disk was full when the log last tried to prepare a spare segment: refuse what grows the log.
    package var isOutOfSpace: Bool { false }

    /// Index before the first readable entry.
    package var previousIndex: LogIndex { 0 }

    /// Index of the last durable entry.
    package var lastIndex: LogIndex { 0 }

    /// Entries `from ... to` in order, fewer if they would exceed `bytesMax` payload bytes (but always at least one). From any thread; durable entries only.
    package func read(from: LogIndex, to: LogIndex, bytesMax: Int) throws(LogError) -> [Entry] { throw .stopped }

    /// Term of the durable entry at `index`, or of the point before the first entry. From any thread, without touching the disk.
    package func term(at index: LogIndex) throws(LogError) -> Term { throw .stopped }

    /// Figures since the log was opened.
    package var figures: LogFigures { LogFigures() }

    /// Carries out what is queued, makes the last frame headers durable, and ends the writer thread.
    package func close() {}
}
