internal import Linearizability
internal import Processes
internal import Testing

/// The checker against a judge that tries every order, and on the cases that decide what it means.
@Suite struct CheckerTests {
    @Test("the search agrees with a judge that tries every order", arguments: [1, 2, 3, 4] as [UInt64])
    func agreesWithBruteForce(seed: UInt64) {
        print("seed \(seed)")
        var numbers = SeededNumbers(seed: seed)
        var right = 0
        for round in 0..<1_500 {
            let calls = Self.randomCalls(&numbers)
            let expected = BruteForce.isLinearizable(calls)
            let verdict = HistoryChecker().check(calls).verdict
            #expect((verdict == .linearizable) == expected, "seed \(seed) round \(round): \(verdict) for \(calls)")
            if case .undecided = verdict { Issue.record("a history of seven calls is undecided") }
            if expected { right += 1 }
        }
        #expect((200...1_300).contains(right), "both verdicts must be common: \(right)")
    }

    @Test("histories that a store made in order are linearizable, and with one read changed they are not")
    func longHistories() throws {
        var numbers = SeededNumbers(seed: 7)
        print("seed 7")
        for _ in 0..<20 {
            let calls = Self.storeHistory(&numbers, count: 400, unknown: 12)
            #expect(HistoryChecker().check(calls).verdict == .linearizable)
            // The last read sees a value that was never written.
            let place = try #require(
                calls.lastIndex { $0.effects.isEmpty && $0.outcome == .done && !$0.claims.isEmpty })
            var changed = calls
            changed[place].claims[0].value = "never"
            guard case .violation = HistoryChecker().check(changed).verdict else {
                Issue.record("a value from nowhere was read")
                continue
            }
        }
    }

    @Test("a read that ended before a write began cannot see it")
    func realTime() {
        #expect(Self.judge(.read(key: "a", value: "1"), then: .write(key: "a", value: "1")) != .linearizable)
        #expect(Self.judge(.write(key: "a", value: "1"), then: .read(key: "a", value: "1")) == .linearizable)
        #expect(Self.judge(.write(key: "a", value: "1"), then: .read(key: "a", value: nil)) != .linearizable)
    }

    @Test("a write of unknown outcome may take effect late, once, or never")
    func unknownOutcome() {
        func call(_ action: Action, _ begin: Int, _ outcome: Call.Outcome = .done) -> Call {
            Call(process: begin, action: action, outcome: outcome, begin: begin, end: begin + 1)
        }
        let unknown = call(.write(key: "a", value: "u"), 0, .unknown)
        let write = call(.write(key: "a", value: "w"), 2)
        func read(_ value: String?, _ begin: Int) -> Call { call(.read(key: "a", value: value), begin) }
        func verdict(_ calls: Call...) -> Verdict { HistoryChecker().check(calls).verdict }
        #expect(verdict(unknown, write, read("w", 4), read("w", 6)) == .linearizable)
        #expect(verdict(unknown, write, read("w", 4), read("u", 6)) == .linearizable)
        #expect(verdict(unknown, read(nil, 4), read("u", 6), read(nil, 8)) != .linearizable)
        #expect(verdict(unknown, write, read("u", 4), read("w", 6), read("u", 8)) != .linearizable)
    }

    @Test("a refused compare-and-set says that the key had another value")
    func refusals() {
        func refused(_ expected: String?) -> Verdict {
            let action = Action.compareAndSet(key: "a", expected: expected, new: "n")
            return HistoryChecker().check([
                Call(process: 1, action: .write(key: "a", value: "1"), outcome: .done, begin: 0, end: 1),
                Call(process: 1, action: action, outcome: .refused, begin: 2, end: 3),
            ]).verdict
        }
        #expect(refused("2") == .linearizable)
        #expect(refused(nil) == .linearizable)
        #expect(refused("1") != .linearizable)
    }

    @Test("a transaction is seen whole or not at all")
    func transactions() {
        func verdict(_ seen: [String?]) -> Verdict {
            let write = Action.transaction([.write(key: "a", value: "1"), .write(key: "b", value: "1")])
            let read = Action.transaction([.read(key: "a", value: seen[0]), .read(key: "b", value: seen[1])])
            return HistoryChecker().check([
                Call(process: 1, action: write, outcome: .done, begin: 0, end: 3),
                Call(process: 2, action: read, outcome: .done, begin: 1, end: 2),
            ]).verdict
        }
        #expect(verdict([nil, nil]) == .linearizable)
        #expect(verdict(["1", "1"]) == .linearizable)
        #expect(verdict(["1", nil]) != .linearizable)
        #expect(verdict([nil, "1"]) != .linearizable)
    }

    @Test("a search that runs out of room is undecided, never wrong")
    func boundedRoom() {
        // Each key alone can end as it was read, both together cannot: every order of the writes must be tried.
        var calls = (0..<10).map { writer in
            let write = Action.transaction([
                .write(key: "a", value: "\(writer)"), .write(key: "b", value: "\(writer)"),
            ])
            return Call(process: writer, action: write, outcome: .done, begin: writer, end: 99)
        }
        let read = Action.transaction([.read(key: "a", value: "3"), .read(key: "b", value: "4")])
        calls.append(Call(process: 50, action: read, outcome: .done, begin: 100, end: 101))
        let tight = HistoryChecker(limits: SearchLimits(configurationsMax: 100)).check(calls).verdict
        #expect(tight == .undecided("more than 100 configurations"))
        let small = HistoryChecker(limits: SearchLimits(bytesMax: 10_000)).check(calls).verdict
        #expect(small == .undecided("more than 0 MiB of configurations"))
        guard case .violation = HistoryChecker().check(calls).verdict else {
            Issue.record("halves of two transactions were read together")
            return
        }
    }

    // MARK: Histories

    private static func judge(_ first: Action, then second: Action) -> Verdict {
        HistoryChecker().check([
            Call(process: 1, action: first, outcome: .done, begin: 0, end: 1),
            Call(process: 2, action: second, outcome: .done, begin: 2, end: 3),
        ]).verdict
    }

    /// Seven calls at most on two keys, with few values so that many orders are right.
    private static func randomCalls(_ numbers: inout SeededNumbers) -> [Call] {
        let count = Int.random(in: 2...7, using: &numbers)
        let places = Array(0..<(2 * count)).shuffled(using: &numbers)
        func value() -> String? { [nil, "1", "2", "3"].randomElement(using: &numbers) ?? nil }
        func key() -> String { Bool.random(using: &numbers) ? "a" : "b" }
        return (0..<count).map { number in
            let action: Action
            switch Int.random(in: 0..<8, using: &numbers) {
            case 0, 1, 2: action = .read(key: key(), value: value())
            case 3, 4: action = .write(key: key(), value: value())
            case 5: action = .compareAndSet(key: key(), expected: value(), new: value())
            case 6: action = .append(key: key(), text: "1")
            default:
                action = .transaction([
                    .compare(key: key(), value: value()), .read(key: "a", value: value()),
                    .write(key: "b", value: value()),
                ])
            }
            let span = [places[2 * number], places[2 * number + 1]].sorted()
            var outcome: Call.Outcome = [.done, .done, .unknown].randomElement(using: &numbers) ?? .done
            if case .compareAndSet = action, Bool.random(using: &numbers) { outcome = .refused }
            return Call(process: number, action: action, outcome: outcome, begin: span[0], end: span[1])
        }.sorted { $0.begin < $1.begin }
    }

    /// What clients of a correct store see: each call takes effect at a moment between its begin and its end.
    private static func storeHistory(_ numbers: inout SeededNumbers, count: Int, unknown: Int) -> [Call] {
        let unknowns = Set((0..<unknown).map { _ in Int.random(in: 0..<count, using: &numbers) })
        var state: String?
        var calls: [Call] = []
        for number in 0..<count {
            let moment = 100 * number + 50
            let begin = moment - Int.random(in: 0..<500, using: &numbers)
            let end = moment + 1 + Int.random(in: 0..<500, using: &numbers)
            let isUnknown = unknowns.contains(number)
            let happens = !isUnknown || Bool.random(using: &numbers)
            var outcome: Call.Outcome = isUnknown ? .unknown : .done
            let action: Action
            switch Int.random(in: 0..<3, using: &numbers) {
            case 0: action = .read(key: "a", value: state)
            case 1:
                action = .write(key: "a", value: "w\(number)")
                if happens { state = "w\(number)" }
            default:
                let expected = Bool.random(using: &numbers) ? state : "w\(Int.random(in: 0..<count, using: &numbers))"
                action = .compareAndSet(key: "a", expected: expected, new: "c\(number)")
                if expected != state, !isUnknown { outcome = .refused }
                if expected == state, happens { state = "c\(number)" }
            }
            calls.append(Call(process: number, action: action, outcome: outcome, begin: begin, end: end))
        }
        return calls.sorted { $0.begin < $1.begin }
    }
}
