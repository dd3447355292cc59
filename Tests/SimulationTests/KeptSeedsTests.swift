internal import Simulation
internal import Testing

/// Seeds that broke a rule once; each stays here with what it showed.
struct KeptSeedsTests {
    @Test(
        "a seed that broke a rule once breaks none",
        arguments: [
            // A node that joined after the newest snapshot was offered it for ever.
            1,
            // The operator removed a leader that had not handed over, and lost nodes whose vote an older configuration still needed.
            1487, 1638, 1777,
        ] as [UInt64])
    func keptSeed(_ seed: UInt64) {
        let world = World(seed: seed)
        #expect(world.run() == nil, "seed \(seed)")
    }
}
