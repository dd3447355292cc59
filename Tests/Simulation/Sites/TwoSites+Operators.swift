internal import RaftCore
internal import ReplicaCore

// Operators: they join the sites, and bring together what belongs together. They see what a leader of a site has applied, and ask it; what they saw may be
// over when the command comes through the log.
extension TwoSites {
    /// The leader of a site that an operator would ask, if it can be asked.
    func leader(of place: Int) -> Process? { worlds[place].leaderOfAll }

    /// Asks a site's leader for a command.
    func ask(_ place: Int, _ command: SiteCommand) {
        guard let leader = leader(of: place) else { return }
        if case .force = command { checks.switchovers.forces += 1 }
        note { "an operator asks \(Self.name(of: place))\(leader.id): \(command.name)" }
        leader.site?.propose(command)
    }

    /// Looks after the pair now and then.
    func operate() {
        schedule(.operate, after: 500_000)
        for place in 0..<2 {
            guard let leader = leader(of: place), leader.applier.lineage == nil else { continue }
            for command in [Command.raiseFeatures(to: FeatureVersion.known), .lineage(Self.id(of: place))] {
                leader.propose(Envelope(time: 0, command: command).encoded(), .nobody)
            }
        }
        if now >= climate.joinTime { join() }
        if isCalm { reconcile() }
        if let seeding = climate.seeding { giveUpHistory(seeding) }
    }

    /// Keeps the caps as they are to be, and gives up history now and then.
    private func giveUpHistory(_ seeding: SeedingClimate) {
        for place in 0..<2 {
            guard let caps = leader(of: place)?.applier.siteProgress.caps, caps != seeding.caps else { continue }
            ask(place, .limit(seeding.caps))
        }
        guard !isCalm, now >= compactsAt, let primary else { return }
        compactsAt = now + seedingDice.between(500_000, seeding.compactGap)
        if seedingDice.chance(perMille: 300) { ask(primary, .limit(SiteCaps(bytes: 1, milliseconds: 1))) }
        compact(primary, keeping: UInt64(seedingDice.below(4)))
    }

    /// Whether the second site belongs to the pair, so that clients may turn to it.
    var isJoined: Bool { checks.records[1].role != .alone }

    /// The next step of joining: enroll, admit, follow.
    private func join() {
        guard !isJoined, let first = leader(of: 0), let second = leader(of: 1), let theirs = second.applier.lineage,
            let ours = first.applier.lineage
        else { return }
        let record = first.applier.site
        let token = Digest(7, 7, 7, seed)
        let peer = SitePeer(site: theirs, endpoints: ["b:1"])
        if record.role == .alone || (record.peer == nil && record.enrolment == nil) {
            ask(0, .enroll(token: token, expires: .max))
        } else if record.peer == nil {
            ask(0, .admit(token: token, peer))
        } else if let report = first.applier.siteReport {
            ask(
                1,
                .follow(
                    SiteFollow(
                        primary: SitePeer(site: ours, endpoints: ["a:1"]), lineage: report.lineage, epoch: report.epoch,
                        position: .start, branches: record.branches)))
        }
    }

    /// What operators do until the pair agrees: whoever fell behind rejoins, and where nobody is the primary one is made.
    private func reconcile() {
        guard isJoined else { return }
        let records = (0..<2).compactMap { leader(of: $0)?.applier.site }
        guard records.count == 2 else { return }
        if records.allSatisfy({ $0.role != .primary }) {
            let since = headlessSince ?? now
            headlessSince = since
            // A grant on its way comes first.
            if now - since > 8_000_000 {
                let place = records[0].epoch >= records[1].epoch ? 0 : 1
                headlessSince = nil
                ask(place, .force(seen: records[place].seen))
            }
            return
        }
        headlessSince = nil
        for place in 0..<2 where records[place].role != .primary { rejoin(place) }
    }

    /// Lets a site give up what only it has, for a while.
    func rejoin(_ place: Int) { leader(of: place)?.site?.rejoinsUntil = now + 20_000_000 }
}
