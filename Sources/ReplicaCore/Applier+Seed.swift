// A seed: the rows of the primary as of one revision, staged above this site's own and made visible at once. See `SeedRecord`.
extension Applier {
    /// Why no revision may be made, applied or undone now, if so.
    var refusalOfSeed: Refusal? {
        seed.map { seed in
            Refusal(
                .unavailable,
                seed.isGivenUp(by: site)
                    ? "rows of a seed that was given up are being removed; try again"
                    : "this site is being seeded with the primary's revision \(seed.target.revision)")
        }
    }

    // MARK: The primary's side

    /// Keeps history as of now, and the feed from here on, for a standby that is to be seeded: within the caps, as all that is kept for it.
    mutating func holdForSeed(of site: SiteID, epoch: UInt64, _ group: inout ApplyGroup) -> Outcome {
        guard self.site.role == .primary, self.site.seen == epoch, self.site.epoch == epoch,
            site == self.site.peer?.site
        else {
            return .refused(
                Refusal(.preconditionFailed, "not a word of this site's standby in epoch \(self.site.epoch)"))
        }
        siteProgress.hold(from: state.revision, time: group.time)
        isProgressTouched = true
        return .done(revision: state.revision)
    }

    // MARK: The standby's side

    mutating func beginSeed(_ head: SeedHead, _ group: inout ApplyGroup) -> Outcome {
        if let refusal = refusal(ofSeedOf: head.epoch) { return .refused(refusal) }
        guard head.from == position, head.target.revision > state.revision + 1,
            head.target.revision > seed?.target.revision ?? 0
        else {
            return .refused(
                Refusal(
                    .preconditionFailed,
                    "a seed from revision \(head.from.revision) to \(head.target.revision) at a site at \(state.revision)"
                ))
        }
        do throws(DecodeError) {
            guard try FeedRecord(decoding: Array(head.feedRow)).hash == head.target.hash else {
                throw .invalid(what: "feed row of a seed")
            }
        } catch {
            return .refused(Refusal(.corrupted, "the primary's feed row cannot be used: \(error)"))
        }
        // What is staged already is the primary's history too: it is compared like all else.
        var next = SeedRecord(epoch: head.epoch, target: head.target, feedRow: head.feedRow)
        if let seed { (next.rows, next.bytes, next.versions) = (seed.rows, seed.bytes, seed.versions) }
        write(next, &group)
        return .done(revision: state.revision)
    }

    /// Why a seed of an epoch cannot go on here, if so.
    private func refusal(ofSeedOf epoch: UInt64) -> Refusal? {
        guard site.role == .standby else {
            return Refusal(.preconditionFailed, "this site is \(site.role), and only a standby is seeded")
        }
        guard epoch == site.epoch, site.seen == epoch else {
            return Refusal(.fenced, "a seed of epoch \(epoch) at a standby of \(site.epoch) that heard of \(site.seen)")
        }
        if let seed, seed.isGivenUp(by: site) { return refusalOfSeed }
        return nil
    }

    private func underWay(_ revision: UInt64) throws(Refusal) -> SeedRecord {
        guard let seed, seed.target.revision == revision else {
            throw Refusal(.preconditionFailed, "no seed to revision \(revision) is under way")
        }
        if let refusal = refusal(ofSeedOf: seed.epoch) { throw refusal }
        return seed
    }

    mutating func stepSeed(_ step: SeedStep, _ group: inout ApplyGroup) throws(RowError) -> Outcome {
        var seed: SeedRecord
        do throws(Refusal) {
            seed = try underWay(step.revision)
            guard step.from == seed.next else {
                throw Refusal(.preconditionFailed, "the seed is somewhere else")
            }
        } catch {
            return .refused(error)
        }
        group.overlay.settle()
        var models: [SiteShipment.Publish] = []
        for span in step.spans {
            if let refusal = try refusal(of: span, in: seed, &group) { return .refused(refusal) }
            do throws(DecodeError) {
                models += try span.publishes()
            } catch {
                return .refused(Refusal(.corrupted, "the primary's rows hold a version that cannot be read: \(error)"))
            }
            seed.next = span.leaf.below
        }
        // Keeps (4) of `SeedRecord`.
        for model in models {
            if let refusal = try refusal(ofPublishing: model.record, on: step.durableOn, &group) {
                return .refused(refusal)
            }
        }
        for span in step.spans { stage(span, in: &seed, &group) }
        for model in models {
            if let place = openPlace(of: model.record.upload) { close(place, as: model.version, &group) }
        }
        seed.versions += UInt64(models.count)
        write(seed, &group)
        return .done(revision: state.revision)
    }

    /// Why a range would not become the primary's, if so. Keeps (2) and (3) of `SeedRecord`.
    private func refusal(
        of span: SeedSpan, in seed: SeedRecord, _ group: inout ApplyGroup
    ) throws(RowError) -> Refusal? {
        guard RowKey.isBound(span.leaf.below), seed.next.lexicographicallyPrecedes(span.leaf.below) else {
            return Refusal(.invalidArgument, "a range of a seed that ends nowhere")
        }
        let isInside = { (key: Bytes) in
            !key.lexicographicallyPrecedes(seed.next) && key.lexicographicallyPrecedes(span.leaf.below)
        }
        let isSound = span.rows.allSatisfy { row in
            isInside(row.key) && row.key.withUnsafeBytes { RowKey.decodeVersion($0) } != nil
                && row.value.withUnsafeBytes { VersionRecord($0) } != nil
        }
        let ascends = zip(span.rows, span.rows.dropFirst()).allSatisfy {
            $0.versions.lexicographicallyPrecedes($1.versions)
        }
        guard isSound, ascends else { return Refusal(.corrupted, "the primary's rows cannot be read") }
        guard span.rows.allSatisfy({ $0.revision > state.revision && $0.revision <= seed.target.revision }) else {
            return Refusal(
                .corrupted,
                "the primary holds other rows at or below revision \(state.revision) than this site: it is no prefix")
        }
        // What is staged of an earlier target is older, unless the primary has another history than it had.
        for row in span.rows where try newest(Array(row.versions), group.overlay).modRevision >= row.revision {
            return Refusal(.corrupted, "the primary's newest row of a key is older than what is staged of it")
        }
        let own = try ErasedRows.with(group.overlay) { rows throws(RowError) in
            try SeedReader.content(
                from: seed.next, below: span.leaf.below, through: seed.target.revision, rows: rows
            ).rows
        }
        let gone = Set(span.removed)
        let changed = Set(span.rows.map(\.versions))
        guard gone.isSubset(of: Set(own.map(\.versions))), gone.isDisjoint(with: changed) else {
            return Refusal(.corrupted, "a seed removes keys that are not here")
        }
        let kept = own.filter { !gone.contains($0.versions) && !changed.contains($0.versions) }
        let merged = (kept + span.rows).sorted { $0.key.lexicographicallyPrecedes($1.key) }
        guard SeedReader.hash(of: merged, group.digest) == span.leaf.hash else {
            return Refusal(.corrupted, "a range of the seed is not what the primary's hash covers")
        }
        return nil
    }

    private mutating func stage(_ span: SeedSpan, in seed: inout SeedRecord, _ group: inout ApplyGroup) {
        for row in span.rows {
            group.overlay.put(Array(row.key), [], row.value)
            knownKeys[Array(row.versions)] = row.state
            seed.bytes += UInt64(row.key.count + row.value.count)
        }
        // Just below the target, so that nobody who reads the feed from there takes it for a deletion by that very revision.
        let revision = seed.target.revision - 1
        for versions in span.removed {
            var key = Array(versions)
            RowKey.append(revision: revision, to: &key)
            group.overlay.put(key, VersionRecord.tombstone)
            knownKeys[Array(versions)] = .absent(since: revision)
        }
        let count = span.rows.count + span.removed.count
        seed.rows += UInt64(count)
        seed.sameRanges += count == 0 ? 1 : 0
        seed.changedRanges += count == 0 ? 0 : 1
    }

    /// Everything is here: the site is where the primary was, and can go on from there.
    mutating func endSeed(_ revision: UInt64, _ group: inout ApplyGroup) throws(RowError) -> Outcome {
        let seed: SeedRecord
        do throws(Refusal) {
            seed = try underWay(revision)
            // Keeps (2) of `SeedRecord` for every key.
            guard seed.isFilled else {
                throw Refusal(.preconditionFailed, "the seed to revision \(revision) is not over")
            }
        } catch {
            return .refused(error)
        }
        state.revision = revision
        state.feedHash = seed.target.hash
        state.compactRevision = revision
        state.feedFloor = revision
        group.overlay.put(RowKey.feed(revision), Array(seed.feedRow))
        write(nil, &group)
        group.output.compacted = revision
        group.overlay.settle()
        group.output.rewound = ApplyOutput.Rewound(
            revision: revision, publishedRevision: try ModelReader.lastPublish(at: state, rows: group.overlay))
        return .done(revision: revision)
    }

    // MARK: A seed that was given up

    /// Removes the staged rows of a range of rows. Whoever proposes it chooses how far it goes.
    mutating func clearSeed(from: Bytes, below: Bytes, _ group: inout ApplyGroup) throws(RowError) -> Outcome {
        guard var seed, seed.isGivenUp(by: site), from == seed.clearsFrom, from.lexicographicallyPrecedes(below) else {
            return .refused(Refusal(.preconditionFailed, "no seed is to be removed from there on"))
        }
        group.overlay.settle()
        var staged: [SeedRow] = []
        try group.overlay.forEach(from: Array(from), below: Array(below)) { row, value throws(RowError) in
            guard row.count > RowKey.revisionBytes else { throw .corrupted("the key of a version row") }
            if RowKey.revision(of: row) > state.revision {
                staged.append(SeedRow(key: Bytes(row), value: Bytes(value)))
            }
            return true
        }
        let models: [SiteShipment.Publish]
        do throws(DecodeError) {
            models = try SeedSpan(leaf: SeedLeaf(below: below, hash: .zero), rows: staged, removed: []).publishes()
        } catch {
            throw .corrupted("a staged version", error)
        }
        for model in models {
            guard let record = try record(of: model.record.upload, &group) else { continue }
            if record.number == model.record.uploadNumber { group.overlay.delete(RowKey.upload(record.id)) }
        }
        for row in staged { group.overlay.delete(Array(row.key)) }
        group.overlay.settle()
        for row in staged { knownKeys[Array(row.versions)] = try newest(Array(row.versions), group.overlay) }
        seed.cleared = below
        let isOver = !below.lexicographicallyPrecedes(seed.next)
        write(isOver ? nil : seed, &group)
        if isOver { group.output.compacted = state.compactRevision }
        return .done(revision: state.revision)
    }

    /// How far one command clears: a bounded number of rows, so that it ends soon.
    package static func clearBound<Rows: RowReader & ~Copyable>(
        of seed: SeedRecord, rowsMax: Int = Limits.seedClearRowsMax, rows: borrowing Rows
    ) throws(RowError) -> Bytes {
        var left = rowsMax
        var below = SeedRecord.end
        try rows.forEach(from: Array(seed.clearsFrom), below: Array(seed.next)) { row, _ throws(RowError) in
            left -= 1
            if left == 0 { below = Bytes(row) + [0] }
            return left > 0
        }
        return below
    }

    private mutating func write(_ seed: SeedRecord?, _ group: inout ApplyGroup) {
        self.seed = seed
        if let seed {
            group.overlay.putUnread(RowKey.seed, seed.encoded())
        } else {
            group.overlay.delete(RowKey.seed)
        }
        group.output.isSeeding = seed != nil
    }
}

extension SeedRow {
    /// What holds for its key once it does.
    fileprivate var state: Applier.KeyState {
        guard let record = value.withUnsafeBytes({ VersionRecord($0) }), !record.isTombstone else {
            return .absent(since: revision)
        }
        return Applier.KeyState(
            modRevision: revision, createRevision: record.createRevision, version: record.version, lease: record.lease)
    }
}
