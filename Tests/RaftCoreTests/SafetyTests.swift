@testable internal import RaftCore
internal import Testing

/// Random events over several cores; every run prints its seed, and a seed repeats its run.
@Suite("Safety under random events")
struct SafetyTests {
    /// How rough a run is.
    struct Weather: Sendable, CustomTestStringConvertible {
        var name: String
        var lossPercent = 5
        var duplicatePercent = 10
        var restarts = false
        var changesMembers = false
        var compacts = false
        var damages = false
        var testDescription: String { name }
    }

    static let weathers = [
        Weather(name: "loss, duplication, reordering"),
        Weather(name: "heavy loss and restarts", lossPercent: 25, restarts: true),
        Weather(name: "membership changes", changesMembers: true),
        Weather(name: "all of it, with compaction", restarts: true, changesMembers: true, compacts: true),
        Weather(name: "damaged logs", restarts: true, damages: true),
        Weather(name: "damaged logs, with compaction", lossPercent: 2, restarts: true, compacts: true, damages: true),
    ]

    @Test(
        "election safety, log matching, leader completeness, state machine safety and linearizable reads hold",
        arguments: weathers, [UInt64(1), 2, 3, 4, 5, 6])
    func safetyHolds(weather: Weather, seed: UInt64) {
        print("Safety: \(weather.name), seed \(seed)")
        var dice = Dice(seed: seed)
        let simulation = Simulation(voters: [1, 2, 3], count: weather.changesMembers ? 5 : 3) { settings in
            settings.messageBytesMax = 64
            settings.inflightMessagesMax = 4
            settings.windowBytesMax = weather.compacts ? 32 : 4096
            settings.applyingBytesMax = 128
            settings.forwardsProposals = seed % 2 == 0
            settings.preVote = seed % 3 != 0
        }
        for number in 0..<(weather.damages ? 12_000 : 4_000) {
            act(simulation, weather, &dice, number)
            if number % 200 == 0 { simulation.checkLogMatching() }
        }
        simulation.checkLogMatching()
        #expect(simulation.violations.isEmpty, "seed \(seed): \(simulation.violations.prefix(5))")
        #expect(!simulation.history.isEmpty, "seed \(seed): nothing was ever committed")
        if weather.damages { #expect(simulation.recovered > 0, "seed \(seed): no damaged node came back") }
    }

    private func act(_ simulation: Simulation, _ weather: Weather, _ dice: inout Dice, _ number: Int) {
        let id = NodeID(dice.roll(simulation.nodes.count) + 1)
        if weather.damages {
            switch dice.roll(800) {
            case 0..<2: simulation.damage(id)
            case 2..<20: simulation.forget(at: id)
            case 20..<400: simulation.recover()
            default: break
            }
            // A network that keeps up, else nothing comes back before the next damage.
            simulation.deliver(&dice, lossPercent: weather.lossPercent, duplicatePercent: 0)
            simulation.finishWrite(NodeID(dice.roll(3) + 1))
            simulation.finishApply(NodeID(dice.roll(3) + 1))
        }
        switch dice.roll(100) {
        case 0..<18: simulation.step(id, .tick)
        case 18..<60:
            simulation.deliver(&dice, lossPercent: weather.lossPercent, duplicatePercent: weather.duplicatePercent)
        case 60..<76: simulation.finishWrite(id)
        case 76..<86: simulation.finishApply(id)
        case 86..<92:
            let target = dice.roll(3) == 0 ? id : simulation.leader?.id ?? id
            simulation.propose(target, Array("\(number)".utf8))
        case 92..<95: simulation.read(id)
        case 95:
            if dice.roll(4) == 0 { simulation.step(id, .transferLeadership(to: NodeID(dice.roll(3) + 1))) }
        case 96:
            if weather.restarts, dice.roll(3) == 0 { simulation[id].restart() }
        case 97:
            if weather.changesMembers, let leader = simulation.leader {
                simulation.step(leader.id, .proposeConfiguration(change(&dice)))
            }
        case 98:
            if weather.compacts { simulation.compact(id) }
        default:
            simulation.step(id, .unreachable(NodeID(dice.roll(3) + 1)))
        }
    }

    private func change(_ dice: inout Dice) -> ConfigurationChange {
        let kinds: [ConfigurationChange.Step.Kind] = [.addVoter, .addVoter, .addLearner, .remove]
        let steps = (0..<dice.roll(3)).map { _ in
            ConfigurationChange.Step(kinds[dice.roll(4)], NodeID(dice.roll(5) + 1))
        }
        let transitions: [ConfigurationChange.Transition] = [.auto, .jointImplicit, .jointExplicit]
        return ConfigurationChange(steps, transition: steps.isEmpty ? .auto : transitions[dice.roll(3)])
    }

    @Test("a cluster that is left in peace elects a leader and commits", arguments: [UInt64(11), 12, 13])
    func livenessReturns(seed: UInt64) {
        print("Liveness: seed \(seed)")
        var dice = Dice(seed: seed)
        let simulation = Simulation(voters: [1, 2, 3], count: 3)
        for number in 0..<1500 { act(simulation, Self.weathers[1], &dice, number) }
        for _ in 0..<40 {
            for id in 1...NodeID(3) { simulation.step(id, .tick) }
            simulation.settle()
        }
        let leader = simulation.leader
        #expect(leader != nil, "seed \(seed)")
        let before = simulation.history.count
        if let leader { simulation.propose(leader.id, [1, 2, 3]) }
        simulation.settle()
        for _ in 0..<3 {
            for id in 1...NodeID(3) { simulation.step(id, .tick) }
            simulation.settle()
        }
        #expect(simulation.history.count == before + 1, "seed \(seed)")
        let applied = simulation.nodes.map { $0.raft.appliedIndex }
        #expect(Set(applied).count == 1, "seed \(seed): \(applied)")
        #expect(simulation.violations.isEmpty, "seed \(seed): \(simulation.violations.prefix(5))")
    }
}
