internal import Simulation
internal import Testing

/// Known failures of other systems' clusters, in worlds whose only fault is the one at hand.
struct ClusterScenarios {
    @Test(
        "a leader whose disk stands still gives its place up, although its heartbeats go on",
        arguments: [1, 2, 3] as [UInt64])
    func deadDiskDoesNotLead(seed: UInt64) throws {
        let world = World(seed: seed, faultsMax: 0)
        try #require(world.climate.voters > 2)
        #expect(world.run { world.now > 5_000_000 && world.leader != nil } == nil)
        let old = try #require(world.leader)
        world.stall(old, for: 30_000_000)
        let end = world.now + 15_000_000
        #expect(world.run { world.leader.map { $0 != old } ?? false || world.now > end } == nil)
        let new = try #require(world.leader)
        #expect(new != old, "node \(old) still leads")
        // And the cluster goes on without the disk.
        let committed = world.committed
        #expect(world.run { world.committed > committed + 5 || world.now > end + 10_000_000 } == nil)
        #expect(world.committed > committed + 5)
    }

    @Test(
        "a node whose log was damaged has no vote until it holds again what the log had acknowledged",
        arguments: [1, 2, 3] as [UInt64])
    func damagedLogIsRepaired(seed: UInt64) throws {
        let world = World(seed: seed, faultsMax: 0)
        try #require(world.climate.voters > 2)
        #expect(world.run { world.now > 5_000_000 && world.leader != nil && world.committed > 20 } == nil)
        let leader = try #require(world.leader)
        let damaged: UInt64 = leader == 1 ? 2 : 1
        #expect(world.damageLog(damaged))
        let end = world.now + 10_000_000
        #expect(world.run { world.withholdsVote(damaged) || world.now > end } == nil)
        #expect(world.withholdsVote(damaged))
        #expect(world.run { !world.withholdsVote(damaged) || world.now > end } == nil)
        #expect(!world.withholdsVote(damaged))
    }
}
