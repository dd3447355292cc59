/// Which chunks must stay: those of open uploads, and of versions that are live or were retired above the feed floor.
package enum Pins {
    /// The chunk must stay. Ask again immediately before unlinking.
    package static func isPinned<Rows: RowReader & ~Copyable>(
        _ chunk: ChunkID,
        at point: ReadPoint,
        rows: borrowing Rows
    ) throws(RowError) -> Bool { true }

    /// Up to `limit` pinned chunks at or above `first`, ascending: the marks of a sweep. Fewer than `limit` means that none follow.
    package static func pinned<Rows: RowReader & ~Copyable>(
        from first: ChunkID,
        limit: Int,
        at point: ReadPoint,
        rows: borrowing Rows
    ) throws(RowError) -> [ChunkID] { [] }
}
