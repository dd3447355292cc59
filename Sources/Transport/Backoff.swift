/// Pauses between dials: each the double of the one before up to a limit, and drawn from its upper half, so that many
/// who lost the same peer do not come back together. A pure value: the dice are seeded.
package struct Backoff: Sendable {
    private let minimum: Int64
    private let maximum: Int64
    private var current: Int64
    private var dice: UInt64

    /// Pauses from `minimum` to `maximum` milliseconds.
    package init(
        minimum: Int64 = TransportLimits.backoffMillisecondsMin,
        maximum: Int64 = TransportLimits.backoffMillisecondsMax,
        seed: UInt64
    ) {
        precondition(minimum > 0 && minimum <= maximum, "a back-off needs 0 < minimum <= maximum")
        self.minimum = minimum
        self.maximum = maximum
        self.current = minimum
        self.dice = seed
    }

    /// The next pause in milliseconds.
    package mutating func next() -> Int64 {
        let half = max(current / 2, 1)
        current = min(current * 2, maximum)
        return half + Int64(roll() % UInt64(half + 1))
    }

    /// Starts from the shortest pause again.
    package mutating func reset() { current = minimum }

    /// SplitMix64 (Steele, Lea and Flood, "Fast splittable pseudorandom number generators", 2014).
    private mutating func roll() -> UInt64 {
        dice &+= 0x9E37_79B9_7F4A_7C15
        var mixed = dice
        mixed = (mixed ^ (mixed >> 30)) &* 0xBF58_476D_1CE4_E5B9
        mixed = (mixed ^ (mixed >> 27)) &* 0x94D0_49BB_1331_11EB
        return mixed ^ (mixed >> 31)
    }
}
