/// Removes rows that nothing can read any more: superseded rows and feed rows below the compact revision and the feed floor, and the
/// chunk lists of dead uploads. Local to a node and outside replication: it changes no answer, whenever and however far it runs.
package struct CompactionSweep: Sendable {
    /// Continues where the rows say that an earlier sweep stopped.
    package init<Rows: RowReader & ~Copyable>(loading rows: borrowing Rows) throws(RowError) {}

    /// One bounded step into `batch`, which the caller writes before the next step. True: nothing is left to do at this point.
    package mutating func step<Rows: RowReader & ~Copyable>(
        at point: ReadPoint,
        rows: borrowing Rows,
        into batch: inout WriteBatch
    ) throws(RowError) -> Bool { true }
}
