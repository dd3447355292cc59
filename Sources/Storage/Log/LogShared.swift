internal import RaftCore
internal import Synchronization

/// What the writer thread shares with everyone else.
final class LogShared: Sendable {
    /// Operations on their way to the writer.
    struct Queue: Sendable {
        var operations: [LogOperation] = []
        var isClosing = false
        var isStopped = false
    }

    let queue = Monitor(Queue())
    let map: Mutex<LogMap>
    let figures = Mutex(LogFigures())
    let pendingBytes = Atomic<Int>(0)
    let flushStarted = Atomic<UInt64>(0)

    init(map: LogMap) { self.map = Mutex(map) }

    /// Runs something that waits for the disk, with its time taken; the start is visible while it runs.
    func timed(_ wait: () throws(LogError) -> Void) throws(LogError) {
        let started = monotonicNanoseconds()
        try watched(wait)
        let took = monotonicNanoseconds() - started
        figures.withLock { figures in
            figures.fsyncs += 1
            figures.fsyncNanoseconds += took
            figures.fsyncNanosecondsMax = max(figures.fsyncNanosecondsMax, took)
            let microseconds = took / 1000
            let bucket = UInt64.bitWidth - microseconds.leadingZeroBitCount
            figures.fsyncBuckets[min(bucket, figures.fsyncBuckets.count - 1)] += 1
        }
    }

    /// Runs something that may wait for the disk; its start is visible while it runs.
    func watched<Result>(_ wait: () throws(LogError) -> Result) throws(LogError) -> Result {
        let before = flushStarted.load(ordering: .relaxed)
        flushStarted.store(monotonicNanoseconds(), ordering: .relaxed)
        defer { flushStarted.store(before, ordering: .relaxed) }
        return try wait()
    }
}
