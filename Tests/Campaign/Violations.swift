internal import Synchronization

/// What the store did against its promises, in the order in which it was found.
final class Violations: Sendable {
    /// Beyond so many of one rule, only their number is kept.
    private static let keptMax = 5

    private struct State {
        var texts: [String] = []
        var counts: [String: Int] = [:]
    }

    private let state = Mutex(State())

    /// A rule was broken.
    func add(_ rule: String, _ text: @autoclosure () -> String) {
        let count = state.withLock { state in
            state.counts[rule, default: 0] += 1
            return state.counts[rule] ?? 1
        }
        guard count <= Self.keptMax else { return }
        let line = "VIOLATION (\(rule)): \(text())"
        state.withLock { $0.texts.append(line) }
        Console.say(line)
    }

    /// How many there are.
    var count: Int { state.withLock { $0.counts.values.reduce(0, +) } }
    /// The first of each rule.
    var texts: [String] { state.withLock { $0.texts } }
}
