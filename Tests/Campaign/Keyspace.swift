internal import Processes
internal import Synchronization

/// The keys that clients use now. Each group is given up after some hundred operations, so that its history stays short enough to
/// be judged.
final class Keyspace: Sendable {
    /// Keys that transactions may tie together.
    struct Group: Sendable {
        /// The keys; one for a register.
        var keys: [String]
    }

    private struct State {
        var generation = 0
        var groups: [(group: Group, left: Int)] = []
    }

    private static let operations = 120
    private static let registers = 3
    private static let triples = 1

    private let state: Mutex<State>

    init() {
        var first = State()
        for place in 0..<(Self.registers + Self.triples) { first.groups.append(Self.make(place, &first.generation)) }
        state = Mutex(first)
    }

    /// A group for one operation.
    func draw(_ numbers: inout SeededNumbers) -> Group {
        let place = Int.random(in: 0..<(Self.registers + Self.triples), using: &numbers)
        return state.withLock { state in
            if state.groups[place].left == 0 { state.groups[place] = Self.make(place, &state.generation) }
            state.groups[place].left -= 1
            return state.groups[place].group
        }
    }

    private static func make(_ place: Int, _ generation: inout Int) -> (group: Group, left: Int) {
        generation += 1
        let number = generation
        guard place >= registers else { return (Group(keys: ["register-\(number)"]), operations) }
        return (Group(keys: ["a", "b", "c"].map { "group-\(number)/\($0)" }), operations)
    }
}
