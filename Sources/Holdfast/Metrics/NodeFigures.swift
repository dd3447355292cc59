internal import Metrics

/// The counters of a node; every name is explained in `Docs/Reference/Metrics.md`.
final class NodeFigures: Sendable {
    let proposals: Counter
    let readRounds: Counter
    let reads: Counter
    let appliedGroups: Counter
    let appliedEntries: Counter
    let leaderChanges: Counter
    let requests: Counter
    let requestsRefused: Counter
    let watches: Counter
    let malformedFrames: Counter
    let feedChecks: Counter
    let quarantines: Counter
    let configurations: Counter
    let configurationsRefused: Counter
    let handOvers: Counter
    let logRepairs: Counter
    let rebuilds: Counter

    /// Counters made by `factory`.
    init(factory: any MetricsFactory) {
        func counter(_ name: String) -> Counter { Counter(label: "holdfast_\(name)_total", factory: factory) }
        proposals = counter("proposals")
        readRounds = counter("read_rounds")
        reads = counter("reads")
        appliedGroups = counter("applied_groups")
        appliedEntries = counter("applied_entries")
        leaderChanges = counter("leader_changes")
        requests = counter("requests")
        requestsRefused = counter("requests_refused")
        watches = counter("watches")
        malformedFrames = counter("malformed_frames")
        feedChecks = counter("feed_checks")
        quarantines = counter("quarantines")
        configurations = counter("configuration_changes")
        configurationsRefused = counter("configuration_changes_refused")
        handOvers = counter("leadership_hand_overs")
        logRepairs = counter("log_repairs")
        rebuilds = counter("rebuilds")
    }
}
