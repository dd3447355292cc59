/// Reads of models and uploads.
package enum ModelReader {
    /// Versions of one name in order: other versions first, in natural order, then whole numbers in theirs. Retired ones included.
    package static func versions<Rows: RowReader & ~Copyable>(
        of name: String,
        at point: ReadPoint,
        rows: borrowing Rows
    ) throws(QueryError) -> [ModelVersion] { [] }

    /// All versions of all names, by name and then as `versions` orders them. Retired ones included.
    package static func list<Rows: RowReader & ~Copyable>(
        at point: ReadPoint,
        rows: borrowing Rows
    ) throws(QueryError) -> [ModelVersion] { [] }

    /// One version, or with nil the highest that is published and not retired; nil if there is none.
    package static func resolve<Rows: RowReader & ~Copyable>(
        name: String,
        version: String?,
        at point: ReadPoint,
        rows: borrowing Rows
    ) throws(QueryError) -> ModelVersion? { nil }

    /// The open uploads, by ID.
    package static func uploads<Rows: RowReader & ~Copyable>(
        rows: borrowing Rows
    ) throws(RowError) -> [UploadInfo] { [] }

    /// One open upload.
    package static func upload<Rows: RowReader & ~Copyable>(
        _ id: UploadID,
        rows: borrowing Rows
    ) throws(RowError) -> UploadInfo? { nil }

    /// Up to `limit` chunk IDs of an upload, open or published, from ordinal `first` on: each with its ordinal, ascending.
    /// With `number` and `id` from a `ModelRecord` these are the chunks of the model, manifest included.
    package static func chunks<Rows: RowReader & ~Copyable>(
        of id: UploadID,
        number: UInt64,
        from first: UInt64,
        limit: Int,
        rows: borrowing Rows
    ) throws(RowError) -> [(ordinal: UInt64, id: ChunkID)] { [] }

    /// How far each node is complete, by node.
    package static func completeness<Rows: RowReader & ~Copyable>(
        rows: borrowing Rows
    ) throws(RowError) -> [Completeness] { [] }
}
