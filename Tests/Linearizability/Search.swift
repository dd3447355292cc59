/// What a search may spend before it gives up undecided.
package struct SearchLimits: Sendable {
    /// Configurations remembered.
    package var configurationsMax: Int
    /// Bytes of them, by estimate.
    package var bytesMax: Int

    /// Limits of one search.
    package init(configurationsMax: Int = 1_000_000, bytesMax: Int = 256 << 20) {
        self.configurationsMax = configurationsMax
        self.bytesMax = bytesMax
    }
}

/// What a search found.
package enum Verdict: Hashable, Sendable {
    /// There is an order.
    case linearizable
    /// There is none; the text says how far the longest attempt came and what could not follow.
    case violation(String)
    /// The limits were reached first; the text says which.
    case undecided(String)
}

/// Looks for an order of calls that respects real time and in which each is right: Wing and Gong's search (1993) with Lowe's memory of
/// configurations (2017), iterative, and with four rules of its own:
///
/// - A call that can change nothing is put in place as soon as it is right: where it can come later it can come now.
/// - Calls with unknown outcome may be used or left out. Those of one form are used in the order of their begins, so that a count for
///   each form says which are used.
/// - A configuration is given up if the same one was seen with no more of any form used: what it could still do, that one could too.
/// - A configuration is given up if one of the next calls claims a value that nothing left can bring about in time.
///
/// Invariants:
/// 1. Every configuration in `seen` is on the stack or has been searched without success.
/// 2. The frames of the stack have more calls in place, or more of unknown outcome used, than the ones below.
struct Search {
    /// The calls in place, and the state after them.
    private struct Configuration: Hashable {
        var linearized = Linearized()
        var state: [Int32]
    }

    private struct Frame {
        var configuration: Configuration
        /// How many calls of each form were used.
        var used: [UInt32]
        /// How many calls are in place.
        var count: Int
        /// What is still to try; the last first. Numbers from `known.count` on are forms.
        var candidates: [Int]
    }

    /// How many of the next claiming calls are asked whether they can still come right.
    private static let foresight = 32

    private var problem: SearchProblem
    private let limits: SearchLimits
    private var stack: [Frame] = []
    private var seen: [Configuration: [[UInt32]]] = [:]
    private var configurations = 0
    private var bytes = 0
    private var furthest: Frame?

    init(_ problem: SearchProblem, limits: SearchLimits) {
        self.problem = problem
        self.limits = limits
    }

    /// Searches to the end or to the limits. `calls` are those of the problem, for the text of a violation.
    mutating func run(_ calls: [Call]) -> Verdict {
        let used = [UInt32](repeating: 0, count: problem.forms.count)
        push(Configuration(state: problem.initial), used: used, count: 0)
        while var frame = stack.popLast() {
            if frame.count == problem.known.count { return .linearizable }
            guard let choice = frame.candidates.popLast() else { continue }
            var used = frame.used
            var configuration = frame.configuration
            var count = frame.count
            stack.append(frame)
            let item =
                choice < problem.known.count ? problem.known[choice] : problem.forms[choice - problem.known.count].item
            guard let state = problem.step(item, from: configuration.state) else { continue }
            configuration.state = state
            if choice < problem.known.count {
                configuration.linearized.insert(choice)
                count += 1
            } else {
                used[choice - problem.known.count] += 1
            }
            push(configuration, used: used, count: count)
            if configurations > limits.configurationsMax {
                return .undecided("more than \(limits.configurationsMax) configurations")
            }
            if bytes > limits.bytesMax { return .undecided("more than \(limits.bytesMax >> 20) MiB of configurations") }
        }
        return .violation(explanation(calls))
    }

    /// Puts in place what changes nothing, and stacks the configuration unless one that can do as much was seen.
    private mutating func push(_ start: Configuration, used: [UInt32], count: Int) {
        var configuration = start
        var count = count
        var earliest = earliestEnd(configuration.linearized)
        var place = configuration.linearized.first
        while place < problem.known.count, problem.known[place].begin < earliest {
            if problem.known[place].isPassive, !configuration.linearized.contains(place),
                problem.step(problem.known[place], from: configuration.state) != nil
            {
                let ends = problem.known[place].end
                configuration.linearized.insert(place)
                count += 1
                if ends == earliest { earliest = earliestEnd(configuration.linearized) }
            }
            place += 1
        }
        if count > (furthest?.count ?? -1) {
            furthest = Frame(configuration: configuration, used: used, count: count, candidates: [])
        }
        guard !isHopeless(configuration, used), remember(configuration, used) else { return }
        let frame = Frame(
            configuration: configuration, used: used, count: count,
            candidates: candidates(configuration, used, earliest))
        stack.append(frame)
    }

    /// The earliest end of a call that is not in place: what begins after it must wait for it.
    private func earliestEnd(_ linearized: Linearized) -> Int {
        var earliest = Int.max
        var place = linearized.first
        while place < problem.known.count, problem.known[place].begin < earliest {
            if !linearized.contains(place) { earliest = min(earliest, problem.known[place].end) }
            place += 1
        }
        return earliest
    }

    /// Whether one of the next calls claims a value that its key can no longer get before that call's end.
    private mutating func isHopeless(_ configuration: Configuration, _ used: [UInt32]) -> Bool {
        var place = configuration.linearized.first
        var left = Self.foresight
        while place < problem.known.count, left > 0 {
            defer { place += 1 }
            let item = problem.known[place]
            guard !configuration.linearized.contains(place), !item.isRefused, !item.claims.isEmpty else { continue }
            left -= 1
            for claim in item.claims where configuration.state[claim.key] != claim.value {
                guard
                    problem.canBecome(
                        key: claim.key, value: claim.value, from: configuration.state[claim.key], before: item.end,
                        linearized: configuration.linearized, used: used)
                else { return true }
            }
        }
        return false
    }

    /// What can come next and changes the state: known outcomes by their ends, tried first; then unknown ones.
    private mutating func candidates(
        _ configuration: Configuration, _ used: [UInt32], _ earliest: Int
    ) -> [Int] {
        var candidates: [Int] = []
        for (number, form) in problem.forms.enumerated().reversed() {
            let next = Int(used[number])
            guard next < form.begins.count, form.begins[next] < earliest,
                let state = problem.step(form.item, from: configuration.state), state != configuration.state
            else { continue }
            candidates.append(problem.known.count + number)
        }
        var known: [Int] = []
        var place = configuration.linearized.first
        while place < problem.known.count, problem.known[place].begin < earliest {
            if !configuration.linearized.contains(place),
                problem.step(problem.known[place], from: configuration.state) != nil
            {
                known.append(place)
            }
            place += 1
        }
        return candidates + known.sorted { problem.known[$0].end > problem.known[$1].end }
    }

    /// False where a configuration that can do as much was seen. Keeps (1).
    private mutating func remember(_ configuration: Configuration, _ used: [UInt32]) -> Bool {
        var standing = seen[configuration] ?? []
        if standing.contains(where: { zip($0, used).allSatisfy { $0 <= $1 } }) { return false }
        if standing.isEmpty { bytes += 64 + configuration.linearized.bytes + 32 + 4 * configuration.state.count }
        bytes += 32 + 4 * used.count
        configurations += 1
        standing.append(used)
        seen[configuration] = standing
        return true
    }

    private func explanation(_ calls: [Call]) -> String {
        guard let furthest else { return "no call" }
        let waiting = problem.known.indices.filter { !furthest.configuration.linearized.contains($0) }
        let unknown = problem.forms.reduce(0) { $0 + $1.begins.count }
        var lines = [
            "\(furthest.count) of \(problem.known.count) calls could be put in order (\(unknown) more of unknown outcome), then the "
                + "state was \(problem.describe(furthest.configuration.state)) and none of these could follow:"
        ]
        for place in waiting.prefix(8) { lines.append("  \(calls[problem.known[place].call])") }
        return lines.joined(separator: "\n")
    }
}
