internal import Linearizability

/// A judge that tries every order of every choice of calls: slow, and simple enough to be believed.
enum BruteForce {
    static func isLinearizable(_ calls: [Call]) -> Bool { extends([:], calls) }

    /// Whether the calls that are left can be put in order from this state on.
    private static func extends(_ state: [String: String], _ left: [Call]) -> Bool {
        guard left.contains(where: { $0.outcome != .unknown }) else { return true }
        for (place, call) in left.enumerated() {
            // Whatever ended before it began comes first.
            if left.contains(where: { $0.end < call.begin }) { continue }
            guard let next = apply(call, to: state) else { continue }
            var rest = left
            rest.remove(at: place)
            if extends(next, rest) { return true }
        }
        return false
    }

    private static func apply(_ call: Call, to state: [String: String]) -> [String: String]? {
        let holds = call.claims.allSatisfy { state[$0.key] == $0.value }
        if call.outcome == .refused { return holds ? nil : state }
        // An unknown call whose compare does not hold was refused.
        if !holds { return call.outcome == .unknown ? state : nil }
        var next = state
        for effect in call.effects {
            switch effect {
            case .set(let key, let value): next[key] = value
            case .append(let key, let text): next[key] = (next[key] ?? "") + text
            }
        }
        return next
    }
}
