// A rewind: the newest revisions are undone, from the top, and what they did is kept as orphans. Design: failback.
extension Applier {
    /// Undoes a bounded number of revisions, each together with the writing of its orphan, down to `rewind.revision` at most. Whoever
    /// proposes it goes on from the revision in the answer.
    mutating func rewind(_ rewind: SiteRewind, _ group: inout ApplyGroup) throws(RowError) -> Outcome {
        if let refusal = site.refusal(of: rewind, at: position) ?? refusalOfSeed { return .refused(refusal) }
        guard rewind.revision >= state.feedFloor else {
            return .refused(.reseedRequired(rewind.revision, floor: state.feedFloor))
        }
        let end = max(rewind.revision, state.revision - min(state.revision, Limits.rewindRevisionsMax))
        var bytes = 0
        var touched: Set<[UInt8]> = []
        while state.revision > end, bytes < Limits.rewindBytesMax { bytes += try undo(&touched, &group) }
        group.overlay.settle()
        // Reads below the overlay would still find what was undone. In order, so that nothing depends on how a set iterates.
        for versions in touched.sorted(by: { $0.lexicographicallyPrecedes($1) }) {
            knownKeys[versions] = try newest(versions, group.overlay)
        }
        state.compactRevision = min(state.compactRevision, state.revision)
        lowerCompleteness(&group)
        site.rewoundIndex = group.index
        group.overlay.putUnread(RowKey.site, site.encoded())
        group.output.site = site
        group.overlay.settle()
        group.output.rewound = ApplyOutput.Rewound(
            revision: state.revision, publishedRevision: try ModelReader.lastPublish(at: state, rows: group.overlay))
        return .done(revision: state.revision)
    }

    /// Undoes the latest revision; how many bytes its orphan has.
    private mutating func undo(_ touched: inout Set<[UInt8]>, _ group: inout ApplyGroup) throws(RowError) -> Int {
        group.overlay.settle()
        let revision = state.revision
        let entry = try SiteFeed.entry(revision, rows: group.overlay)
        let effects: [FeedEntry.Effect]
        do throws(DecodeError) {
            effects = try entry.decoded().effects
        } catch {
            throw .corrupted("a feed row", error)
        }
        let orphan = Orphan(epoch: site.epoch, revision: revision, time: group.time, entry: entry)
        group.overlay.put(RowKey.orphan(rewind: state.commands, revision: revision), orphan.encoded())
        for effect in effects {
            switch effect {
            case .put(let space, let key, let value, _):
                let versions = RowKey.versions(of: key, in: space)
                remove(versions, revision, &touched, &group)
                if space == .system { unpublish(key, value, &group) }
            case .delete(let space, let keys):
                group.overlay.settle()
                for versions in try tombstones(of: keys, in: space, revision, group.overlay) {
                    remove(versions, revision, &touched, &group)
                }
            }
        }
        group.overlay.delete(RowKey.feed(revision))
        group.overlay.settle()
        state.revision = revision - 1
        state.feedHash = .zero
        if state.revision > 0 {
            guard let hash = try FeedReader.hash(after: state.revision, rows: group.overlay) else {
                throw .corrupted("the feed row of revision \(state.revision)")
            }
            state.feedHash = hash
        }
        return entry.bytes.count
    }

    private mutating func remove(
        _ versions: [UInt8], _ revision: UInt64, _ touched: inout Set<[UInt8]>, _ group: inout ApplyGroup
    ) {
        var row = versions
        RowKey.append(revision: revision, to: &row)
        group.overlay.delete(row)
        touched.insert(versions)
    }

    /// The rows of a version that is no longer published stay pinned by its orphan: a replay finds every chunk.
    private mutating func unpublish(_ key: Bytes, _ value: Bytes, _ group: inout ApplyGroup) {
        guard ModelName.decode(key) != nil else { return }
        do throws(DecodeError) {
            let record = try ModelRecord(decoding: value)
            guard !record.isRetired else { return }
            group.overlay.delete(RowKey.upload(record.upload))
            group.overlay.put(RowKey.orphanPin(record.upload, number: record.uploadNumber), [1])
        } catch {
            return  // Not a version that anybody could have read.
        }
    }

    /// What all rows of the keys begin with that a deletion at exactly this revision removed.
    private func tombstones(
        of keys: KeySelector, in space: Keyspace, _ revision: UInt64, _ rows: borrowing Overlay
    ) throws(RowError) -> [[UInt8]] {
        var found: [[UInt8]] = []
        let bounds = RowKey.bounds(of: keys, in: space)
        try rows.forEach(from: bounds.from, below: bounds.below) { row, value throws(RowError) in
            guard row.count > RowKey.revisionBytes, RowKey.revision(of: row) == revision else { return true }
            guard let record = VersionRecord(value) else { throw .corrupted("a version row") }
            if record.isTombstone { found.append(Array(row.dropLast(RowKey.revisionBytes))) }
            return true
        }
        return found
    }

    /// The row of a key that holds now, with all that the group has written and removed.
    func newest(_ versions: [UInt8], _ rows: borrowing Overlay) throws(RowError) -> KeyState {
        var found = KeyState.absent(since: 0)
        try rows.forEach(from: versions, below: RowKey.end(ofVersions: versions)) { row, value throws(RowError) in
            guard let record = VersionRecord(value) else { throw .corrupted("a version row") }
            found = KeyState(
                modRevision: RowKey.revision(of: row), createRevision: record.createRevision, version: record.version,
                lease: record.lease)
            return false
        }
        return found
    }

    /// A node that held everything through a revision of the branch that is undone says nothing about the one to come.
    private mutating func lowerCompleteness(_ group: inout ApplyGroup) {
        for place in completeness.indices where completeness[place].through > state.revision {
            completeness[place].through = state.revision
            group.output.completeness.append(completeness[place])
            group.overlay.putUnread(
                RowKey.completeness(completeness[place].node), completeness[place].encoded())
        }
    }

    /// Forgets orphans, a bounded number; how many they were.
    mutating func dropOrphans(through rewind: UInt64, _ group: inout ApplyGroup) throws(RowError) -> Outcome {
        group.overlay.settle()
        var rows: [[UInt8]] = []
        var pins: [[UInt8]] = []
        try group.overlay.forEach(
            from: RowKey.orphan(rewind: 0, revision: 0), below: RowKey.orphan(rewind: rewind + 1, revision: 0)
        ) { key, value throws(RowError) in
            rows.append(Array(key))
            do throws(DecodeError) {
                pins += try Orphan(decoding: Array(value)).pins
            } catch {
                throw .corrupted("an orphan", error)
            }
            return UInt64(rows.count) < Limits.rewindRevisionsMax
        }
        for row in rows + pins { group.overlay.delete(row) }
        if !pins.isEmpty { group.output.compacted = state.compactRevision }
        return .deleted(revision: state.revision, count: UInt64(rows.count))
    }
}
