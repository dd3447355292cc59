/// Judges whole histories: splits them into components of keys that transactions tie together, and searches each by itself
/// (linearizability is local: Herlihy and Wing, 1990).
package struct HistoryChecker: Sendable {
    /// What was found of a history.
    package struct Report: Sendable {
        /// The keys of a component with what was found of it.
        package struct Finding: Hashable, Sendable {
            /// The component's keys, in the order of their first use.
            package var keys: [String]
            /// What was found.
            package var verdict: Verdict
        }

        /// How many components there were.
        package var components = 0
        /// How many calls were judged.
        package var calls = 0
        /// The components that are not linearizable, or of which that is not known.
        package var findings: [Finding] = []

        /// The worst verdict: a violation, else undecided, else linearizable.
        package var verdict: Verdict {
            findings.first { if case .violation = $0.verdict { true } else { false } }?.verdict
                ?? findings.first?.verdict ?? .linearizable
        }
    }

    private let limits: SearchLimits

    /// A checker that may spend `limits` on each component.
    package init(limits: SearchLimits = SearchLimits()) { self.limits = limits }

    /// Judges the calls of a history, in any order.
    package func check(_ calls: [Call]) -> Report {
        var report = Report()
        for component in Self.components(calls.sorted { $0.begin < $1.begin }) {
            report.components += 1
            report.calls += component.count
            let problem = SearchProblem(component)
            var search = Search(problem, limits: limits)
            let verdict = search.run(component)
            if verdict != .linearizable { report.findings.append(.init(keys: problem.keys, verdict: verdict)) }
        }
        return report
    }

    /// The calls by component, in the order of first use.
    private static func components(_ calls: [Call]) -> [[Call]] {
        var parents: [Int] = []
        var numbers: [String: Int] = [:]
        func root(_ number: Int) -> Int {
            var number = number
            while parents[number] != number { number = parents[number] }
            return number
        }
        for call in calls {
            var first: Int?
            for key in call.keys {
                let number = numbers[key] ?? parents.count
                if number == parents.count {
                    numbers[key] = number
                    parents.append(number)
                }
                let other = root(number)
                // The lower number becomes the root, so that the order of first use stays.
                if let first { parents[max(first, other)] = min(first, other) }
                first = min(first ?? other, other)
            }
        }
        var components: [Int: [Call]] = [:]
        for call in calls {
            guard let key = call.keys.first, let number = numbers[key] else { continue }
            components[root(number), default: []].append(call)
        }
        return components.sorted { $0.key < $1.key }.map(\.value)
    }
}
