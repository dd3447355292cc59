internal import RaftCore
internal import ReplicaCore

/// Two clusters and the link between them in one simulated world: the sites of a pair, each a `World` of its own nodes, network and disks. Time is one, and
/// so is the order of events: the earliest of three queues comes next, at equal times the first site's, the second's, the link's.
///
/// Phase one is the storm: sites join, clients write wherever the primary is, operators change it, and faults strike each site and the link. Phase two
/// heals everything and demands that the pair agrees: one primary, and a standby that has all of its feed.
///
/// Invariants: those of `World`.
package final class TwoSites {
    package let seed: UInt64
    package let climate: SiteClimate
    /// Faults beyond this number are left out, wherever they strike.
    let faultsMax: Int
    let teller: ((String) -> Void)?

    package private(set) var now: Instant = 0
    var queue = EventQueue<SiteHappening>()
    var dice: Dice
    var faultDice: Dice
    /// Decides what worlds with seeds have beside the others.
    var seedingDice: Dice
    var link = Link()
    /// Site 0 enrolls the other; it begins odd epochs.
    private(set) var worlds: [World] = []
    var customers: [any Customer] = []

    var checks = SiteChecks()
    package private(set) var violation: String?
    package private(set) var faults = 0
    package internal(set) var kindsSeen: UInt32 = 0
    /// Strikes of the pair's own kinds; the first ones are of every kind of the climate.
    var strikes = 0
    /// The hash of the link's and operators' events so far.
    private var ownTrace: UInt64 = 0
    private var ownEvents = 0
    /// The next weather's number, by kind; an older one's end is ignored.
    var weathers: [Int: UInt64] = [:]
    var isCalm = false
    var calmSince: Instant = 0
    /// When an operator saw first that nobody is the primary.
    var headlessSince: Instant?
    /// What has happened, for whoever asks whether a storm reaches what it is about.
    package internal(set) var tally = SiteTally()
    /// When an operator looks next whether history is to be given up.
    var compactsAt: Instant = 0
    /// States of a site that it may be set back to.
    var backups: [UInt64: Backup] = [:]
    private var isOver = false

    /// Makes the two sites of a seed; `teller` gets their story, line by line.
    package init(seed: UInt64, faultsMax: Int = .max, teller: ((String) -> Void)? = nil) {
        self.seed = seed
        self.faultsMax = faultsMax
        self.teller = teller
        var dice = Dice(seed: mix(0x7E0_517E5, seed))
        var climate = SiteClimate(&dice)
        var seedingDice = Dice(seed: mix(0x5EED_5EED, seed))
        climate.drawSeeding(&seedingDice)
        self.climate = climate
        self.seedingDice = seedingDice
        faultDice = dice.split()
        self.dice = dice.split()
        note { "\(self.climate)" }
        for place in 0..<2 {
            let name = Self.name(of: place)
            let teller = teller.map { teller in { (line: String) in teller("\(name) \(line)") } }
            worlds.append(
                World(place, of: self, climate: climate.clusters[place], seed: mix(seed, UInt64(place)), teller: teller)
            )
        }
        for world in worlds {
            world.found()
            world.schedule(.fault, after: 1_000_000)
        }
        for number in 0..<climate.clients { customers.append(SiteClient(sites: self, number: number)) }
        for number in 0..<climate.pushers {
            customers.append(Pusher(world: worlds[0], number: climate.clients + number))
        }
        for world in worlds { world.customers = customers }
        for number in customers.indices {
            worlds[0].schedule(.wake(number), after: self.dice.between(500_000, 2_000_000))
        }
        schedule(.operate, after: 500_000)
        schedule(.strike, after: 2_000_000)
        schedule(.calm, after: climate.stormLength)
    }

    /// Runs to the end of the world; nil if every rule held.
    package func run() -> String? { run { false } }

    /// Runs until `isReached`, asked after every event, or to the end of the world; nil if every rule held.
    package func run(until isReached: () -> Bool) -> String? {
        while !isOver, takeNext() {
            if violation == nil { violation = worlds[0].violation ?? worlds[1].violation }
            if violation != nil || isReached() { break }
        }
        return violation
    }

    private func takeNext() -> Bool {
        let times = [worlds[0].queue.nextTime, worlds[1].queue.nextTime, queue.nextTime]
        guard let earliest = times.compactMap({ $0 }).min(), let first = times.firstIndex(of: earliest) else {
            return false
        }
        now = earliest
        for world in worlds { world.now = earliest }
        if first < 2 { return worlds[first].takeNext() }
        guard let (_, happening) = queue.next() else { return false }
        ownEvents += 1
        ownTrace = mix(ownTrace, mix(happening.code, earliest))
        dispatch(happening)
        return true
    }

    /// Events so far, of both sites and the link.
    package var events: Int { worlds[0].events + worlds[1].events + ownEvents }
    /// The hash of all events so far.
    package var traceHash: UInt64 { mix(mix(worlds[0].traceHash, worlds[1].traceHash), ownTrace) }

    func schedule(_ happening: SiteHappening, after delay: UInt64) { queue.add(happening, at: now + delay) }

    private func dispatch(_ happening: SiteHappening) {
        switch happening {
        case .deliver(let message): deliver(message)
        case .strike: strike()
        case .weatherEnds(let kind, let number): if weathers[kind.rawValue] == number { endWeather(kind) }
        case .setBack(let place, let number): setBack(place, to: number)
        case .seedStrike(let place): strikeSeed(of: place)
        case .operate: operate()
        case .calm: calmDown()
        case .verdict: judge()
        }
    }

    // MARK: the link

    /// Sends a message to a node of the other site.
    func send(_ message: LinkMessage) {
        for arrival in link.arrivals(to: message.to.place, now: now, climate, &dice) {
            queue.add(.deliver(message), at: arrival)
        }
    }

    private func deliver(_ message: LinkMessage) {
        let node = worlds[message.to.place].node(message.to.node)
        guard let process = node.process else { return }
        guard node.pausedUntil <= now else { return queue.add(.deliver(message), at: node.pausedUntil) }
        note {
            "\(Self.name(of: message.from.place))\(message.from.node) ⇒ \(Self.name(of: message.to.place))\(message.to.node) \(message.text)"
        }
        process.site?.receive(message)
    }

    /// A node of a site, which may be off.
    func anyNode(of place: Int) -> SiteNode { SiteNode(place: place, node: dice.pick(worlds[place].nodes).id) }

    // MARK: story and end

    static func name(of place: Int) -> String { place == 0 ? "A" : "B" }

    /// The name that a site goes by.
    static func id(of place: Int) -> SiteID { SiteID(0x517E, UInt64(place) + 1) }

    /// Counts a fault, wherever it strikes; false if it is to be left out.
    func countsFault() -> Bool {
        faults += 1
        return faults <= faultsMax
    }

    /// Adds a line to the story; the text is made only if somebody listens.
    func note(_ line: () -> String) {
        if let teller { teller("* \(Double(now) / 1_000_000)s \(line())") }
    }

    /// A rule was broken: the world ends.
    func fail(_ rule: String) {
        if violation == nil { violation = rule }
        note { "VIOLATION: \(rule)" }
    }

    func report(_ violation: String?) {
        if let violation { fail(violation) }
    }

    func end() { isOver = true }
}

/// How often the events happened that a world of two sites is about.
package struct SiteTally: Sendable, Hashable {
    package var acknowledgements = 0
    package var plannedTakeovers = 0
    package var forcedTakeovers = 0
    /// Revisions that rewinds have undone.
    package var undone = 0
    /// Versions that became visible on a standby.
    package var shippedVersions = 0
    package var setBacks = 0
    /// Recovery points that were held against the truth.
    package var recoveryPoints = 0
    /// Seeds that have ended, and those that were given up and removed.
    package var seeds = 0
    package var seedsGivenUp = 0
    /// Sites promoted while they were being seeded.
    package var promotedSeeding = 0
    /// Worlds whose feed reaches no further back than where the two differ.
    package var beyondFollowing = 0

    package init() {}

    package static func += (sum: inout SiteTally, one: SiteTally) {
        sum.acknowledgements += one.acknowledgements
        sum.plannedTakeovers += one.plannedTakeovers
        sum.forcedTakeovers += one.forcedTakeovers
        sum.undone += one.undone
        sum.shippedVersions += one.shippedVersions
        sum.setBacks += one.setBacks
        sum.recoveryPoints += one.recoveryPoints
        sum.seeds += one.seeds
        sum.seedsGivenUp += one.seedsGivenUp
        sum.promotedSeeding += one.promotedSeeding
        sum.beyondFollowing += one.beyondFollowing
    }
}

/// Everything that can be due between two sites.
enum SiteHappening {
    case deliver(LinkMessage)
    case strike
    case weatherEnds(SiteFaultKind, UInt64)
    case setBack(Int, UInt64)
    case seedStrike(Int)
    case operate
    case calm
    case verdict

    /// A number for the trace's hash.
    var code: UInt64 {
        switch self {
        case .deliver(let message): 1 &+ message.number &* 64
        case .strike: 2
        case .weatherEnds: 3
        case .setBack: 4
        case .operate: 5
        case .calm: 6
        case .verdict: 7
        case .seedStrike: 8
        }
    }
}
