internal import RaftCore
internal import ReplicaCore

/// The rules of two sites, each in a file of its own; they are asked after every event that could break them.
///
/// What a site is and has, is what the first of its processes to apply an entry has after it: the others come to the same (`StateMachineSafety`).
struct SiteChecks {
    /// Each site's part, as applied.
    private(set) var records = [SiteRecord(), SiteRecord()]
    /// Where their feeds begin.
    private var floors: [UInt64] = [0, 0]
    var prefix = SitePrefix()
    var acknowledgements = SiteAcknowledgements()
    var switchovers = SiteSwitchovers()
    var seeds = SiteSeeds()
    private(set) var states = SiteStates()

    /// A process was the first of its site to apply through an index: `entries` are what the revisions made on the way have changed, `arrivals` where seeds
    /// have ended on the way.
    mutating func applied(
        _ place: Int, _ index: LogIndex, _ output: ApplyOutput, _ applier: Applier,
        entries: [UInt64: FeedEntry] = [:], arrivals: [SitePosition] = []
    ) -> SiteChange {
        let record = applier.site
        for arrival in arrivals {
            if let violation = prefix.arrives(place, at: arrival) { return SiteChange(violation: violation) }
            // A primary whose disks were set back, and that has given up the feed that would tell, takes the standby's copies with it.
            if prefix.wasSetBack { acknowledgements.setBack(prefix) }
        }
        var change = prefix.reaches(
            place, index, applier.position, chain: output.chain, wasRewound: output.rewound != nil, record)
        for (position, before) in change.added {
            guard let entry = entries[position.revision] else { continue }
            states.made(position.revision, entry, hash: position.hash, after: before)
        }
        if change.violation == nil {
            change.violation = switchovers.changes(
                place, from: records[place], to: record, other: records[1 - place],
                missing: acknowledgements.missing[place], wasSetBack: prefix.wasSetBack)
        }
        records[place] = record
        floors[place] = applier.state.feedFloor
        if change.violation == nil { change.violation = prefix.check(records, floors: floors) }
        acknowledgements.feedChanged(place, isShorter: !change.undone.isEmpty, prefix)
        if change.violation == nil {
            change.violation = SiteRetention.check(
                applier.siteProgress, applier.state, record, kept: kept(place, applier.siteProgress.hold))
        }
        return change
    }

    /// What a site's feed holds above a revision; nil where it is not known.
    private func kept(_ place: Int, _ hold: UInt64?) -> UInt64? {
        guard var revision = hold else { return nil }
        var sum: UInt64 = 0
        while let hash = prefix.hash(revision + 1, place) {
            guard let bytes = states.bytes(of: hash) else { return nil }
            sum += bytes
            revision += 1
        }
        return sum
    }

    /// A site is what it was before.
    mutating func setBack(_ place: Int, to history: SitePrefix.History, of record: SiteRecord) {
        let epoch = records.map(\.seen).max() ?? 0
        records[place] = record
        prefix.setBack(place, to: history, epoch: epoch)
        seeds.setBack(place)
        acknowledgements.setBack(prefix)
    }
}

/// What an entry did to a site's feed.
struct SiteChange {
    var violation: String?
    /// Positions that the feed has now and had not, with the hash before, lowest first; those that a seed has brought are not among them.
    var added: [(position: SitePosition, before: Digest)] = []
    /// Positions that the feed had and has no more, highest first.
    var undone: [SitePosition] = []
}

// Where the pair asks them.
extension TwoSites {
    /// A process has applied a group of entries.
    func applied(_ process: Process, _ output: ApplyOutput) {
        let place = process.world.place
        guard process.appliedIndex > checks.prefix.reached(place) else { return }
        let before = checks.records[place]
        let arrivals = process.world.checks.registers.takeArrivals()
        let change: SiteChange
        do throws(QueryError) {
            change = checks.applied(
                place, process.appliedIndex, output, process.applier, entries: try entries(output, process),
                arrivals: try positions(arrivals, process))
        } catch {
            return fail("node \(process.id) cannot read its feed: \(error)")
        }
        report(change.violation)
        seeded(process, arrivals)
        if !change.undone.isEmpty {
            process.world.branch += 1
            report(checks.prefix.keeps(change.undone, process.rows, place))
        }
        let after = checks.records[place]
        tally.undone += change.undone.count
        if after.role == .standby, output.models.contains(where: { if case .published = $0 { true } else { false } }) {
            tally.shippedVersions += 1
        }
        if after.role == .primary, after.epoch != before.epoch, after.epoch > 1 {
            if checks.switchovers.planned.contains(after.epoch) {
                tally.plannedTakeovers += 1
            } else {
                tally.forcedTakeovers += 1
            }
            if process.applier.seed != nil { tally.promotedSeeding += 1 }
        }
        if after.role != before.role || after.epoch != before.epoch || after.seen != before.seen {
            note {
                "site \(Self.name(of: place)) is \(after.role) of epoch \(after.epoch), has seen \(after.seen), at revision \(process.applier.state.revision)"
            }
        }
    }

    /// What the revisions that were made in a group, and are still there, have changed.
    private func entries(_ output: ApplyOutput, _ process: Process) throws(QueryError) -> [UInt64: FeedEntry] {
        var entries: [UInt64: FeedEntry] = [:]
        let revision = process.applier.state.revision
        let point = ReadPoint(revision: revision, compactRevision: 0, feedFloor: 0)
        for link in output.chain where link.revision <= revision {
            entries[link.revision] = try SiteFeed.entries(
                from: link.revision, entriesMax: 1, bytesMax: .max, at: point, rows: process.rows
            ).first
        }
        return entries
    }

    /// Where seeds have ended, as the rows have it.
    private func positions(_ arrivals: [UInt64], _ process: Process) throws(QueryError) -> [SitePosition] {
        var positions: [SitePosition] = []
        do throws(RowError) {
            for revision in arrivals {
                let hash = try FeedReader.hash(after: revision, rows: process.rows) ?? .zero
                positions.append(SitePosition(revision: revision, hash: hash))
            }
        } catch {
            throw .rows(error)
        }
        return positions
    }

    /// A seed was begun, went on or ended, perhaps.
    private func seeded(_ process: Process, _ arrivals: [UInt64]) {
        let (world, place) = (process.world, process.world.place)
        let wasSeeding = checks.seeds.isSeeding(place)
        report(
            checks.seeds.applied(
                place, process.applier, arrivals: arrivals, rows: process.rows, checks.states))
        if !wasSeeding, process.applier.seed != nil { seedBegins(place) }
        if wasSeeding, process.applier.seed == nil, arrivals.isEmpty { tally.seedsGivenUp += 1 }
        for arrival in arrivals {
            tally.seeds += 1
            note { "site \(Self.name(of: place)) was seeded to revision \(arrival)" }
            guard let hash = checks.prefix.hash(arrival, place), let state = checks.states.state(at: hash) else {
                continue
            }
            world.checks.registers.arrive(at: arrival, state)
        }
        if !arrivals.isEmpty { world.checkSeeded(process) }
    }

    /// A process answers a write.
    func acknowledges(_ outcome: Outcome, _ process: Process) {
        let revision: UInt64
        switch outcome {
        case .done(let made), .deleted(let made, _): revision = made
        case .transaction(let result): revision = result.revision
        case .model(let model): revision = model.modRevision
        case .upload, .uploadsClosed, .refused: return
        }
        let place = process.world.place
        tally.acknowledgements += 1
        report(
            checks.acknowledgements.acknowledges(
                SiteNode(place: place, node: process.id), process.life, process.applier.site, revision, at: now,
                checks.prefix))
    }

    /// What a leader says may be lost has changed.
    func checkRecovery(_ process: Process) {
        guard let site = process.site, site.known.epoch == site.record.epoch, site.record.role == .standby,
            let nanoseconds = site.known.recovery.nanoseconds(now: now * 1000)
        else { return }
        tally.recoveryPoints += 1
        report(
            checks.acknowledgements.bounds(
                process.world.place, epoch: site.record.epoch, since: now * 1000 - nanoseconds, checks.prefix))
    }
}
