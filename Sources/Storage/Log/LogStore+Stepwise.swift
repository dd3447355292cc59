internal import RaftCore

/// A log without threads, for a program that owns time: opened and never started, it does on the caller's thread, and in the same order, what its
/// own threads would do. One caller at a time.
extension LogStore {
    /// Creates spare segments as far as the disk has room, and removes surplus ones; answers how many there are.
    package func prepareSpares() -> Int {
        pool.runPending()
        return pool.count
    }

    /// Carries out operations in order; the highest sequence among them, all of which are durable once the files have flushed.
    /// Nobody creates segments meanwhile: the operations must fit those at hand.
    package func carryOut(_ operations: [LogOperation]) throws(LogError) -> UInt64? {
        try writer.carryOut(operations)
    }

    /// What follows the acknowledgement of a batch: headers enter the ring, and compaction.
    package func settle() throws(LogError) { try writer.settle() }

    /// Makes the headers in the ring durable, as is due 50 ms after they entered.
    package func flushHeaders() throws(LogError) { try writer.ring.flush() }
}
