// Uploads: which chunks a node may take and must keep before they belong to a model. Uploads make no revision.
extension Applier {
    mutating func beginUpload(
        _ id: UploadID,
        name: String,
        version: String?,
        _ group: inout ApplyGroup
    ) throws(RowError) -> Outcome {
        if let place = openPlace(of: id) {
            guard uploads[place].name == name, uploads[place].version == version else {
                return .refused(
                    Refusal(.alreadyExists, "upload \(id) is open for another version: \(uploads[place].label)"))
            }
            touch(place, &group)
            return .upload(uploads[place].info)
        }
        if let published = try record(of: id, &group) {
            return .refused(Refusal(.alreadyExists, "upload \(id) was published as \(published.label)"))
        }
        guard uploads.count < Limits.openUploadsMax else {
            return .refused(
                Refusal(.resourceExhausted, "\(uploads.count) uploads are open; publish or abort one of them first"))
        }
        let record = UploadRecord(
            id: id, number: state.commands, name: name, version: version, isPublished: false, begun: group.time,
            lastActive: group.time, ranges: [])
        uploads.insert(record, at: uploads.firstIndex { $0.id > id } ?? uploads.count)
        write(record, &group)
        group.output.uploads.append(.begun(record.info))
        return .upload(record.info)
    }

    mutating func addToUpload(
        _ id: UploadID,
        first: UInt64,
        ids: [ChunkID],
        _ group: inout ApplyGroup
    ) throws(RowError) -> Outcome {
        guard let place = openPlace(of: id) else { return .refused(try refusal(ofNotOpen: id, &group)) }
        let wanted = first..<(first + UInt64(ids.count))
        let gaps = uploads[place].gaps(in: wanted)
        if gaps != [wanted], let ordinal = try conflict(uploads[place], first, ids, &group) {
            return .refused(Refusal(.alreadyExists, "ordinal \(ordinal) of upload \(id) names another chunk"))
        }
        let ranges = uploads[place].ranges(adding: wanted)
        guard ranges.count <= Limits.uploadRangesMax else {
            return .refused(
                Refusal(.resourceExhausted, "upload \(id) has too many gaps; add the chunks in order of their ordinals")
            )
        }
        let number = uploads[place].number
        let owner = id.bytes[...]
        for gap in gaps {
            let added = ids[Int(gap.lowerBound - first)..<Int(gap.upperBound - first)]
            group.overlay.put(RowKey.chunkList(id, number, from: gap.lowerBound), ChunkList.encode(added))
            for chunk in added { group.overlay.put(RowKey.chunk(chunk, number: number), [], owner) }
            group.output.uploads.append(.added(id, first: gap.lowerBound, ids: Array(added)))
        }
        uploads[place].ranges = ranges
        touch(place, &group)
        return .upload(uploads[place].info)
    }

    mutating func abortUpload(_ id: UploadID, _ group: inout ApplyGroup) throws(RowError) -> Outcome {
        guard let place = openPlace(of: id) else { return .refused(try refusal(ofNotOpen: id, &group)) }
        abort(place, &group)
        return .uploadsClosed(count: 1)
    }

    mutating func expireUploads(before: UInt64, _ group: inout ApplyGroup) -> Outcome {
        var count: UInt64 = 0
        for place in uploads.indices.reversed() where uploads[place].lastActive < before {
            abort(place, &group)
            count += 1
        }
        return .uploadsClosed(count: count)
    }

    /// The place of an open upload in `uploads`.
    func openPlace(of id: UploadID) -> Int? { uploads.firstIndex { $0.id == id } }

    /// The record of an upload, open or published.
    func record(of id: UploadID, _ group: inout ApplyGroup) throws(RowError) -> UploadRecord? {
        group.overlay.settle()
        return try group.overlay.value(UploadRecord.self, at: RowKey.upload(id))
    }

    func write(_ record: UploadRecord, _ group: inout ApplyGroup) {
        group.overlay.put(RowKey.upload(record.id), record.encoded())
    }

    func refusal(ofNotOpen id: UploadID, _ group: inout ApplyGroup) throws(RowError) -> Refusal {
        if let published = try record(of: id, &group) {
            return Refusal(.preconditionFailed, "upload \(id) was published as \(published.label)")
        }
        return Refusal(.notFound, "upload \(id) is not open: it was aborted, has expired or was never begun")
    }

    /// Leaders' clocks may step back; an upload's last use does not.
    private mutating func touch(_ place: Int, _ group: inout ApplyGroup) {
        uploads[place].lastActive = max(uploads[place].lastActive, group.time)
        write(uploads[place], &group)
    }

    /// The rows of its list go later, by the sweep: without its record they mean nothing.
    mutating func abort(_ place: Int, _ group: inout ApplyGroup) {
        let record = uploads.remove(at: place)
        group.overlay.delete(RowKey.upload(record.id))
        group.output.uploads.append(.closed(record.id))
    }

    /// The first of these ordinals that already names another chunk.
    private func conflict(
        _ upload: UploadRecord,
        _ first: UInt64,
        _ ids: [ChunkID],
        _ group: inout ApplyGroup
    ) throws(RowError) -> UInt64? {
        group.overlay.settle()
        // The piece that holds `first` begins at or before it.
        var start = first
        try group.overlay.forEach(
            from: RowKey.chunkList(upload.id, upload.number, from: 0),
            below: RowKey.chunkList(upload.id, upload.number, from: first + 1), reverse: true
        ) { row, _ throws(RowError) in
            guard let piece = RowKey.decodeChunkList(row) else { throw .corrupted("the key of a chunk list") }
            start = piece.ordinal
            return false
        }
        let end = first + UInt64(ids.count)
        var conflict: UInt64?
        try group.overlay.forEach(
            from: RowKey.chunkList(upload.id, upload.number, from: start),
            below: RowKey.chunkList(upload.id, upload.number, from: end)
        ) { row, value throws(RowError) in
            guard let piece = RowKey.decodeChunkList(row), let count = ChunkList.count(value) else {
                throw .corrupted("a chunk list")
            }
            let shared = max(piece.ordinal, first)..<max(first, min(piece.ordinal + UInt64(count), end))
            for ordinal in shared.lowerBound..<max(shared.lowerBound, shared.upperBound)
            where ChunkList.id(value, at: Int(ordinal - piece.ordinal)) != ids[Int(ordinal - first)] {
                conflict = ordinal
                return false
            }
            return true
        }
        return conflict
    }
}

extension UploadRecord {
    /// The name and version in messages.
    var label: String { version.map { "\(name)@\($0)" } ?? name }
}
