/// Removes rows that nothing can read any more: superseded rows and feed rows below the compact revision and the feed floor, and the
/// chunk lists of dead uploads. Local to a node and outside replication: it changes no answer, whenever and however far it runs.
///
/// Invariants:
/// 1. Of every key the newest version at or below `limit` stays, and all above; except a tombstone below `limit`, which says no more
///    than no row. A tombstone exactly at `limit` stays: a watch from there shows it.
/// 2. What is left after any step answers as before: rows go from the newest to the oldest of a key, but a tombstone last, since the
///    rows that it hides would come back to life without it.
package struct CompactionSweep: Sendable {
    private enum Phase: UInt8 {
        case idle = 0
        case versions = 1
        case uploads = 2
    }

    private var phase = Phase.idle
    /// The pass at hand removes below this revision.
    private var limit: UInt64 = 0
    /// The last pass over all versions ended for this limit.
    private var done: UInt64 = 0
    /// The last row looked at; the pass goes on after it.
    private var cursor: [UInt8] = []
    /// The newest version at or below `limit` of the cursor's key was seen.
    private var isSuperseded = false
    /// A tombstone that goes once the rows it hides are gone; empty for none.
    private var tombstone: [UInt8] = []

    /// Continues where the rows say that an earlier sweep stopped.
    package init<Rows: RowReader & ~Copyable>(loading rows: borrowing Rows) throws(RowError) {
        self = try rows.value(CompactionSweep.self, at: RowKey.sweep) ?? CompactionSweep()
    }

    private init() {}

    /// One bounded step into `batch`, which the caller writes before the next step; not while a group is applied but not written.
    /// True: the pass is over, and the next step begins another. Worth a pass: a compaction, a closed upload, a retired version.
    package mutating func step<Rows: RowReader & ~Copyable>(
        at point: ReadPoint,
        rowsMax: Int = Limits.sweepRowsMax,
        rows: borrowing Rows,
        into batch: inout WriteBatch
    ) throws(RowError) -> Bool {
        try ErasedRows.with(rows) { rows throws(RowError) in
            try step(at: point, rowsMax: rowsMax, erased: rows, into: &batch)
        }
    }

    private mutating func step(
        at point: ReadPoint,
        rowsMax: Int,
        erased rows: ErasedRows,
        into batch: inout WriteBatch
    ) throws(RowError) -> Bool {
        if phase == .idle {
            limit = min(point.compactRevision, point.feedFloor)
            cursor = []
            isSuperseded = false
            tombstone = []
            phase = limit > done ? .versions : .uploads
            if limit > done { batch.deleteRange(from: RowKey.feed(0), below: RowKey.feed(point.feedFloor)) }
        }
        var left = max(rowsMax, 1)
        if phase == .versions, try sweepVersions(&left, rows, into: &batch) {
            done = limit
            cursor = []
            phase = .uploads
        }
        if phase == .uploads, left > 0, try sweepUploads(&left, at: point, rows, into: &batch) {
            cursor = []
            phase = .idle
        }
        batch.put(RowKey.sweep, encoded())
        return phase == .idle
    }

    /// True when all versions were looked at.
    private mutating func sweepVersions(
        _ left: inout Int,
        _ rows: ErasedRows,
        into batch: inout WriteBatch
    ) throws(RowError) -> Bool {
        let all = RowKey.allVersions
        let from = cursor.isEmpty ? all.from : cursor + [0]
        var isOver = true
        try rows.forEach(from: from, below: all.below) { row, value throws(RowError) in
            guard left > 0 else {
                isOver = false
                return false
            }
            left -= 1
            guard row.count > RowKey.revisionBytes, let record = VersionRecord(value) else {
                throw .corrupted("a version row")
            }
            let isSameKey = cursor.withUnsafeBytes { last in
                last.count == row.count
                    && compareBytes(
                        UnsafeRawBufferPointer(rebasing: last.dropLast(RowKey.revisionBytes)),
                        UnsafeRawBufferPointer(rebasing: row.dropLast(RowKey.revisionBytes))) == 0
            }
            if !isSameKey {
                isSuperseded = false
                dropTombstone(into: &batch)
            }
            cursor = Array(row)
            let revision = RowKey.revision(of: row)
            guard revision <= limit else { return true }
            // Keeps (1) and (2).
            if isSuperseded {
                batch.delete(cursor)
            } else if record.isTombstone, revision < limit {
                tombstone = cursor
            }
            isSuperseded = true
            return true
        }
        if isOver { dropTombstone(into: &batch) }
        return isOver
    }

    private mutating func dropTombstone(into batch: inout WriteBatch) {
        guard !tombstone.isEmpty else { return }
        batch.delete(tombstone)
        tombstone = []
    }

    /// True when all chunk lists were looked at.
    private mutating func sweepUploads(
        _ left: inout Int,
        at point: ReadPoint,
        _ rows: ErasedRows,
        into batch: inout WriteBatch
    ) throws(RowError) -> Bool {
        let all = RowKey.chunkLists
        while left > 0 {
            // The next piece, copied: the scan ends before more rows are read.
            var piece: (key: [UInt8], ids: [ChunkID], id: UploadID, number: UInt64)?
            try rows.forEach(from: cursor.isEmpty ? all.from : cursor, below: all.below) {
                row, value throws(RowError) in
                guard let found = RowKey.decodeChunkList(row), let count = ChunkList.count(value) else {
                    throw .corrupted("a chunk list")
                }
                piece = (Array(row), (0..<count).map { ChunkList.id(value, at: $0) }, found.id, found.number)
                return false
            }
            guard let piece else { return true }
            left -= 1
            if try Pins.isLive(piece.id, piece.number, at: point, rows: rows) {
                cursor = RowKey.chunkList(piece.id, piece.number, from: .max)
                continue
            }
            for chunk in piece.ids { batch.delete(RowKey.chunk(chunk, number: piece.number)) }
            batch.delete(piece.key)
            left -= piece.ids.count
            cursor = piece.key + [0]
        }
        return false
    }
}

extension CompactionSweep: Coded {
    package static var codedName: String { "compaction sweep" }

    package func encode(into writer: inout ByteWriter) {
        writer.byte(phase.rawValue)
        writer.varint(limit)
        writer.varint(done)
        writer.bool(isSuperseded)
        writer.string(cursor[...])
        writer.string(tombstone[...])
    }

    package static func decode(from reader: inout ByteReader) throws(DecodeError) -> CompactionSweep {
        var sweep = CompactionSweep()
        let tag = try reader.byte()
        guard let phase = Phase(rawValue: tag) else { throw .unknownTag(what: codedName, tag) }
        sweep.phase = phase
        sweep.limit = try reader.varint()
        sweep.done = try reader.varint()
        sweep.isSuperseded = try reader.bool()
        sweep.cursor = Array(try reader.string())
        sweep.tombstone = Array(try reader.string())
        return sweep
    }
}
