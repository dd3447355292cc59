/// One kind of trouble that a world may have.
package enum FaultKind: Int, CaseIterable, Sendable {
    case loss, duplication, delay, partition, oneWayPartition, crash, pause, stall, fullDisk, failedWrite, bitFlip
    case clock, transfer, membership, outage, lostDisk

    /// The bit of the kind in a set.
    var bit: UInt32 { 1 << UInt32(rawValue) }
}

/// What one seed's world is like: how large, how busy, and which faults it has (swarm testing: a seed with few kinds of fault goes deeper into them than
/// one with all).
package struct Climate: Sendable {
    /// Voters at the beginning.
    package var voters: Int
    /// The kinds of fault that are drawn from; three at least.
    package var kinds: [FaultKind]
    /// Microseconds between two faults, on average.
    var faultGap: UInt64
    /// Microseconds of phase one.
    var stormLength: UInt64
    /// Microseconds of phase two, at most.
    var calmLength: UInt64 = 60_000_000
    /// Microseconds between two ticks of a node.
    var tick: UInt64
    /// Microseconds that a message takes, at least and at most, in good weather.
    var latency: (low: UInt64, high: UInt64)
    /// Microseconds that a write of the log takes.
    var writeTime: (low: UInt64, high: UInt64)
    /// Microseconds that a turn waits for more events; 0 ends it at once.
    var turnDelay: UInt64
    /// Whether messages of a link keep their order.
    var keepsOrder: Bool
    var clients: Int
    /// Microseconds that a client thinks between two requests, at most.
    var thinkTime: UInt64
    var keys: Int
    var pushers: Int
    /// Whether anybody pushes models: else nobody looks after chunks.
    var hasModels: Bool
    /// Entries kept in the log behind the flushed index; nil never compacts.
    var keptEntries: UInt64?
    /// Microseconds between two looks of a node at its log and rows.
    var careGap: UInt64
    var segmentBytes: Int
    var messageBytesMax: Int
    var windowBytesMax: Int

    /// Draws a climate.
    package init(_ dice: inout Dice) {
        voters = dice.pick([1, 3, 3, 3, 3, 4, 5, 5])
        // Three that can always strike, and up to five of any kind.
        var sure: [FaultKind] = [.crash, .stall, .fullDisk, .failedWrite, .clock, .pause, .outage]
        if voters > 1 { sure += [.loss, .duplication, .delay, .partition, .oneWayPartition] }
        var others: [FaultKind] =
            voters == 1 ? [.membership] : [.transfer, .membership, .membership, .bitFlip, .lostDisk]
        kinds = []
        for _ in 0..<3 { kinds.append(sure.remove(at: dice.below(sure.count))) }
        others += sure
        for _ in 0..<dice.below(6) where !others.isEmpty {
            let kind = others.remove(at: dice.below(others.count))
            if !kinds.contains(kind) { kinds.append(kind) }
        }
        faultGap = dice.pick([300_000, 800_000, 2_000_000, 4_000_000])
        stormLength = dice.between(60_000_000, 70_000_000)
        tick = dice.pick([50_000, 100_000, 100_000])
        latency = dice.pick([(100, 300), (200, 3_000), (1_000, 20_000)])
        writeTime = dice.pick([(50, 200), (200, 5_000), (2_000, 30_000)])
        turnDelay = dice.pick([0, 0, 0, 50, 500])
        keepsOrder = dice.chance(perMille: 500)
        clients = 1 + dice.below(4)
        thinkTime = dice.pick([200_000, 500_000, 1_000_000])
        keys = 1 + dice.below(4)
        pushers = dice.below(3)
        hasModels = pushers > 0
        keptEntries = dice.pick([nil, 0, 5, 50])
        careGap = dice.pick([300_000, 1_000_000, 3_000_000])
        segmentBytes = dice.pick([8_192, 16_384, 65_536])
        messageBytesMax = dice.pick([256, 2_048, 65_536])
        windowBytesMax = dice.pick([0, 2_048, 1 << 20])
    }
}
