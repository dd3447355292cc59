internal import ArgumentParser
internal import Holdfast

/// How fresh a read must be: the options of every verb that reads.
struct ReadOptions: ParsableArguments {
    @Flag(help: "Take whatever the node has applied: needs no quorum and may be old.")
    var stale = false
    @Option(
        help: ArgumentHelp(
            "As --stale, but from a node that has revision N: waits for it until the timeout, then status 69.",
            valueName: "n"))
    var minRevision: UInt64?

    var consistency: ReadConsistency {
        if let minRevision { return .atLeast(minRevision) }
        return stale ? .stale : .linearizable
    }
}
