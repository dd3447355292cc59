internal import NIOCore

/// What became of the attempts at one request so far: when to try again, and what to say where none succeeds.
struct Attempts {
    private var last: (error: HoldfastError, isAnswer: Bool)?
    /// Names of those that could not be reached since one answered.
    private var silent: Set<String> = []
    private var pauses = 0

    /// A change of the leader is over in this many pauses, as a rule; then they grow.
    static let shortPauses = 32
    private static let shortest: Int64 = 10
    private static let short: Int64 = 40
    private static let longest: Int64 = 500

    /// An attempt failed. What a node said tells more than that another one is silent, and either more than that time ran out.
    mutating func failed(_ failure: CallFailure, at name: String) {
        let isNews = failure.error.code != .deadlineExceeded || last == nil
        if failure.isAnswer {
            silent.remove(name)
        } else if failure.error.code == .unavailable || failure.error.code == .deadlineExceeded {
            silent.insert(name)
        }
        guard isNews, failure.isAnswer || last?.isAnswer != true else { return }
        last = (failure.error, failure.isAnswer)
    }

    /// How long to wait before the next attempt, with jitter.
    mutating func nextPause() -> TimeAmount {
        pauses += 1
        let doublings = min(max(0, pauses - Self.shortPauses), 4)
        let bound = min(Self.short << Int64(doublings), Self.longest)
        return .milliseconds(Int64.random(in: min(Self.shortest << Int64(doublings), bound / 2)...bound))
    }

    /// The whole of it, for the caller whose deadline has passed.
    var summary: HoldfastError {
        guard var error = last?.error else {
            return HoldfastError(.deadlineExceeded, "the deadline passed before a node answered")
        }
        if last?.isAnswer == true, !silent.isEmpty {
            error.message += "; no answer from \(silent.sorted().joined(separator: ", "))"
        }
        return error
    }
}
