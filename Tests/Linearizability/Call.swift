/// An operation with its outcome and its place in time, in the form that the search works on.
///
/// Every action comes down to claims about the state and effects on it: a read is a claim alone, a write an effect alone, a
/// compare-and-set both. A refusal claims that not all of its claims hold. What nobody knows the outcome of either has its effects, at
/// a moment after its begin when its claims hold, or none.
package struct Call: Hashable, Sendable {
    /// A key has a value.
    package struct Claim: Hashable, Sendable {
        /// The key.
        package var key: String
        /// Its value; nil where the key is absent.
        package var value: String?
    }

    /// What becomes of a key.
    package enum Effect: Hashable, Sendable {
        /// It gets a value; nil removes it.
        case set(key: String, value: String?)
        /// A text is put behind its value.
        case append(key: String, text: String)

        /// The key.
        package var key: String {
            switch self {
            case .set(let key, _), .append(let key, _): key
            }
        }
    }

    /// How an operation ended.
    package enum Outcome: Hashable, Sendable {
        /// Its claims held and its effects are there.
        case done
        /// Not all of its claims held; it had no effect.
        case refused
        /// It may have been done, may still be done, or never.
        case unknown
    }

    /// Who asked.
    package var process: Int
    /// What held when it was done.
    package var claims: [Claim]
    /// What it did.
    package var effects: [Effect]
    /// How it ended.
    package var outcome: Outcome
    /// The place of its first event in the history, from 0.
    package var begin: Int
    /// The place of its last event; `Int.max` where the outcome is unknown.
    package var end: Int

    /// The call of `action`, which began and ended at these places of the history.
    package init(process: Int, action: Action, outcome: Outcome, begin: Int, end: Int) {
        self.process = process
        self.outcome = outcome
        self.begin = begin
        self.end = outcome == .unknown ? .max : end
        claims = []
        effects = []
        // What an operation of unknown outcome has read nobody saw.
        let isSeen = outcome == .done
        switch action {
        case .read(let key, let value):
            if isSeen { claims = [Claim(key: key, value: value)] }
        case .write(let key, let value):
            effects = [.set(key: key, value: value)]
        case .append(let key, let text):
            effects = [.append(key: key, text: text)]
        case .compareAndSet(let key, let expected, let new):
            claims = [Claim(key: key, value: expected)]
            effects = [.set(key: key, value: new)]
        case .transaction(let steps):
            for step in steps {
                switch step {
                case .compare(let key, let value): claims.append(Claim(key: key, value: value))
                case .read(let key, let value): if isSeen { claims.append(Claim(key: key, value: value)) }
                case .write(let key, let value): effects.append(.set(key: key, value: value))
                }
            }
        }
        if outcome == .refused { effects = [] }
    }

    /// The keys that it is about, in the order in which it names them.
    package var keys: [String] { claims.map(\.key) + effects.map(\.key) }

    /// Whether it says nothing about the state and does nothing to it.
    var isVoid: Bool { effects.isEmpty && (claims.isEmpty || outcome == .unknown) && outcome != .refused }
}

extension Call: CustomStringConvertible {
    /// One line: who, what, how it ended, and the places of its events.
    package var description: String {
        func text(_ value: String?) -> String { value.map { "'\($0)'" } ?? "absent" }
        let claims = claims.map { "\($0.key) is \(text($0.value))" }
        let effects = effects.map { effect in
            switch effect {
            case .set(let key, let value): "\(key) becomes \(text(value))"
            case .append(let key, let value): "\(key) grows by \(text(value))"
            }
        }
        let what = (claims + effects).joined(separator: ", ")
        let span = end == .max ? "from \(begin)" : "\(begin) to \(end)"
        return "process \(process), events \(span), \(outcome): \(what)"
    }
}

/// A history that is none: an event that cannot follow the ones before it.
package struct HistoryError: Error, CustomStringConvertible {
    /// The line of the event, from 1.
    package var line: Int
    /// What is wrong with it.
    package var message: String

    /// An error at a line.
    package init(line: Int, _ message: String) {
        self.line = line
        self.message = message
    }

    /// The line, then what is wrong.
    package var description: String { "line \(line): \(message)" }
}

extension Call {
    /// Pairs the events of a history, given in their order in time, to calls in the order of their begins.
    ///
    /// What certainly did not happen and proves nothing is left out; what has no end by the end of the history is unknown.
    package static func pair(_ events: [HistoryEvent]) throws(HistoryError) -> [Call] {
        var open: [Int: (action: Action, begin: Int)] = [:]
        var calls: [Call] = []
        for (place, event) in events.enumerated() {
            if event.kind == .invoke {
                guard let action = event.action else { throw HistoryError(line: place + 1, "begins nothing") }
                guard open.updateValue((action, place), forKey: event.process) == nil else {
                    throw HistoryError(line: place + 1, "process \(event.process) has an operation under way")
                }
                continue
            }
            guard let (asked, begin) = open.removeValue(forKey: event.process) else {
                throw HistoryError(line: place + 1, "process \(event.process) has no operation under way")
            }
            let outcome: Outcome
            switch event.kind {
            case .fail where !event.isRefusal: continue
            case .fail: outcome = .refused
            case .info: outcome = .unknown
            case .ok, .invoke: outcome = .done
            }
            let action = outcome == .done ? event.action ?? asked : asked
            guard outcome != .done || asked.isAsked(by: action) else {
                throw HistoryError(line: place + 1, "process \(event.process) ended another operation than it began")
            }
            calls.append(Call(process: event.process, action: action, outcome: outcome, begin: begin, end: place))
        }
        for (process, (action, begin)) in open {
            calls.append(Call(process: process, action: action, outcome: .unknown, begin: begin, end: .max))
        }
        return calls.sorted { $0.begin < $1.begin }
    }
}

extension Action {
    /// Whether `done` is this operation with what it read filled in.
    fileprivate func isAsked(by done: Action) -> Bool {
        switch (self, done) {
        case (.read(let key, _), .read(let other, _)): return key == other
        case (.transaction(let steps), .transaction(let others)):
            guard steps.count == others.count else { return false }
            return zip(steps, others).allSatisfy { step, other in
                if case (.read(let key, _), .read(let otherKey, _)) = (step, other) { return key == otherKey }
                return step == other
            }
        default: return self == done
        }
    }
}
