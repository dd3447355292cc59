internal import Foundation
internal import Simulation

// Runs worlds, seed after seed, in a child process that may trap, and explains those that fail.
let options = Options(CommandLine.arguments.dropFirst())
if let seed = options.only {
    exit(runOne(seed, options))
} else if options.isWorker {
    exit(runMany(options))
} else {
    exit(Supervisor(options).run())
}

/// Runs one seed, perhaps with fewer faults and with its story; status 1 if it fails.
func runOne(_ seed: UInt64, _ options: Options) -> Int32 {
    let world = World(
        seed: seed, faultsMax: options.faultsMax, teller: options.tells ? { say($0) } : nil)
    let violation = world.run()
    say(summary(world, violation))
    if let violation { say("violation: \(violation)") }
    if options.showsHash { say("hash=\(world.traceHash)") }
    return violation == nil ? 0 : 1
}

/// Runs the seeds in order, until the time is over.
func runMany(_ options: Options) -> Int32 {
    let end = options.minutes.map { Date().addingTimeInterval($0 * 60) }
    for seed in options.from..<(options.from + options.seeds) {
        if let end, Date() >= end { break }
        let world = World(seed: seed)
        let violation = world.run()
        say(summary(world, violation))
        if violation != nil { return 1 }
    }
    return 0
}

func summary(_ world: World, _ violation: String?) -> String {
    "seed=\(world.seed) events=\(world.events) faults=\(world.faults) outcome=\(violation == nil ? "ok" : "fail")"
}
