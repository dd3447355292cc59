internal import RaftCore

/// The weather between nodes: which links are cut, and what happens to a message.
struct Network {
    /// Out of 1000 messages.
    var lossPerMille = 0
    var duplicationPerMille = 0
    /// Microseconds that are added to a message's way, at most.
    var extraDelay: UInt64 = 0
    private var cuts: Set<UInt64> = []
    private var lastArrival: [UInt64: Instant] = [:]

    private static func link(_ from: NodeID, _ to: NodeID) -> UInt64 { from << 32 | to }

    /// Whether messages pass from one node to another.
    func isOpen(_ from: NodeID, _ to: NodeID) -> Bool { cuts.isEmpty || !cuts.contains(Self.link(from, to)) }

    /// Cuts the way from one node to another.
    mutating func cut(_ from: NodeID, _ to: NodeID) { cuts.insert(Self.link(from, to)) }

    /// Opens every link.
    mutating func mend() { cuts.removeAll() }

    /// When the copies of a message arrive: none, one or two of them.
    mutating func arrivals(
        _ from: NodeID, _ to: NodeID, now: Instant, climate: Climate, _ dice: inout Dice
    ) -> (first: Instant?, second: Instant?) {
        guard isOpen(from, to), !dice.chance(perMille: lossPerMille) else { return (nil, nil) }
        var first = now + delay(climate, &dice)
        if climate.keepsOrder, extraDelay == 0 {
            let link = Self.link(from, to)
            first = max(first, lastArrival[link] ?? 0)
            lastArrival[link] = first
        }
        guard dice.chance(perMille: duplicationPerMille) else { return (first, nil) }
        return (first, now + delay(climate, &dice))
    }

    /// Microseconds on the way.
    func delay(_ climate: Climate, _ dice: inout Dice) -> UInt64 {
        let usual = dice.between(climate.latency.low, climate.latency.high)
        return extraDelay == 0 ? usual : usual + dice.between(0, extraDelay)
    }
}
