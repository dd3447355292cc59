// Models: a version becomes visible when a quorum holds every byte, and stays as it is until it is retired.
extension Applier {
    mutating func publish(_ wanted: Publication, _ group: inout ApplyGroup) throws(RowError) -> Outcome {
        guard let place = openPlace(of: wanted.upload) else { return try publishAgain(wanted, &group) }
        let upload = uploads[place]
        if let refusal = try refusal(of: wanted, from: upload, &group) { return .refused(refusal) }
        let version: String
        if let chosen = wanted.version ?? upload.version {
            version = chosen
        } else {
            let highest = try highestWholeNumber(of: wanted.name, &group)
            guard highest < ModelName.wholeNumberMax else {
                return .refused(
                    Refusal(.resourceExhausted, "'\(wanted.name)' has the highest number a version can have; name one"))
            }
            version = String(highest + 1)
        }
        if let existing = try model(wanted.name, version, &group) {
            guard existing.record.root == wanted.root else {
                return .refused(
                    Refusal(
                        .alreadyExists,
                        "\(wanted.name)@\(version) exists with other content; versions are immutable, choose another"))
            }
            guard !existing.record.isRetired else {
                return .refused(Refusal(.alreadyExists, "\(wanted.name)@\(version) is retired; choose another version"))
            }
            close(place, as: version, &group)
            return .model(existing)
        }
        let record = ModelRecord(
            root: wanted.root, bytes: wanted.bytes, chunks: wanted.chunks, files: wanted.files, upload: upload.id,
            uploadNumber: upload.number, time: group.time, isRetired: false)
        let model = try write(record, wanted.name, version, publishedRevision: nextRevision, &group)
        close(place, as: version, &group)
        group.output.models.append(.published(model))
        return .model(model)
    }

    mutating func retire(name: String, version: String, _ group: inout ApplyGroup) throws(RowError) -> Outcome {
        guard let existing = try model(name, version, &group) else {
            return .refused(Refusal(.notFound, "\(name)@\(version) was never published"))
        }
        guard !existing.record.isRetired else { return .model(existing) }
        var record = existing.record
        record.isRetired = true
        let model = try write(record, name, version, publishedRevision: existing.publishedRevision, &group)
        group.output.models.append(.retired(model))
        return .model(model)
    }

    /// Why an open upload cannot be published like this now, if so.
    private func refusal(
        of wanted: Publication,
        from upload: UploadRecord,
        _ group: inout ApplyGroup
    ) throws(RowError) -> Refusal? {
        guard upload.name == wanted.name,
            upload.version == nil || wanted.version == nil || upload.version == wanted.version
        else { return Refusal(.preconditionFailed, "upload \(upload.id) was begun for \(upload.label)") }
        guard upload.count > 0, upload.prefix == upload.count else {
            return Refusal(
                .preconditionFailed,
                "upload \(upload.id) names \(upload.count) chunks, but only the first \(upload.prefix) without a gap")
        }
        // A chunk added after the receipts were gathered is one that nobody vouched for.
        guard upload.count == wanted.chunks else {
            return Refusal(
                .preconditionFailed,
                "upload \(upload.id) names \(upload.count) chunks and the publish \(wanted.chunks); publish again")
        }
        group.overlay.settle()
        guard try group.overlay.get(RowKey.chunk(wanted.root, number: upload.number)) != nil else {
            return Refusal(.preconditionFailed, "root \(wanted.root) is not a chunk of upload \(upload.id)")
        }
        // The receipts were gathered under the configuration of then; what counts is the one of now.
        guard members.isQuorum(wanted.durableOn.map(\.node)) else {
            return Refusal(
                .unavailable,
                "receipts from nodes \(wanted.durableOn.map(\.node)) are no quorum of voters \(members.voters)"
                    + (members.outgoingVoters.isEmpty ? "" : " and \(members.outgoingVoters)") + "; publish again")
        }
        return nil
    }

    /// The answer to a publish of an upload that is no longer open: that of before, if it asks for the same.
    private func publishAgain(_ wanted: Publication, _ group: inout ApplyGroup) throws(RowError) -> Outcome {
        guard let upload = try record(of: wanted.upload, &group), let version = upload.version else {
            return .refused(try refusal(ofNotOpen: wanted.upload, &group))
        }
        guard upload.name == wanted.name, wanted.version == nil || wanted.version == version,
            let existing = try model(upload.name, version, &group), existing.record.root == wanted.root
        else {
            return .refused(Refusal(.alreadyExists, "upload \(upload.id) was published as \(upload.label)"))
        }
        return .model(existing)
    }

    mutating func close(_ place: Int, as version: String, _ group: inout ApplyGroup) {
        var record = uploads.remove(at: place)
        record.version = version
        record.isPublished = true
        write(record, &group)
        group.output.uploads.append(.closed(record.id))
    }

    private mutating func write(
        _ record: ModelRecord,
        _ name: String,
        _ version: String,
        publishedRevision: UInt64,
        _ group: inout ApplyGroup
    ) throws(RowError) -> ModelVersion {
        begin(&group)
        try put(ModelName.key(name, version), record.encoded()[...], lease: 0, in: .system, &group)
        let revision = commit(&group)
        return ModelVersion(
            name: name, version: version, record: record, publishedRevision: publishedRevision, modRevision: revision)
    }

    func model(
        _ name: String,
        _ version: String,
        _ group: inout ApplyGroup
    ) throws(RowError) -> ModelVersion? {
        group.overlay.settle()
        return try ModelReader.version(name, version, at: state.revision, rows: group.overlay)
    }

    /// The highest whole number ever published under a name, retired ones included; 0 for none.
    private func highestWholeNumber(of name: String, _ group: inout ApplyGroup) throws(RowError) -> UInt64 {
        let query = RangeQuery(
            .prefix(ModelName.wholeNumberKeys(of: name)), space: .system, limit: 1, order: .descending, keysOnly: true)
        guard let key = try read(query, bytesMax: .max, &group).kvs.first?.key, let found = ModelName.decode(key) else {
            return 0
        }
        return ModelName.wholeNumber(found.version) ?? 0
    }
}
