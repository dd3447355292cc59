/// What a read may rely on: rows at or below `revision` never change while `compactRevision` is at or below what is read.
///
/// A point taken before a compaction must be compared with the point after the read: if the compact revision has passed the
/// revision read, the answer is `compacted`.
package struct ReadPoint: Sendable, Hashable {
    /// The latest revision.
    package var revision: UInt64
    /// Reads below are refused.
    package var compactRevision: UInt64
    /// The oldest revision of the feed.
    package var feedFloor: UInt64

    package init(revision: UInt64, compactRevision: UInt64, feedFloor: UInt64) {
        self.revision = revision
        self.compactRevision = compactRevision
        self.feedFloor = feedFloor
    }

    package init(_ state: AppliedState) {
        self.init(revision: state.revision, compactRevision: state.compactRevision, feedFloor: state.feedFloor)
    }
}

/// Reads of keys, now and at past revisions.
package enum History {
    /// The keys that a query means.
    package static func range<Rows: RowReader & ~Copyable>(
        _ query: RangeQuery,
        at point: ReadPoint,
        rows: borrowing Rows
    ) throws(QueryError) -> RangeResult {
        RangeResult(revision: point.revision, kvs: [], more: false, count: 0)
    }
}
