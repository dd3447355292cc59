/// Which chunks must stay: those of open uploads, of versions that are live or were retired above the feed floor, and of orphans.
package enum Pins {
    /// The chunk must stay, and a node may take it and give a receipt for it. Ask again immediately before unlinking.
    package static func isPinned<Rows: RowReader & ~Copyable>(
        _ chunk: ChunkID,
        at point: ReadPoint,
        rows: borrowing Rows
    ) throws(RowError) -> Bool {
        try ErasedRows.with(rows) { rows throws(RowError) in
            var owners: [(UploadID, UInt64)] = []
            let from = RowKey.chunks(from: chunk)
            try rows.forEach(from: from, below: from + [UInt8](repeating: 0xFF, count: 9)) {
                row, value throws(RowError) in
                owners.append(try owner(row, value))
                return true
            }
            for (id, number) in owners where try isLive(id, number, at: point, rows: rows) { return true }
            return false
        }
    }

    /// Up to `limit` pinned chunks at or above `first`, ascending: the marks of a sweep. Fewer than `limit` means that none follow.
    package static func pinned<Rows: RowReader & ~Copyable>(
        from first: ChunkID,
        limit: Int,
        at point: ReadPoint,
        rows: borrowing Rows
    ) throws(RowError) -> [ChunkID] {
        try ErasedRows.with(rows) { rows throws(RowError) in
            var verdicts: [UInt64: Bool] = [:]
            var pinned: [ChunkID] = []
            guard limit > 0 else { return [] }
            try rows.forEach(from: RowKey.chunks(from: first), below: RowKey.chunksEnd) { row, value throws(RowError) in
                guard let found = RowKey.decodeChunk(row) else { throw .corrupted("the key of a chunk's row") }
                if pinned.last == found.chunk { return true }
                let (id, number) = try owner(row, value)
                let verdict: Bool
                if let known = verdicts[number] {
                    verdict = known
                } else {
                    verdict = try isLive(id, number, at: point, rows: rows)
                    verdicts[number] = verdict
                }
                if verdict { pinned.append(found.chunk) }
                return pinned.count < limit
            }
            return pinned
        }
    }

    /// The upload's list counts: it is open, or its version is live or was retired above the feed floor.
    static func isLive(
        _ id: UploadID,
        _ number: UInt64,
        at point: ReadPoint,
        rows: ErasedRows
    ) throws(RowError) -> Bool {
        if try isNamed(id, number, at: point, rows: rows) { return true }
        // What a rewind has undone can be replayed until it is dropped.
        return try rows.get(RowKey.orphanPin(id, number: number)) != nil
    }

    private static func isNamed(
        _ id: UploadID,
        _ number: UInt64,
        at point: ReadPoint,
        rows: ErasedRows
    ) throws(RowError) -> Bool {
        guard let upload = try rows.value(UploadRecord.self, at: RowKey.upload(id)), upload.number == number else {
            return false
        }
        guard upload.isPublished, let version = upload.version else { return true }
        func keeps(_ model: ModelVersion?) -> Bool {
            guard let model, model.record.upload == id, model.record.uploadNumber == number else { return false }
            return !model.record.isRetired || model.modRevision > point.feedFloor
        }
        let newest = try ModelReader.version(upload.name, version, at: .max, rows: rows)
        if keeps(newest) { return true }
        // A seed has staged another row of it: until the end of the seed this site is what it was.
        guard let newest, newest.modRevision > point.revision else { return false }
        return keeps(try ModelReader.version(upload.name, version, at: point.revision, rows: rows))
    }

    /// The upload that names a chunk, from the row that says so.
    private static func owner(
        _ row: UnsafeRawBufferPointer,
        _ value: UnsafeRawBufferPointer
    ) throws(RowError) -> (UploadID, UInt64) {
        guard let found = RowKey.decodeChunk(row), let id = UploadID(value) else { throw .corrupted("a chunk's row") }
        return (id, found.number)
    }
}
