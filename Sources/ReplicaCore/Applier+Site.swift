// Sites: the record of this site's part, and what a standby applies.
extension Applier {
    /// Where this cluster's feed stands.
    package var position: SitePosition { SitePosition(revision: state.revision, hash: state.feedHash) }

    /// What this site says of itself; nil before the cluster has a lineage.
    package var siteReport: SiteReport? {
        lineage.map {
            SiteReport(
                site: $0, role: site.role, epoch: site.epoch, seen: site.seen, lineage: site.lineage, position: position
            )
        }
    }

    mutating func perform(_ command: SiteCommand, _ group: inout ApplyGroup) throws(RowError) -> Outcome {
        switch command {
        case .stage(let stage): return try self.stage(stage, &group)
        case .apply(let shipment): return try apply(shipment, &group)
        case .rewind(let rewind): return try self.rewind(rewind, &group)
        case .dropOrphans(let through): return try dropOrphans(through: through, &group)
        case .acknowledge(let word): return acknowledge(word, &group)
        case .limit(let caps):
            siteProgress.caps = caps
            lookAtCaps(&group)
            return .done(revision: state.revision)
        case .tick:
            lookAtCaps(&group)
            return .done(revision: state.revision)
        case .holdForSeed(let site, let epoch): return holdForSeed(of: site, epoch: epoch, &group)
        case .seed(let head): return beginSeed(head, &group)
        case .seedStep(let step): return try stepSeed(step, &group)
        case .seedEnd(let revision): return try endSeed(revision, &group)
        case .seedClear(let from, let below): return try clearSeed(from: from, below: below, &group)
        case .enroll, .admit, .follow, .freeze, .unfreeze, .grant, .promote, .force, .fence, .meet, .pace,
            .drilled:
            return try change(by: command, &group)
        }
    }

    private mutating func change(by command: SiteCommand, _ group: inout ApplyGroup) throws(RowError) -> Outcome {
        guard let own = lineage else {
            return .refused(Refusal(.unavailable, "the cluster has no lineage yet; try again when it has a leader"))
        }
        var record = site
        let consequence: SiteRecord.Consequence
        if case .follow = command, site.role == .alone, try hasLeftovers(&group) {
            return .refused(
                Refusal(.unavailable, "uploads were begun on this cluster and their rows are not swept yet; try again"))
        }
        do throws(Refusal) {
            consequence = try record.take(command, at: position, own: own, time: group.time)
        } catch {
            return .refused(error)
        }
        let isNewPeer = record.peer?.site != site.peer?.site
        site = record
        group.overlay.putUnread(RowKey.site, site.encoded())
        group.output.site = site
        switch consequence {
        case .nothing:
            guard case .admit = command, isNewPeer else { break }
            try holdForNewStandby(&group)
        case .endSessionsAndUploads:
            endSessionsAndUploads(&group)
            let caps = siteProgress.caps
            siteProgress = SiteProgress()
            siteProgress.caps = caps
            isProgressTouched = true
        case .beginEpoch:
            endSessionsAndUploads(&group)
            // Rows of uploads carry their number: none of this epoch is that of an upload which the other site has numbered.
            state.commands = max(state.commands, site.epoch << 48)
            siteProgress.acknowledged = .start
            // A site that was the primary before, and is again without the other's leave, goes on holding what it held for it: that one
            // stands no further back, and nothing less can be followed from there.
            if (siteProgress.hold ?? .max) > state.revision {
                siteProgress.hold(from: state.revision, time: group.time)
            }
            isProgressTouched = true
        }
        return .done(revision: state.revision)
    }

    /// Rows of aborted uploads, not yet swept, carry numbers that the primary's uploads may have too.
    private func hasLeftovers(_ group: inout ApplyGroup) throws(RowError) -> Bool {
        group.overlay.settle()
        var hasSome = !uploads.isEmpty
        let all = RowKey.chunkLists
        try group.overlay.scan(from: all.from, below: all.below, reverse: false) { _, _ in
            hasSome = true
            return false
        }
        return hasSome
    }

    private mutating func endSessionsAndUploads(_ group: inout ApplyGroup) {
        sessions.closeAll()
        for place in uploads.indices.reversed() { abort(place, &group) }
    }

    // MARK: The primary's side

    private mutating func acknowledge(_ word: SiteAcknowledgement, _ group: inout ApplyGroup) -> Outcome {
        guard site.role == .primary, word.epoch == site.epoch, word.site == site.peer?.site,
            word.position.revision <= state.revision
        else {
            return .refused(Refusal(.preconditionFailed, "not a word of this site's standby in epoch \(site.epoch)"))
        }
        siteProgress.acknowledge(word.position, floor: state.feedFloor)
        lookAtCaps(&group)
        return .done(revision: state.revision)
    }

    /// Keeps the whole feed for a standby that has nothing yet, if it is short enough to be counted here, and under the caps. From a longer one
    /// it is shipped as long as nobody compacts, and where the feed does not begin at 1 it is seeded: what it needs is held once it has
    /// come near, or is seeded.
    private mutating func holdForNewStandby(_ group: inout ApplyGroup) throws(RowError) {
        siteProgress.acknowledged = .start
        siteProgress.count(from: state.revision, time: group.time)
        isProgressTouched = true
        let bytesMax = min(siteProgress.caps.bytes, Limits.admitBytesMax)
        var bytes: UInt64 = 0
        var revision = state.feedFloor
        let isShort = state.feedFloor <= 1 && state.revision <= Limits.admitRevisionsMax
        if isShort { group.overlay.settle() }
        while isShort, revision < state.revision, bytes <= bytesMax {
            revision += 1
            // As a revision is counted when it is made.
            bytes += UInt64(try SiteFeed.entry(revision, rows: group.overlay).bytes.count + Digest.byteCount)
        }
        if isShort, bytes <= bytesMax { siteProgress.hold(from: state.feedFloor, behind: bytes, time: group.time) }
        raiseFeedFloor(&group)
    }

    private mutating func lookAtCaps(_ group: inout ApplyGroup) {
        siteProgress.release(at: state.revision, time: group.time)
        isProgressTouched = true
        raiseFeedFloor(&group)
    }

    /// The feed goes as far as history was given up, and nobody is still to be given it.
    mutating func raiseFeedFloor(_ group: inout ApplyGroup) {
        let floor = min(state.compactRevision, siteProgress.hold ?? state.compactRevision)
        guard floor > state.feedFloor else { return }
        state.feedFloor = floor
        group.output.compacted = state.compactRevision
    }

    // MARK: The standby's side

    private mutating func stage(_ stage: SiteStage, _ group: inout ApplyGroup) throws(RowError) -> Outcome {
        guard site.role == .standby else {
            return .refused(Refusal(.preconditionFailed, "this site is \(site.role), and only a standby stages"))
        }
        if let record = try record(of: stage.upload, &group) {
            if record.isPublished, record.number == stage.number { return .upload(record.info) }
            // Another upload under the same ID: its rows are told from these by their number.
            if record.number != stage.number, let place = openPlace(of: stage.upload) { abort(place, &group) }
        }
        if openPlace(of: stage.upload) == nil {
            guard uploads.count < Limits.openUploadsMax else {
                return .refused(Refusal(.unavailable, "\(uploads.count) versions are staged already; apply them first"))
            }
            let record = UploadRecord(
                id: stage.upload, number: stage.number, name: stage.name, version: stage.version, isPublished: false,
                begun: group.time, lastActive: group.time, ranges: [])
            uploads.insert(record, at: uploads.firstIndex { $0.id > stage.upload } ?? uploads.count)
            write(record, &group)
            group.output.uploads.append(.begun(record.info))
        }
        return try addToUpload(stage.upload, first: stage.first, ids: stage.ids, &group)
    }

    private mutating func apply(_ shipment: SiteShipment, _ group: inout ApplyGroup) throws(RowError) -> Outcome {
        // Keeps (1) of `SeedRecord`.
        if let refusal = site.refusal(of: shipment, at: position) ?? refusalOfSeed { return .refused(refusal) }
        var decoded: [[FeedEntry.Effect]] = []
        do throws(DecodeError) {
            var hash = state.feedHash
            var revision = state.revision
            for entry in shipment.entries {
                let (shipped, effects) = try entry.decoded()
                revision += 1
                guard shipped == revision else { throw .invalid(what: "revision of a shipment") }
                hash = entry.hash(after: hash, group.digest)
                decoded.append(effects)
            }
            guard hash == shipment.hash else { throw .invalid(what: "chain hash of a shipment") }
        } catch {
            return .refused(Refusal(.corrupted, "what the primary shipped cannot be applied: \(error)"))
        }
        // Every version must be whole on a quorum here before its row is.
        var models: [(record: ModelRecord, name: String, version: String)] = []
        for effects in decoded {
            for case .put(.system, let key, let value, _) in effects {
                guard let found = ModelName.decode(key) else { continue }
                let record: ModelRecord
                do throws(DecodeError) {
                    record = try ModelRecord(decoding: value)
                } catch {
                    return .refused(Refusal(.corrupted, "the primary shipped a version that cannot be read: \(error)"))
                }
                if !record.isRetired, let refusal = try refusal(ofPublishing: record, on: shipment.durableOn, &group) {
                    return .refused(refusal)
                }
                models.append((record, found.name, found.version))
            }
        }
        for effects in decoded { try replay(effects, &group) }
        // What was applied is what was checked, unless these rows are not those of the primary.
        guard state.feedHash == shipment.hash else {
            throw .corrupted("what the primary's revision \(state.revision) changes")
        }
        for (record, name, version) in models {
            if !record.isRetired, let place = openPlace(of: record.upload) { close(place, as: version, &group) }
            guard let model = try model(name, version, &group) else { continue }
            group.output.models.append(model.record.isRetired ? .retired(model) : .published(model))
        }
        followCompaction(of: shipment, &group)
        return .done(revision: state.revision)
    }

    /// Why a version of the primary cannot become visible here yet, if so. Its chunks are those that were staged; receipts count by the
    /// configuration of now.
    func refusal(
        ofPublishing record: ModelRecord, on durableOn: [Publication.Receipt], _ group: inout ApplyGroup
    ) throws(RowError) -> Refusal? {
        guard let upload = try self.record(of: record.upload, &group), upload.number == record.uploadNumber else {
            return Refusal(.preconditionFailed, "the chunks of upload \(record.upload) are not staged")
        }
        if upload.isPublished { return nil }
        guard upload.prefix == upload.count, upload.count == record.chunks,
            try group.overlay.get(RowKey.chunk(record.root, number: upload.number)) != nil
        else {
            return Refusal(
                .preconditionFailed,
                "\(upload.prefix) of the \(record.chunks) chunks of upload \(record.upload) are staged")
        }
        guard members.isQuorum(durableOn.map(\.node)) else {
            return Refusal(
                .unavailable,
                "receipts from nodes \(durableOn.map(\.node)) are no quorum of voters \(members.voters)")
        }
        return nil
    }

    /// Makes one revision of these effects, as the primary did.
    private mutating func replay(_ effects: [FeedEntry.Effect], _ group: inout ApplyGroup) throws(RowError) {
        begin(&group)
        for effect in effects {
            switch effect {
            case .put(let space, let key, let value, let lease): try put(key, value, lease: lease, in: space, &group)
            case .delete(.user, let keys): _ = try remove(keys, &group)
            case .delete(.system, _): throw .corrupted("a deletion of system keys in the primary's feed")
            }
        }
        _ = commit(&group)
    }

    /// Gives up the history that the primary has given up, and not more of the feed: both can be followed from the same revisions on.
    private mutating func followCompaction(of shipment: SiteShipment, _ group: inout ApplyGroup) {
        let compact = min(shipment.compactRevision, state.revision)
        if compact > state.compactRevision {
            state.compactRevision = compact
            group.output.compacted = compact
        }
        let floor = min(shipment.feedFloor, state.compactRevision)
        if floor > state.feedFloor {
            state.feedFloor = floor
            group.output.compacted = state.compactRevision
        }
    }
}
