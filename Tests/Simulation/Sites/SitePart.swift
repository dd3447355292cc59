internal import RaftCore
internal import ReplicaCore

/// A process' part in a pair of sites: as the product's node it answers the other site, and polls it while it leads. The rules are the product's own; what is
/// here is the order in which it asks, waits and proposes.
final class SitePart {
    /// What a leader knows of the other site.
    struct Known {
        var term: Term = 0
        var epoch: UInt64 = 0
        var recovery = RecoveryPoint()
        var isDiverged = false
        var frozen: (id: Identifier, since: Instant)?
        var ticked: Instant = 0
    }

    unowned let process: Process
    unowned let sites: TwoSites
    /// The highest epoch that this process was told of: it acknowledges no write of a lower one.
    private(set) var heardEpoch: UInt64 = 0
    var known = Known()
    /// What a leader does about the other site: one poll at a time, and one step of a rejoin beside it.
    var tasks: [SiteTask] = []
    /// Polls of the other site that are being answered.
    var polls: [SourcePoll] = []
    /// Proposals to keep history for a seed, by their number, and what is asked for it.
    var holds: [(call: UInt64, message: LinkMessage)] = []
    /// Targets of seeds that wait for a read round, by its number.
    var targets: [(number: UInt64, revision: UInt64, message: LinkMessage)] = []
    /// Questions after hashes or ranges that wait for a read round, by its number.
    var comparisons: [(number: UInt64, message: LinkMessage)] = []
    var pace = AcknowledgementPace()
    /// Until when an operator's rejoin goes on.
    var rejoinsUntil: Instant = 0
    private var calls: UInt64 = 0

    /// How long a link's request, and a proposal, is waited for.
    static let patience: UInt64 = 3_000_000
    static let proposalPatience: UInt64 = 10_000_000
    private static let freezePatience: UInt64 = 10_000_000
    private static let otherPause: UInt64 = 500_000

    init(process: Process, sites: TwoSites) {
        self.process = process
        self.sites = sites
    }

    var world: World { process.world }
    var place: Int { world.place }
    var own: SiteNode { SiteNode(place: place, node: process.id) }
    var record: SiteRecord { process.applier.site }
    var leads: Bool { process.raft.role == .leader }

    /// A number that no other request of this node has, in any of its lives.
    func nextCall() -> UInt64 {
        calls += 1
        return UInt64(process.life) << 32 | calls
    }

    /// The site as this node's rows have it.
    func view() -> SiteView? {
        do throws(RowError) {
            return try SiteView(loading: process.rows)
        } catch {
            world.fail("node \(process.id) cannot read its site: \(error.message)")
            return nil
        }
    }

    // MARK: events

    /// Time to look after the other site.
    func due() {
        let isEager = record.role == .standby || record.switchover != nil
        world.schedule(
            .siteDue(process.id, process.life), after: isEager ? sites.climate.pollPause : Self.otherPause)
        polls.removeAll { $0.deadline < world.now }
        tasks.removeAll { $0.deadline < world.now || ($0.gathers && !leads) }
        if process.applier.seed != nil { goOnSeeding(.clear, since: world.now) }
        guard leads, record.role != .alone else {
            known = Known()
            return
        }
        for task in tasks where task.gathers { gather(task.number) }
        if !tasks.contains(where: { $0.kind == .poll }) { begin(.poll) }
        if rejoinsUntil > world.now, !tasks.contains(where: { $0.kind == .rejoin }),
            record.role == .fenced || known.isDiverged
        {
            begin(.rejoin)
        }
        lookAfter()
    }

    /// A message of the other site.
    func receive(_ message: LinkMessage) {
        switch message.content {
        case .poll(let report, let bytesMax): polled(message, report, bytesMax: bytesMax)
        case .hashes, .targetAsk, .rangesAsk:
            let number = nextCall()
            comparisons.append((number, message))
            barrier(number)
        case .list, .chunkAsk: serve(message)
        case .answer, .listed, .hashed, .chunk, .target, .ranges: answered(message)
        }
    }

    /// What became of a proposal of this node.
    func proposed(_ call: UInt64, _ answer: Answer) {
        if let place = polls.firstIndex(where: { $0.awaited == call }) {
            goOn(polls[place].number)
        } else if let place = holds.firstIndex(where: { $0.call == call }) {
            held(place, answer)
        } else if let place = tasks.firstIndex(where: { $0.awaited == call }) {
            decided(place, answer)
        }
    }

    // MARK: what all of it uses

    /// Proposes a command at the leader, as far as it can be reached; the number that its outcome will come under.
    @discardableResult
    func propose(_ command: SiteCommand) -> UInt64 {
        let call = nextCall()
        let ticket = Ticket.of(process.id, call)
        guard let leader = leads ? process : world.leaderProcess(knownTo: process) else {
            world.answer(ticket, .notLeader(noNode), from: process.id)
            return call
        }
        if case .fence(let epoch, _) = command { leader.site?.hear(epoch) }
        world.note { "node \(self.process.id) proposes \(command.name)" }
        leader.propose(Envelope(time: 0, command: .site(command)).encoded(), ticket)
        return call
    }

    /// Hears of an epoch of this pair of sites: from now on this process acknowledges nothing of a lower one.
    func hear(_ epoch: UInt64) { heardEpoch = max(heardEpoch, epoch) }

    func hear(_ other: SiteReport, as record: SiteRecord) {
        guard record.role != .alone, other.lineage == record.lineage else { return }
        sites.checks.acknowledgements.learns(own, process.life, other.seen)
        if other.seen > record.seen { hear(other.seen) }
    }

    /// A client has seen an epoch elsewhere.
    func hears(of epoch: UInt64, begunBy site: SiteID) {
        guard record.role != .alone, epoch > record.seen else { return }
        sites.checks.acknowledgements.learns(own, process.life, epoch)
        hear(epoch)
        propose(.fence(epoch: epoch, by: site))
    }

    /// What goes on while the other site is silent, too.
    private func lookAfter() {
        guard let view = view() else { return }
        if world.now >= known.ticked + 60_000_000 {
            known.ticked = world.now
            if view.record.role == .primary, let hold = view.progress.hold, hold < view.state.revision {
                propose(.tick)
            }
        }
        guard let switchover = view.record.switchover, switchover.grant == nil else {
            known.frozen = nil
            return
        }
        if known.frozen?.id != switchover.id { known.frozen = (switchover.id, world.now) }
        if let frozen = known.frozen, world.now - frozen.since > Self.freezePatience {
            propose(.unfreeze(switchover.id))
        }
    }

    /// A write is about to be acknowledged to a client.
    func acknowledges(_ outcome: Outcome) { sites.acknowledges(outcome, process) }
}

extension SiteCommand {
    /// What the story calls it.
    var name: String {
        switch self {
        case .apply(let shipment): "apply \(shipment.entries.count) behind \(shipment.after.revision)"
        case .acknowledge(let word): "acknowledge \(word.position.revision)"
        case .stage(let stage): "stage \(stage.ids.count) of \(stage.name)@\(stage.version)"
        case .follow(let follow): "follow epoch \(follow.epoch) at \(follow.position.revision)"
        case .rewind(let rewind): "rewind \(rewind.from.revision) to \(rewind.revision)"
        case .fence(let epoch, _): "fence \(epoch)"
        case .grant(_, let to): "grant at \(to.revision)"
        case .promote(let grant): "promote to epoch \(grant.epoch)"
        case .force(let seen): "force above \(seen)"
        case .seed(let head): "seed from \(head.from.revision) to \(head.target.revision)"
        case .seedStep(let step):
            "step of \(step.spans.count) ranges, \(step.spans.reduce(0) { $0 + $1.rows.count }) rows"
        case .seedEnd(let revision): "end of the seed at \(revision)"
        case .seedClear: "removal of a seed's rows"
        default: "\(self)"
        }
    }
}
