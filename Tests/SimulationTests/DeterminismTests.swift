internal import Simulation
internal import Testing

/// A failing seed is worth nothing unless it fails again.
struct DeterminismTests {
    @Test("the same seed gives the same world, event by event", arguments: [3, 7, 9] as [UInt64])
    func sameSeed(_ seed: UInt64) {
        let first = World(seed: seed)
        let second = World(seed: seed)
        #expect(first.run() == nil)
        #expect(second.run() == nil)
        #expect(first.events == second.events)
        #expect(first.traceHash == second.traceHash)
    }

    @Test("another seed gives another world")
    func otherSeed() {
        let first = World(seed: 3)
        let second = World(seed: 9)
        _ = first.run()
        _ = second.run()
        #expect(first.traceHash != second.traceHash)
    }

    @Test("a seed is a minute, ten thousand events and three kinds of fault at least", arguments: [3, 5] as [UInt64])
    func size(_ seed: UInt64) {
        let world = World(seed: seed)
        #expect(world.run() == nil)
        #expect(world.now >= 60_000_000)
        #expect(world.events >= World.eventsMin)
        #expect(world.kindsSeen.nonzeroBitCount >= World.kindsMin)
    }
}
