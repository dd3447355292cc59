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

/// What a seed came to.
struct Result {
    var line: String
    var violation: String?
    var hash: UInt64
    /// What happened between two sites.
    var tally: SiteTally?
}

/// Runs the world of a seed.
func run(_ seed: UInt64, _ options: Options, teller: ((String) -> Void)? = nil) -> Result {
    func line(_ events: Int, _ faults: Int, _ violation: String?) -> String {
        "seed=\(seed) events=\(events) faults=\(faults) outcome=\(violation == nil ? "ok" : "fail")"
    }
    if options.hasSites {
        let sites = TwoSites(seed: seed, faultsMax: options.faultsMax, teller: teller)
        let violation = sites.run()
        return Result(
            line: line(sites.events, sites.faults, violation) + " seeds=\(sites.tally.seeds)", violation: violation,
            hash: sites.traceHash,
            tally: sites.tally)
    }
    let world = World(seed: seed, faultsMax: options.faultsMax, teller: teller)
    let violation = world.run()
    return Result(line: line(world.events, world.faults, violation), violation: violation, hash: world.traceHash)
}

/// Runs one seed, perhaps with fewer faults and with its story; status 1 if it fails.
func runOne(_ seed: UInt64, _ options: Options) -> Int32 {
    let result = run(seed, options, teller: options.tells ? { say($0) } : nil)
    say(result.line)
    if let violation = result.violation { say("violation: \(violation)") }
    if options.showsHash { say("hash=\(result.hash)") }
    if let tally = result.tally { say("\(tally)") }
    return result.violation == nil ? 0 : 1
}

/// Runs the seeds in order, until the time is over.
func runMany(_ options: Options) -> Int32 {
    let end = options.minutes.map { Date().addingTimeInterval($0 * 60) }
    for seed in options.from..<(options.from + options.seeds) {
        if let end, Date() >= end { break }
        let result = run(seed, options)
        say(result.line)
        if result.violation != nil { return 1 }
    }
    return 0
}
