internal import RaftCore
internal import ReplicaCore

/// One kind of trouble that two sites and their link may have, beside those of each cluster. Operators are one of them.
package enum SiteFaultKind: Int, CaseIterable, Sendable {
    case loss, duplication, delay, cut, oneWay, stall
    /// All nodes of a site are off for a while.
    case siteOutage
    /// All nodes of a site are set back together to an earlier state of their disks, under the same identity.
    case setBack
    case switchover, force, rejoin
    /// What is kept for the standby is capped at little, and history is given up.
    case caps

    /// The bit of the kind in a set, beside those of `FaultKind`.
    var bit: UInt32 { 1 << UInt32(rawValue + 18) }
}

/// What one seed's two sites are like.
package struct SiteClimate: Sendable {
    /// Each site's cluster.
    var clusters: [Climate]
    /// The kinds of fault that are drawn from; three at least.
    package var kinds: [SiteFaultKind]
    /// Microseconds between two faults of the link and the pair, on average.
    var faultGap: UInt64
    /// Microseconds of phase one.
    var stormLength: UInt64
    /// Microseconds of phase two, at most.
    var calmLength: UInt64 = 90_000_000
    /// Microseconds that a message takes over the link, at least and at most, in good weather.
    var latency: (low: UInt64, high: UInt64)
    /// Microseconds between two polls of a standby.
    var pollPause: UInt64
    var clients: Int
    var pushers: Int
    /// When the sites join, in microseconds.
    var joinTime: UInt64
    /// Where a standby falls behind what is kept for it again and again; nil elsewhere.
    package private(set) var seeding: SeedingClimate?

    /// Draws a climate.
    init(_ dice: inout Dice) {
        clusters = []
        for _ in 0..<2 {
            var climate = Climate(&dice)
            climate.voters = 3
            // Membership and lost disks are the single world's: here a site keeps its three nodes.
            var kinds: [FaultKind] = [
                .crash, .crash, .stall, .fullDisk, .failedWrite, .pause, .outage, .loss, .delay, .partition,
                .oneWayPartition, .transfer, .duplication, .clock,
            ]
            climate.kinds = []
            for _ in 0..<(1 + dice.below(4)) { climate.kinds.append(kinds.remove(at: dice.below(kinds.count))) }
            climate.faultGap = dice.pick([1_000_000, 3_000_000, 8_000_000])
            climate.clients = 0
            climate.pushers = 0
            climate.tick = 100_000
            clusters.append(climate)
        }
        var all = SiteFaultKind.allCases.filter { $0 != .caps && $0 != .setBack }
        kinds = []
        for _ in 0..<(3 + dice.below(4)) { kinds.append(all.remove(at: dice.below(all.count))) }
        // Where these strike, the standby may end with nothing to follow from.
        if dice.chance(perMille: 250) { kinds.append(.setBack) }
        if dice.chance(perMille: 150) { kinds.append(.caps) }
        faultGap = dice.pick([1_000_000, 2_000_000, 4_000_000])
        stormLength = dice.between(35_000_000, 50_000_000)
        latency = dice.pick([(500, 1_000), (5_000, 20_000), (40_000, 120_000)])
        pollPause = dice.pick([50_000, 200_000, 500_000])
        clients = 1 + dice.below(3)
        pushers = dice.pick([0, 0, 1, 2])
        joinTime = dice.between(1_000_000, 8_000_000)
        for place in clusters.indices {
            clusters[place].hasModels = pushers > 0
            clusters[place].stormLength = stormLength
        }
    }
}

/// What makes seeds of a standby likely, and what befalls them.
package struct SeedingClimate: Sendable {
    /// What is kept for a standby, at both sites.
    var caps: SiteCaps
    /// Microseconds between two compactions of the primary, at most.
    var compactGap: UInt64
    /// Out of 1000 seeds: how many are struck while they are under way.
    var strikePerMille: Int
}

extension SiteClimate {
    /// Draws whether the standby falls behind what is kept for it, by dice of its own: the other worlds are what they are without it.
    mutating func drawSeeding(_ dice: inout Dice) {
        guard dice.chance(perMille: 400) else { return }
        seeding = SeedingClimate(
            caps: dice.pick([
                SiteCaps(bytes: dice.between(100, 1_500), milliseconds: 1_000_000),
                SiteCaps(bytes: 1 << 20, milliseconds: dice.between(1_000, 8_000)),
                SiteCaps(bytes: dice.between(300, 3_000), milliseconds: dice.between(2_000, 10_000)),
            ]),
            compactGap: dice.pick([1_000_000, 3_000_000, 8_000_000]), strikePerMille: dice.pick([200, 500, 900]))
        if !kinds.contains(.cut) { kinds.append(.cut) }
        clients += 1
        for place in clusters.indices { clusters[place].keys = 3 + dice.below(14) }
    }
}
