/// Reads of models, uploads and the cluster's own rows.
package enum ModelReader {
    /// Versions of one name in order: other versions first, in natural order, then whole numbers in theirs. Retired ones included.
    package static func versions<Rows: RowReader & ~Copyable>(
        of name: String,
        at point: ReadPoint,
        rows: borrowing Rows
    ) throws(RowError) -> [ModelVersion] {
        try models(.prefix(ModelName.keys(of: name)), at: point, rows: rows).filter { $0.name == name }
            .sorted { ModelName.precedes($0.version, $1.version) }
    }

    /// All versions of all names, by name and then as `versions` orders them. Retired ones included.
    package static func list<Rows: RowReader & ~Copyable>(
        at point: ReadPoint,
        rows: borrowing Rows
    ) throws(RowError) -> [ModelVersion] {
        try models(.prefix(ModelName.allKeys), at: point, rows: rows).sorted { left, right in
            left.name == right.name ? ModelName.precedes(left.version, right.version) : left.name < right.name
        }
    }

    /// One version (retired or not), or with nil the highest that is published and not retired; nil if there is none.
    package static func resolve<Rows: RowReader & ~Copyable>(
        name: String,
        version: String?,
        at point: ReadPoint,
        rows: borrowing Rows
    ) throws(RowError) -> ModelVersion? {
        guard ModelName.isValid(name) else { return nil }
        if let version {
            return try ErasedRows.with(rows) { rows throws(RowError) in
                try Self.version(name, version, at: point.revision, rows: rows)
            }
        }
        // Whole numbers rank above all others: usually the first one found is the answer.
        var limit: UInt64 = 1
        while true {
            let page = try models(
                .prefix(ModelName.wholeNumberKeys(of: name)), limit: limit, order: .descending, at: point, rows: rows)
            if let highest = page.first(where: { !$0.record.isRetired }) { return highest }
            if page.count < limit { break }
            limit *= 8
        }
        return try versions(of: name, at: point, rows: rows).last { !$0.record.isRetired }
    }

    /// The open uploads, by ID.
    package static func uploads<Rows: RowReader & ~Copyable>(
        rows: borrowing Rows
    ) throws(RowError) -> [UploadInfo] {
        try ErasedRows.with(rows) { rows throws(RowError) in
            try records(rows: rows).filter { !$0.isPublished }.map(\.info)
        }
    }

    /// One open upload.
    package static func upload<Rows: RowReader & ~Copyable>(
        _ id: UploadID,
        rows: borrowing Rows
    ) throws(RowError) -> UploadInfo? {
        guard let record = try rows.value(UploadRecord.self, at: RowKey.upload(id)), !record.isPublished else {
            return nil
        }
        return record.info
    }

    /// Up to `limit` chunk IDs of an upload, open or published, from ordinal `first` on: each with its ordinal, ascending.
    /// With `upload` and `uploadNumber` of a `ModelRecord` these are the chunks of the version, manifest included.
    package static func chunks<Rows: RowReader & ~Copyable>(
        of id: UploadID,
        number: UInt64,
        from first: UInt64,
        limit: Int,
        rows: borrowing Rows
    ) throws(RowError) -> [(ordinal: UInt64, id: ChunkID)] {
        try ErasedRows.with(rows) { rows throws(RowError) in
            try chunkList(of: id, number: number, from: first, limit: limit, rows: rows)
        }
    }

    /// The newest revision whose publish names chunks that must be kept: those of a retired version until the feed floor has passed
    /// the retiring. 0 for none.
    package static func lastPublish<Rows: RowReader & ~Copyable>(
        at state: AppliedState, rows: borrowing Rows
    ) throws(RowError) -> UInt64 {
        try list(at: ReadPoint(state), rows: rows).filter { !$0.record.isRetired || $0.modRevision > state.feedFloor }
            .map(\.publishedRevision).max() ?? 0
    }

    /// `lastPublish` as of what the rows hold.
    package static func lastPublish<Rows: RowReader & ~Copyable>(rows: borrowing Rows) throws(RowError) -> UInt64 {
        try lastPublish(at: AppliedState(loading: rows), rows: rows)
    }

    /// How far each node is complete, by node.
    package static func completeness<Rows: RowReader & ~Copyable>(
        rows: borrowing Rows
    ) throws(RowError) -> [Completeness] {
        var reports: [Completeness] = []
        let all = RowKey.completenesses
        try rows.forEach(from: all.from, below: all.below) { _, value throws(RowError) in
            do throws(DecodeError) {
                reports.append(try Completeness(decoding: Array(value)))
            } catch {
                throw .corrupted("the row of a node's completeness", error)
            }
            return true
        }
        return reports
    }

    /// The cluster's lineage; nil until it is named.
    package static func lineage<Rows: RowReader & ~Copyable>(rows: borrowing Rows) throws(RowError) -> Lineage? {
        guard let row = try rows.get(RowKey.lineage) else { return nil }
        guard row.first == 1, let lineage = Lineage(row.dropFirst()) else { throw .corrupted("the row of the lineage") }
        return lineage
    }

    /// The replicated feature version.
    package static func featureVersion<Rows: RowReader & ~Copyable>(
        rows: borrowing Rows
    ) throws(RowError) -> UInt32 {
        guard let row = try rows.get(RowKey.featureVersion) else { return FeatureVersion.first }
        do throws(DecodeError) {
            var reader = ByteReader(row)
            try reader.version(1, of: "feature version")
            let version = try reader.fixed32()
            try reader.finish()
            return version
        } catch {
            throw .corrupted("the row of the feature version")
        }
    }

    /// The records of all uploads, open or published, by ID.
    static func records(rows: ErasedRows) throws(RowError) -> [UploadRecord] {
        var records: [UploadRecord] = []
        let all = RowKey.uploads
        try rows.forEach(from: all.from, below: all.below) { _, value throws(RowError) in
            do throws(DecodeError) {
                records.append(try UploadRecord(decoding: Array(value)))
            } catch {
                throw .corrupted("the row of an upload", error)
            }
            return true
        }
        return records
    }

    /// One version as of a revision that can be read.
    static func version<Rows: RowReader & ~Copyable>(
        _ name: String,
        _ version: String,
        at revision: UInt64,
        rows: borrowing Rows
    ) throws(RowError) -> ModelVersion? {
        guard ModelName.isValidVersion(version) else { return nil }
        guard let kv = try History.key(ModelName.key(name, version), in: .system, at: revision, rows: rows) else {
            return nil
        }
        return try model(kv)
    }

    private static func models<Rows: RowReader & ~Copyable>(
        _ keys: KeySelector,
        limit: UInt64 = 0,
        order: RangeQuery.Order = .ascending,
        at point: ReadPoint,
        rows: borrowing Rows
    ) throws(RowError) -> [ModelVersion] {
        let query = RangeQuery(keys, space: .system, limit: limit, order: order)
        let page = try ErasedRows.with(rows) { rows throws(RowError) in
            try History.read(query, at: point, bytesMax: .max, rows: rows)
        }
        var models: [ModelVersion] = []
        for kv in page.kvs { models.append(try model(kv)) }
        return models
    }

    /// The version in a system row of a model.
    private static func model(_ kv: KeyValue) throws(RowError) -> ModelVersion {
        guard let model = ModelVersion(kv) else { throw .corrupted("the row of a model version") }
        return model
    }

    private static func chunkList(
        of id: UploadID,
        number: UInt64,
        from first: UInt64,
        limit: Int,
        rows: ErasedRows
    ) throws(RowError) -> [(ordinal: UInt64, id: ChunkID)] {
        guard limit > 0, first < Limits.uploadChunksMax else { return [] }
        // The piece that holds `first` begins at or before it.
        var start = first
        try rows.forEach(
            from: RowKey.chunkList(id, number, from: 0), below: RowKey.chunkList(id, number, from: first + 1),
            reverse: true
        ) { row, _ throws(RowError) in
            guard let piece = RowKey.decodeChunkList(row) else { throw .corrupted("the key of a chunk list") }
            start = piece.ordinal
            return false
        }
        var chunks: [(ordinal: UInt64, id: ChunkID)] = []
        try rows.forEach(
            from: RowKey.chunkList(id, number, from: start), below: RowKey.chunkList(id, number, from: .max)
        ) { row, value throws(RowError) in
            guard let piece = RowKey.decodeChunkList(row), let count = ChunkList.count(value) else {
                throw .corrupted("a chunk list")
            }
            for place in 0..<count where piece.ordinal + UInt64(place) >= first {
                chunks.append((piece.ordinal + UInt64(place), ChunkList.id(value, at: place)))
                if chunks.count == limit { return false }
            }
            return true
        }
        return chunks
    }
}

extension ModelVersion {
    /// The version that a system row, or a watch event of one, is about; nil if the row is not one of a model version.
    package init?(_ kv: KeyValue) {
        guard let found = ModelName.decode(kv.key) else { return nil }
        let record: ModelRecord
        do throws(DecodeError) {
            record = try ModelRecord(decoding: kv.value)
        } catch {
            return nil
        }
        self.init(
            name: found.name, version: found.version, record: record, publishedRevision: kv.createRevision,
            modRevision: kv.modRevision)
    }
}
