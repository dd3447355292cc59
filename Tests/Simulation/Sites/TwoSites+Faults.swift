internal import RaftCore
internal import ReplicaCore

// The storm of the pair: what strikes the link, a whole site, or its operators' plans.
extension TwoSites {
    /// Strikes once and plans the next strike. The first strikes are of every kind that the climate has.
    func strike() {
        guard !isCalm else { return }
        schedule(.strike, after: faultDice.between(climate.faultGap / 4, 2 * climate.faultGap))
        let kind = strikes < climate.kinds.count ? climate.kinds[strikes] : faultDice.pick(climate.kinds)
        var own = faultDice.split()
        strikes += 1
        guard countsFault() else { return }
        note { "FAULT \(self.faults): \(kind)" }
        if strike(kind, &own) { kindsSeen |= kind.bit }
    }

    /// Does what the kind says; false if there was nothing to do it to.
    private func strike(_ kind: SiteFaultKind, _ own: inout Dice) -> Bool {
        let place = own.below(2)
        switch kind {
        case .loss: weather(kind, for: own.between(500_000, 8_000_000)) { $0.lossPerMille = 10 + own.below(500) }
        case .duplication:
            weather(kind, for: own.between(500_000, 8_000_000)) { $0.duplicationPerMille = 10 + own.below(500) }
        case .delay:
            weather(kind, for: own.between(500_000, 8_000_000)) { $0.extraDelay = own.between(20_000, 3_000_000) }
        case .cut: weather(kind, for: own.between(500_000, 15_000_000)) { $0.isCut = [true, true] }
        case .oneWay: weather(kind, for: own.between(500_000, 10_000_000)) { $0.isCut[place] = true }
        case .stall:
            link.stalledUntil = now + own.between(500_000, 6_000_000)
        case .siteOutage:
            for node in worlds[place].nodes where node.isRunning {
                worlds[place].crash(node, restartAfter: own.between(1_000_000, 12_000_000))
            }
        case .setBack: return planSetBack(place, &own)
        case .switchover:
            guard let primary = primary, leader(of: primary)?.applier.site.switchover == nil else { return false }
            ask(primary, .freeze(Identifier(own.next(), own.next())))
        case .force:
            guard isJoined, let record = leader(of: place)?.applier.site, record.role != .primary else { return false }
            ask(place, .force(seen: record.seen))
        case .rejoin:
            guard isJoined, let record = leader(of: place)?.applier.site, record.role != .primary else { return false }
            rejoin(place)
        case .caps:
            guard isJoined, let place = primary else { return false }
            ask(place, .limit(SiteCaps(bytes: own.between(200, 4_000), milliseconds: own.between(5_000, 1_000_000))))
            compact(place, keeping: 0)
        }
        return true
    }

    // MARK: seeds

    /// A seed of a site was begun: something may befall it.
    func seedBegins(_ place: Int) {
        guard !isCalm, let seeding = climate.seeding, seedingDice.chance(perMille: seeding.strikePerMille) else {
            return
        }
        schedule(.seedStrike(place), after: seedingDice.between(1_000, 1_000_000))
    }

    /// Strikes a site that is being seeded, its primary, or the link between them.
    func strikeSeed(of place: Int) {
        guard !isCalm, countsFault() else { return }
        let kind = seedingDice.below(7)
        note { "FAULT \(self.faults): to the seed of site \(Self.name(of: place)), \(kind)" }
        switch kind {
        case 0, 1: if let record = leader(of: place)?.applier.site { ask(place, .force(seen: record.seen)) }
        case 2: ask(1 - place, .freeze(Identifier(seedingDice.next(), seedingDice.next())))
        case 3, 4:
            let struck = kind == 3 ? place : 1 - place
            guard let leader = leader(of: struck) else { return }
            worlds[struck].crash(leader.node, restartAfter: seedingDice.between(100_000, 5_000_000))
        case 5: weather(.cut, for: seedingDice.between(200_000, 4_000_000)) { $0.isCut = [true, true] }
        default:
            guard let leader = leader(of: 1 - place), leader.applier.state.revision > 0 else { return }
            // The history that it reads is given up.
            ask(1 - place, .limit(SiteCaps(bytes: 1, milliseconds: 1)))
            compact(1 - place, keeping: 0)
        }
    }

    /// Gives up history of a site but for its last revisions.
    func compact(_ place: Int, keeping: UInt64) {
        guard let leader = leader(of: place), leader.applier.state.revision > keeping else { return }
        leader.propose(
            Envelope(time: 0, command: .compact(revision: leader.applier.state.revision - keeping)).encoded(), .nobody)
    }

    /// The site that is the primary as its leader has it.
    var primary: Int? { (0..<2).first { leader(of: $0)?.applier.site.role == .primary } }

    /// Changes the weather of the link until it ends.
    private func weather(_ kind: SiteFaultKind, for time: UInt64, _ change: (inout Link) -> Void) {
        change(&link)
        weathers[kind.rawValue, default: 0] += 1
        schedule(.weatherEnds(kind, weathers[kind.rawValue] ?? 0), after: time)
    }

    func endWeather(_ kind: SiteFaultKind) {
        switch kind {
        case .loss: link.lossPerMille = 0
        case .duplication: link.duplicationPerMille = 0
        case .delay: link.extraDelay = 0
        case .cut, .oneWay: link.isCut = [false, false]
        default: break
        }
    }

    // MARK: a site set back

    /// Keeps the state of a site's disks as it is now, and plans to set the site back to it.
    private func planSetBack(_ place: Int, _ own: inout Dice) -> Bool {
        guard isJoined else { return false }
        let number = UInt64(backups.count)
        backups[number] = Backup(of: worlds[place], checks: checks, &own)
        schedule(.setBack(place, number), after: own.between(1_000_000, 12_000_000))
        return true
    }

    /// Every node of a site finds its disk as it was, and knows nothing of what came later: a storage that was rolled back.
    func setBack(_ place: Int, to number: UInt64) {
        guard !isCalm, let backup = backups[number] else { return }
        note { "site \(Self.name(of: place)) is set back" }
        tally.setBacks += 1
        backup.restore(worlds[place], &faultDice)
        checks.setBack(place, to: backup.history, of: backup.record)
    }
}

/// The disks of all nodes of a site at one moment, as a loss of power would leave them then.
struct Backup {
    private struct Node {
        var disk: SimulatedDisk
        var rows: SimulatedRows
        var chunks: ChunkShelf
        var durable: DurableLog
        var damagedLog: DurableLog?
        var inFlight: (first: LogIndex, isVote: Bool)
    }

    private var nodes: [Node]
    private var checks: Checks
    /// What the checkers of the pair had seen of the site.
    let history: SitePrefix.History
    let record: SiteRecord

    init(of world: World, checks site: SiteChecks, _ dice: inout Dice) {
        nodes = world.nodes.map { node in
            let disk = node.disk.copy()
            if node.isRunning { disk.crash(&dice) }
            return Node(
                disk: disk, rows: node.durableRows, chunks: node.chunks, durable: node.durable,
                damagedLog: node.damagedLog, inFlight: node.process?.inFlight ?? node.inFlight)
        }
        checks = world.checks
        history = site.prefix.history(of: world.place)
        record = site.records[world.place]
    }

    /// Sets the site back. It is off for so long that nothing said before arrives afterwards.
    func restore(_ world: World, _ dice: inout Dice) {
        for node in world.nodes where node.isRunning { world.crash(node, restartAfter: nil) }
        for (node, saved) in zip(world.nodes, nodes) {
            node.life += 1
            node.isSetBack = true
            node.disk = saved.disk.copy()
            node.durableRows = saved.rows
            node.chunks = saved.chunks
            node.durable = saved.durable
            node.damagedLog = saved.damagedLog
            node.inFlight = saved.inFlight
            world.schedule(.start(node.id, node.life), after: dice.between(6_000_000, 9_000_000))
        }
        world.checks = checks
        world.branch += 1
    }
}
