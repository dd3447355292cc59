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
    /// `bytesMax` bytes are in the page or `revisionsMax` revisions were looked at; a revision is never split. Below the feed floor it
    /// refuses with `compacted`. A point taken before a compaction must be compared with the one after, as for other reads.
    package static func events<Rows: RowReader & ~Copyable>(
        from first: UInt64,
        keys: KeySelector,
        space: Keyspace = .user,
        withPrevious: Bool = false,
        eventsMax: Int = 1_000,
        bytesMax: Int = 1 << 20,
        revisionsMax: UInt64 = 10_000,
        at point: ReadPoint,
        rows: borrowing Rows
    ) throws(QueryError) -> Page {
        if let refusal = keys.refusal { throw .refused(refusal) }
        let start = max(first, 1)
        guard start >= point.feedFloor else { throw .refused(.compacted(start, earliest: point.feedFloor)) }
        guard start <= point.revision else { return Page(events: [], next: start) }
        let last = min(point.revision, start + max(revisionsMax, 1) - 1)
        do throws(RowError) {
            return try ErasedRows.with(rows) { rows throws(RowError) in
                var walk = FeedWalk(
                    keys: keys, space: space, previousAbove: withPrevious ? point.feedFloor : .max, rows: rows)
                return try walk.page(start...last, eventsMax: eventsMax, bytesMax: bytesMax)
            }
        } catch {
            throw .rows(error)
        }
    }

    /// The chain hash after a revision; nil outside the feed.
    package static func hash<Rows: RowReader & ~Copyable>(
        after revision: UInt64,
        rows: borrowing Rows
    ) throws(RowError) -> Digest? {
        guard let row = try rows.get(RowKey.feed(revision)) else { return nil }
        return try FeedWalk.decode(row).hash
    }

    /// The feed row of a revision, and the chain hash in it; nil outside the feed.
    package static func row<Rows: RowReader & ~Copyable>(
        of revision: UInt64,
        rows: borrowing Rows
    ) throws(RowError) -> (bytes: Bytes, hash: Digest)? {
        guard let row = try rows.get(RowKey.feed(revision)) else { return nil }
        return (row[...], try FeedWalk.decode(row).hash)
    }
}

/// Turns feed rows into events.
private struct FeedWalk {
    let keys: KeySelector
    let space: Keyspace
    /// Rows before a change are certainly kept only for revisions above this one.
    let previousAbove: UInt64
    let rows: ErasedRows
    private var events: [WatchEvent] = []
    private var bytes = 0
    /// Keys that earlier effects of the revision at hand deleted: a range delete after them finds their tombstones too.
    private var deletedBefore: Set<Bytes> = []

    init(keys: KeySelector, space: Keyspace, previousAbove: UInt64, rows: ErasedRows) {
        self.keys = keys
        self.space = space
        self.previousAbove = previousAbove
        self.rows = rows
    }

    static func decode(_ row: [UInt8]) throws(RowError) -> FeedRecord {
        do throws(DecodeError) {
            return try FeedRecord(decoding: row)
        } catch {
            throw .corrupted("a feed row", error)
        }
    }

    mutating func page(
        _ revisions: ClosedRange<UInt64>,
        eventsMax: Int,
        bytesMax: Int
    ) throws(RowError) -> FeedReader.Page {
        var next = revisions.lowerBound
        while next <= revisions.upperBound, events.count < eventsMax, bytes < bytesMax {
            // Bounded pieces: a scan's rows are held while it lasts, and the limits end most pages early.
            let below = min(next + 256, revisions.upperBound + 1)
            var records: [FeedRecord] = []
            var expected = next
            try rows.forEach(from: RowKey.feed(next), below: RowKey.feed(below)) { key, value throws(RowError) in
                guard key.count == 9, key.bigEndianWord(at: 1) == expected else { return false }
                records.append(try FeedWalk.decode(Array(value)))
                expected += 1
                return true
            }
            guard expected == below else { throw .corrupted("the feed row of revision \(expected)") }
            for record in records where events.count < eventsMax && bytes < bytesMax {
                deletedBefore.removeAll(keepingCapacity: true)
                for effect in record.effects { try add(effect, revision: next) }
                next += 1
            }
        }
        return FeedReader.Page(events: events, next: next)
    }

    private mutating func add(_ effect: FeedRecord.Effect, revision: UInt64) throws(RowError) {
        switch effect {
        case .put(let space, let key):
            guard space == self.space, keys.contains(key) else { return }
            guard let kv = try History.key(key, in: space, at: revision, rows: rows), kv.modRevision == revision else {
                throw .corrupted("the row of a key put at revision \(revision)")
            }
            try append(.put, kv)
        case .delete(let space, .key(let key)):
            guard space == self.space, keys.contains(key) else { return }
            deletedBefore.insert(key)
            try append(.delete, FeedWalk.deleted(key, revision))
        case .delete(let space, let range):
            guard space == self.space else { return }
            for key in try deletedKeys(range, at: revision)
            where keys.contains(key) && deletedBefore.insert(key).inserted {
                try append(.delete, FeedWalk.deleted(key, revision))
            }
        }
    }

    private mutating func append(_ kind: WatchEvent.Kind, _ kv: KeyValue) throws(RowError) {
        var event = WatchEvent(kind: kind, space: space, kv: kv)
        if kv.modRevision > previousAbove {
            event.previous = try History.key(kv.key, in: space, at: kv.modRevision - 1, rows: rows)
        }
        bytes += kv.key.count + kv.value.count + (event.previous?.value.count ?? 0)
        events.append(event)
    }

    private static func deleted(_ key: Bytes, _ revision: UInt64) -> KeyValue {
        KeyValue(key: key, value: [], createRevision: 0, modRevision: revision, version: 0)
    }

    /// The keys that a range delete removed: those with a tombstone of exactly its revision.
    private func deletedKeys(_ range: KeySelector, at revision: UInt64) throws(RowError) -> [Bytes] {
        var deleted: [Bytes] = []
        let bounds = RowKey.bounds(of: range, in: space)
        try rows.forEach(from: bounds.from, below: bounds.below) { row, value throws(RowError) in
            guard row.count > RowKey.revisionBytes, RowKey.revision(of: row) == revision else { return true }
            guard let record = VersionRecord(value), let found = RowKey.decodeVersion(row) else {
                throw .corrupted("a version row")
            }
            if record.isTombstone { deleted.append(found.key[...]) }
            return true
        }
        return deleted
    }
}
