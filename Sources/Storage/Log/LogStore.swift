package import RaftCore
internal import Synchronization

/// The log of one node on disk: entries, term, vote and commit.
///
/// Orders go in through `submit` from any thread and are carried out by one writer thread in batches; reads come from any thread.
/// The files are described in `Docs/Reference/DataFormat.md`.
///
/// Invariants:
/// 1. What `onDurable` named is found again by every later `open`, or `open` says that it is corrupted.
/// 2. After one failed write or flush nothing more is written and no further sequence is named.
package final class LogStore: Sendable {
    private enum Phase: Sendable {
        case open
        case running(writer: LogThread, spare: LogThread)
        case closed
    }

    private let shared: LogShared
    let writer: LogWriter
    let pool: SparePool
    private let reader: LogReader
    private let phase = Mutex(Phase.open)
    /// The largest payload of an entry; `submit` stops the process at a larger one.
    package let entryBytesMax: Int

    init(shared: LogShared, writer: LogWriter, pool: SparePool) {
        self.shared = shared
        self.writer = writer
        self.pool = pool
        reader = LogReader(shared: shared, seed: writer.seed)
        entryBytesMax = LogWriter.entryBytesMax(segmentBytes: writer.segmentBytes)
    }

    deinit { close() }

    /// Starts the writer thread (`hf-log`). To be called once.
    ///
    /// - Parameters:
    ///   - onDurable: called on the writer thread, once per drained batch that held sequences, with the highest sequence that is durable with all before it.
    ///   - onFailure: called on the writer thread, once: a write or a flush failed, nothing after the last `onDurable` may be relied on,
    ///     and the log is stopped for good.
    package func start(
        onDurable: @escaping @Sendable (UInt64) -> Void, onFailure: @escaping @Sendable (LogError) -> Void
    ) throws(LogError) {
        try phase.withLock { phase throws(LogError) in
            guard case .open = phase else { preconditionFailure("a log is started once") }
            pool.begin()
            let spare = try LogThread.start(name: "hf-log-spare") { [pool] in pool.run() }
            do throws(LogError) {
                let thread = try LogThread.start(name: "hf-log") { [writer] in
                    writer.run(onDurable: onDurable, onFailure: onFailure)
                }
                phase = .running(writer: thread, spare: spare)
            } catch {
                pool.close()
                spare.join()
                throw error
            }
        }
    }

    /// Queues an operation from any thread and returns at once. After a failure or `close` it is dropped.
    package func submit(_ operation: LogOperation) { submit(contentsOf: CollectionOfOne(operation)) }

    /// Queues several operations in one hand-off.
    package func submit(contentsOf operations: some Collection<LogOperation>) {
        var bytes = 0
        for case .persist(_, _, let entries) in operations {
            for entry in entries {
                precondition(entry.data.count <= entryBytesMax, "entry of \(entry.data.count) bytes")
                bytes += entry.data.count
            }
        }
        shared.queue.update { queue in
            guard !queue.isStopped, !queue.isClosing else { return }
            queue.operations.append(contentsOf: operations)
            shared.pendingBytes.add(bytes, ordering: .relaxed)
        }
    }

    /// Payload bytes queued or being written, for the caller to refuse new work by.
    package var pendingBytes: Int { shared.pendingBytes.load(ordering: .relaxed) }

    /// The monotonic time in nanoseconds at which the wait for the disk in progress began; 0 if there is none.
    package var flushStarted: UInt64 { shared.flushStarted.load(ordering: .relaxed) }

    /// Whether the disk was full when the log last tried to prepare a spare segment: refuse what grows the log.
    package var isOutOfSpace: Bool { pool.isOutOfSpace }

    /// Whether the writer waits for room on a full disk: nothing is made durable until there is some.
    package var isWaitingForSpace: Bool { pool.isWaitingForSpace }

    /// Index before the first readable entry.
    package var previousIndex: LogIndex { shared.map.withLock { $0.previousIndex } }

    /// Index of the last durable entry.
    package var lastIndex: LogIndex { shared.map.withLock { $0.lastIndex } }

    /// The index through which entries would have to go so that the segments take at most `bytes`; 0 if they do. The newest segment
    /// always stays.
    package func point(keepingBytes bytes: UInt64) -> LogIndex {
        shared.map.withLock { $0.point(keepingBytes: bytes) }
    }

    /// Entries `from ... to`, or up to the last durable one, in order; fewer if they would exceed `bytesMax` payload bytes, but at least one.
    /// From any thread. Throws `compacted` below the first entry and `beyondEnd` above the last durable one.
    package func read(from: LogIndex, to: LogIndex, bytesMax: Int) throws(LogError) -> [Entry] {
        try reader.read(from: from, to: to, bytesMax: bytesMax)
    }

    /// Term of the durable entry at `index`, or of the point before the first entry. From any thread, without touching the disk.
    package func term(at index: LogIndex) throws(LogError) -> Term {
        let (term, previous, last) = shared.map.withLock { ($0.term(at: index), $0.previousIndex, $0.lastIndex) }
        if let term { return term }
        if index < previous { throw .compacted(first: previous + 1) }
        throw .beyondEnd(last: last)
    }

    /// Figures since the log was opened.
    package var figures: LogFigures {
        var figures = shared.figures.withLock { $0 }
        figures.createdSegments = pool.created
        return figures
    }

    /// Carries out what is queued, as far as a full disk takes it, makes the last frame headers durable, and ends the threads. Not
    /// from a callback.
    package func close() {
        let running: (LogThread, LogThread)? = phase.withLock { phase in
            defer { phase = .closed }
            guard case .running(let writer, let spare) = phase else { return nil }
            return (writer, spare)
        }
        guard let (thread, spare) = running else { return }
        shared.queue.update { $0.isClosing = true }
        pool.drain()
        thread.join()
        pool.close()
        spare.join()
    }
}
