internal import RaftCore
internal import ReplicaCore

/// The rules of two sites, each in a file of its own; they are asked after every event that could break them.
///
/// What a site is and has, is what the first of its processes to apply an entry has after it: the others come to the same (`StateMachineSafety`).
struct SiteChecks {
    /// Each site's part, as applied.
    private(set) var records = [SiteRecord(), SiteRecord()]
    var prefix = SitePrefix()
    var acknowledgements = SiteAcknowledgements()
    var switchovers = SiteSwitchovers()

    /// A process was the first of its site to apply through an index.
    mutating func applied(_ place: Int, _ index: LogIndex, _ output: ApplyOutput, _ applier: Applier) -> SiteChange {
        let record = applier.site
        var change = prefix.reaches(
            place, index, applier.position, chain: output.chain, wasRewound: output.rewound != nil, record)
        if change.violation == nil {
            change.violation = switchovers.changes(
                place, from: records[place], to: record, other: records[1 - place],
                missing: acknowledgements.missing[place], wasSetBack: prefix.wasSetBack)
        }
        records[place] = record
        if change.violation == nil { change.violation = prefix.check(records) }
        acknowledgements.feedChanged(place, isShorter: !change.undone.isEmpty, prefix)
        if change.violation == nil { change.violation = SiteRetention.check(applier.siteProgress, applier.state) }
        return change
    }

    /// A site is what it was before.
    mutating func setBack(_ place: Int, to history: SitePrefix.History, of record: SiteRecord) {
        let epoch = records.map(\.seen).max() ?? 0
        records[place] = record
        prefix.setBack(place, to: history, epoch: epoch)
        acknowledgements.setBack(prefix)
    }
}

/// What an entry did to a site's feed.
struct SiteChange {
    var violation: String?
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
        let change = checks.applied(place, process.appliedIndex, output, process.applier)
        report(change.violation)
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
        }
        if after.role != before.role || after.epoch != before.epoch || after.seen != before.seen {
            note {
                "site \(Self.name(of: place)) is \(after.role) of epoch \(after.epoch), has seen \(after.seen), at revision \(process.applier.state.revision)"
            }
        }
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
