/// The calls of one component, with keys and values as small numbers.
///
/// What no claim names, nor becomes one of them by appending, is told apart by nobody: all such values are one, `unseen`.
struct SearchProblem {
    /// A call as the search takes it.
    struct Item {
        /// Key and value, both as numbers.
        var claims: [(key: Int, value: Int32)]
        /// Key and new value, or text that is put behind, as numbers.
        var effects: [Change]
        var isRefused: Bool
        /// Whether it leaves every state as it is in which it is right.
        var isPassive: Bool
        var begin: Int
        var end: Int
        /// The call that it stands for.
        var call: Int
    }

    /// One key's change.
    struct Change: Hashable {
        var key: Int
        var value: Int32
        var isAppended: Bool
    }

    /// Calls of one form with unknown outcome, in the order of their begins: whoever uses one uses the earliest that is left.
    struct Form {
        var item: Item
        var begins: [Int]
    }

    /// Where an effect comes from.
    private enum Setter {
        case known(Int)
        case form(Int)
    }

    private struct KeyValue: Hashable {
        var key: Int
        var value: Int32
    }

    /// What identifies a form.
    private struct FormKey: Hashable {
        var claims: [Int: Int32]
        var effects: [Change]
    }

    /// The number of the value "absent".
    static let absent: Int32 = 0
    /// The number of every value that no claim names and that grows to none.
    private static let unseen: Int32 = 1

    private(set) var known: [Item] = []
    private(set) var forms: [Form] = []
    /// The keys, in the order of their numbers.
    private(set) var keys: [String] = []
    private var values: [String?] = [nil, "(what nobody saw)"]
    private var numbers: [String: Int32] = [:]
    private var claimed: [String]
    private var joins: [Int64: Int32] = [:]
    private var extensions: [Int64: Bool] = [:]
    private var setters: [KeyValue: [Setter]] = [:]
    private var bases: [Int: [(setter: Setter, value: Int32)]] = [:]
    private var appenders: [Int: [Setter]] = [:]

    /// `calls` in the order of their begins.
    init(_ calls: [Call]) {
        claimed = Array(Set(calls.flatMap { $0.claims.compactMap(\.value) }))
        let grows = calls.contains { $0.effects.contains { if case .append = $0 { true } else { false } } }
        var keyNumbers: [String: Int] = [:]
        for key in calls.flatMap(\.keys) where keyNumbers[key] == nil {
            keyNumbers[key] = keys.count
            keys.append(key)
        }
        for value in claimed { _ = intern(value) }
        var formNumbers: [FormKey: Int] = [:]
        for (number, call) in calls.enumerated() where !call.isVoid {
            var item = Item(
                claims: [], effects: [], isRefused: call.outcome == .refused, isPassive: true, begin: call.begin,
                end: call.end, call: number)
            for claim in call.claims { item.claims.append((keyNumbers[claim.key, default: 0], intern(claim.value))) }
            for effect in call.effects {
                let key = keyNumbers[effect.key, default: 0]
                switch effect {
                case .set(_, let value):
                    let number = grows ? seen(value) : value.map { numbers[$0] ?? Self.unseen } ?? Self.absent
                    item.effects.append(Change(key: key, value: number, isAppended: false))
                case .append(_, let text):
                    item.effects.append(Change(key: key, value: intern(text), isAppended: true))
                }
            }
            item.isPassive = item.effects.allSatisfy { effect in
                !effect.isAppended && item.claims.contains { $0.key == effect.key && $0.value == effect.value }
            }
            guard call.outcome == .unknown else {
                addSetters(of: item, as: .known(known.count))
                known.append(item)
                continue
            }
            let claims = Dictionary(item.claims.map { ($0.key, $0.value) }) { first, _ in first }
            let form = FormKey(claims: claims, effects: item.effects)
            if let standing = formNumbers[form] {
                forms[standing].begins.append(call.begin)
            } else {
                formNumbers[form] = forms.count
                addSetters(of: item, as: .form(forms.count))
                forms.append(Form(item: item, begins: [call.begin]))
            }
        }
    }

    /// Every key absent.
    var initial: [Int32] { [Int32](repeating: Self.absent, count: keys.count) }

    /// The state after an item; nil where it cannot have happened in this state.
    mutating func step(_ item: Item, from state: [Int32]) -> [Int32]? {
        let holds = item.claims.allSatisfy { state[$0.key] == $0.value }
        if item.isRefused { return holds ? nil : state }
        guard holds else { return nil }
        if item.effects.isEmpty { return state }
        var next = state
        for effect in item.effects {
            next[effect.key] = effect.isAppended ? joined(next[effect.key], effect.value) : effect.value
        }
        return next
    }

    /// A state as people read it.
    func describe(_ state: [Int32]) -> String {
        zip(keys, state).map { key, value in
            "\(key)=\(values[Int(value)].map { "'\($0)'" } ?? "absent")"
        }.joined(separator: " ")
    }

    // MARK: What can still become of a key

    /// Whether a key can have a value later: some of `linearized` and `used` are spent, and what begins at `end` or later comes too late.
    ///
    /// May say yes where the answer is no, never the other way round.
    mutating func canBecome(
        key: Int, value: Int32, from current: Int32, before end: Int, linearized: Linearized, used: [UInt32]
    ) -> Bool {
        func isLeft(_ setter: Setter) -> Bool {
            switch setter {
            case .known(let number): known[number].begin < end && !linearized.contains(number)
            case .form(let number):
                Int(used[number]) < forms[number].begins.count && forms[number].begins[Int(used[number])] < end
            }
        }
        if setters[KeyValue(key: key, value: value)]?.contains(where: isLeft) ?? false { return true }
        // Texts only grow, unless the key is set anew and grows from there.
        guard appenders[key]?.contains(where: isLeft) ?? false else { return false }
        if extends(value, current) { return true }
        for (setter, start) in bases[key] ?? [] where isLeft(setter) && extends(value, start) { return true }
        return false
    }

    private mutating func extends(_ value: Int32, _ current: Int32) -> Bool {
        guard current != Self.unseen else { return false }
        let pair = Int64(value) << 32 | Int64(current)
        if let known = extensions[pair] { return known }
        let answer = (values[Int(value)] ?? "").hasPrefix(values[Int(current)] ?? "")
        extensions[pair] = answer
        return answer
    }

    private mutating func addSetters(of item: Item, as setter: Setter) {
        for effect in item.effects {
            if effect.isAppended {
                appenders[effect.key, default: []].append(setter)
            } else {
                bases[effect.key, default: []].append((setter, effect.value))
                setters[KeyValue(key: effect.key, value: effect.value), default: []].append(setter)
            }
        }
    }

    // MARK: Values

    private mutating func intern(_ value: String?) -> Int32 {
        guard let value else { return Self.absent }
        if let known = numbers[value] { return known }
        let number = Int32(values.count)
        values.append(value)
        numbers[value] = number
        return number
    }

    /// The number of a value that grows to a claimed one, else `unseen`.
    private mutating func seen(_ value: String?) -> Int32 {
        guard let value else { return Self.absent }
        if let known = numbers[value] { return known }
        return claimed.contains { $0.hasPrefix(value) } ? intern(value) : Self.unseen
    }

    private mutating func joined(_ value: Int32, _ text: Int32) -> Int32 {
        guard value != Self.unseen else { return Self.unseen }
        let pair = Int64(value) << 32 | Int64(text)
        if let known = joins[pair] { return known }
        let number = seen((values[Int(value)] ?? "") + (values[Int(text)] ?? ""))
        joins[pair] = number
        return number
    }
}
