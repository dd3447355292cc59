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
    /// The keys that a query means. An answer ends with `more` at the query's limit or at `bytesMax` of keys and values.
    package static func range<Rows: RowReader & ~Copyable>(
        _ query: RangeQuery,
        at point: ReadPoint,
        bytesMax: Int = Limits.rangeBytesMax,
        rows: borrowing Rows
    ) throws(QueryError) -> RangeResult {
        if let refusal = refusal(of: query, at: point) { throw .refused(refusal) }
        do throws(RowError) {
            return try ErasedRows.with(rows) { rows throws(RowError) in
                try read(query, at: point, bytesMax: bytesMax, rows: rows)
            }
        } catch {
            throw .rows(error)
        }
    }

    /// Why a query cannot be answered at a point, if so.
    package static func refusal(of query: RangeQuery, at point: ReadPoint) -> Refusal? {
        if let refusal = query.keys.refusal { return refusal }
        guard query.revision != 0 else { return nil }
        if query.revision > point.revision {
            return Refusal(
                .invalidArgument, "revision \(query.revision) is not made yet; the latest is \(point.revision)")
        }
        if query.revision < point.compactRevision {
            return .compacted(query.revision, earliest: point.compactRevision)
        }
        return nil
    }

    /// The answer to a query that the point allows.
    static func read<Rows: RowReader & ~Copyable>(
        _ query: RangeQuery,
        at point: ReadPoint,
        bytesMax: Int,
        rows: borrowing Rows
    ) throws(RowError) -> RangeResult {
        var page = RangePage(query, bytesMax: bytesMax)
        let revision = query.revision == 0 ? point.revision : query.revision
        switch query.order {
        case .ascending: try ascend(query, through: revision, into: &page, rows: rows)
        case .descending: try descend(query, through: revision, into: &page, rows: rows)
        }
        return RangeResult(revision: point.revision, kvs: page.kvs, more: page.more, count: page.count)
    }

    /// The key as of `revision`, which must be readable; nil if absent.
    static func key<Rows: RowReader & ~Copyable>(
        _ key: Bytes,
        in space: Keyspace,
        at revision: UInt64,
        rows: borrowing Rows
    ) throws(RowError) -> KeyValue? {
        var page = RangePage(RangeQuery(.key(key), space: space), bytesMax: .max)
        try ascend(RangeQuery(.key(key), space: space), through: revision, into: &page, rows: rows)
        return page.kvs.first
    }

    /// Rows of one key that are stepped over before it is cheaper to seek.
    private static let skipsMax = 8

    /// Newest version first within a key: the first one at or below `through` decides, and the rest of the key is skipped.
    private static func ascend<Rows: RowReader & ~Copyable>(
        _ query: RangeQuery,
        through: UInt64,
        into page: inout RangePage,
        rows: borrowing Rows
    ) throws(RowError) {
        let bounds = RowKey.bounds(of: query.keys, in: query.space)
        var from = bounds.from
        if case .key = query.keys { RowKey.append(revision: through, to: &from) }
        var decided: [UInt8] = []
        var goesOn = true
        while goesOn {
            goesOn = false
            var skips = 0
            try rows.forEach(from: from, below: bounds.below) { row, value throws(RowError) in
                guard row.count > RowKey.revisionBytes else { throw .corrupted("the key of a version row") }
                let versions = UnsafeRawBufferPointer(rebasing: row[..<(row.count - RowKey.revisionBytes)])
                let isDecided = decided.withUnsafeBytes { compareBytes($0, versions) == 0 }
                if isDecided || RowKey.revision(of: row) > through {
                    skips += 1
                    if skips <= skipsMax { return true }
                    from = Array(versions)
                    if isDecided {
                        from = RowKey.end(ofVersions: from)
                    } else {
                        RowKey.append(revision: through, to: &from)
                    }
                    goesOn = true
                    return false
                }
                skips = 0
                if case .key = query.keys {
                    _ = try page.add(row, value)
                    return false
                }
                decided.removeAll(keepingCapacity: true)
                decided.append(contentsOf: versions)
                return try page.add(row, value)
            }
        }
    }

    /// Oldest version first within a key: the last one at or below `through` decides, once the next key begins.
    private static func descend<Rows: RowReader & ~Copyable>(
        _ query: RangeQuery,
        through: UInt64,
        into page: inout RangePage,
        rows: borrowing Rows
    ) throws(RowError) {
        let bounds = RowKey.bounds(of: query.keys, in: query.space)
        var candidateRow: [UInt8] = []
        var candidateValue: [UInt8] = []
        var goesOn = true
        func decide() throws(RowError) -> Bool {
            guard !candidateRow.isEmpty else { return true }
            let row = candidateRow
            let value = candidateValue
            var failure: RowError?
            let answer = row.withUnsafeBytes { row in
                value.withUnsafeBytes { value in
                    do throws(RowError) {
                        return try page.add(row, value)
                    } catch {
                        failure = error
                        return false
                    }
                }
            }
            if let failure { throw failure }
            return answer
        }
        try rows.forEach(from: bounds.from, below: bounds.below, reverse: true) { row, value throws(RowError) in
            guard row.count > RowKey.revisionBytes else { throw .corrupted("the key of a version row") }
            let isSameKey = candidateRow.withUnsafeBytes { candidate in
                candidate.count == row.count
                    && compareBytes(
                        UnsafeRawBufferPointer(rebasing: candidate.dropLast(RowKey.revisionBytes)),
                        UnsafeRawBufferPointer(rebasing: row.dropLast(RowKey.revisionBytes))) == 0
            }
            if !isSameKey {
                goesOn = try decide()
                if !goesOn { return false }
                candidateRow.removeAll(keepingCapacity: true)
            }
            if RowKey.revision(of: row) <= through {
                candidateRow = Array(row)
                candidateValue = Array(value)
            }
            return true
        }
        if goesOn { _ = try decide() }
    }
}

/// The answer to a query while it is gathered.
struct RangePage {
    private let query: RangeQuery
    private var bytesLeft: Int
    private(set) var kvs: [KeyValue] = []
    private(set) var count: UInt64 = 0
    private(set) var more = false

    init(_ query: RangeQuery, bytesMax: Int) {
        self.query = query
        self.bytesLeft = bytesMax
    }

    /// Takes the version that decides a key; false once the page is full.
    mutating func add(_ row: UnsafeRawBufferPointer, _ value: UnsafeRawBufferPointer) throws(RowError) -> Bool {
        guard let record = VersionRecord(value) else { throw .corrupted("a version row") }
        if record.isTombstone { return true }
        if query.countOnly {
            count += 1
            return true
        }
        guard let decoded = RowKey.decodeVersion(row) else { throw .corrupted("the key of a version row") }
        let bytes = query.keysOnly ? 0 : value.count - record.valueOffset
        let isFull = query.limit > 0 && count >= query.limit
        if isFull || (count > 0 && decoded.key.count + bytes > bytesLeft) {
            more = true
            return false
        }
        bytesLeft -= decoded.key.count + bytes
        count += 1
        kvs.append(
            KeyValue(
                key: decoded.key[...],
                value: query.keysOnly ? [] : Bytes(value[record.valueOffset...]),
                createRevision: record.createRevision,
                modRevision: decoded.revision,
                version: record.version,
                lease: record.lease))
        return true
    }
}
