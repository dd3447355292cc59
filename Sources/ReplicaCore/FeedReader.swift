/// Past changes, in order and complete.
package enum FeedReader {
    /// Whole revisions of the feed.
    package struct Page: Sendable, Hashable {
        /// Changes that the filter means, in revision order.
        package var events: [WatchEvent]
        /// The first revision not looked at: where the next page begins.
        package var next: UInt64
    }

    /// Changes from revision `first` on (inclusive) through `point.revision`, of the keys meant, until at least `eventsMax` events or
    /// `bytesMax` bytes are in the page; a revision is never split. Below the floor it refuses with `compacted`.
    package static func events<Rows: RowReader & ~Copyable>(
        from first: UInt64,
        keys: KeySelector,
        space: Keyspace = .user,
        withPrevious: Bool = false,
        eventsMax: Int = 1_000,
        bytesMax: Int = 1 << 20,
        at point: ReadPoint,
        rows: borrowing Rows
    ) throws(QueryError) -> Page {
        Page(events: [], next: first)
    }

    /// The chain hash after a revision; nil outside the feed.
    package static func hash<Rows: RowReader & ~Copyable>(
        after revision: UInt64,
        rows: borrowing Rows
    ) throws(RowError) -> Digest? {
        nil
    }
}
