import Testing

@testable import ReplicaCore

@Suite struct SessionTests {
    private func put(_ session: UInt64, _ sequence: UInt64, lowest: UInt64 = 1, _ key: String = "a") -> Envelope {
        Envelope(
            session: session, sequence: sequence, lowestUnanswered: lowest, time: 1,
            command: .put(key: key.asBytes, value: "1".asBytes, lease: 0))
    }

    private func open(_ session: UInt64) -> Envelope { Envelope(session: session, time: 1, command: .openSession) }

    @Test func `a command repeated in its session is applied once and answered alike`() throws {
        var replica = try TestReplica()
        try replica.apply([open(7)])
        #expect(try replica.apply([put(7, 1), put(7, 1), put(7, 2)]) == [1, 1, 2].map { .done(revision: $0) })
        #expect(replica.output.outcomes.map(\.isRepeated) == [false, true, false])
        try replica.restart()
        #expect(try replica.apply([put(7, 2), put(7, 1)]) == [2, 1].map { .done(revision: $0) })
        #expect(try replica.get("a")?.version == 2)
    }

    @Test func `a refusal that decides something is kept, and one that decides nothing is not`() throws {
        var replica = try TestReplica(members: Members(voters: [1]))
        let id = UploadID(1, 1)
        try replica.apply([open(7)])
        let retire = Envelope(
            session: 7, sequence: 1, lowestUnanswered: 1, time: 1, command: .retire(name: "m", version: "1"))
        #expect(try replica.apply([retire]).first?.refusal?.code == .notFound)
        _ = try replica.run(.uploadBegin(id, name: "m", version: nil))
        _ = try replica.run(.uploadAdd(id, first: 0, ids: [ChunkID(0, 0, 0, 1)]))
        func publish(_ nodes: [UInt64]) -> Envelope {
            Envelope(
                session: 7, sequence: 2, lowestUnanswered: 1, time: 1,
                command: .publish(
                    Publication(
                        upload: id, name: "m", version: nil, root: ChunkID(0, 0, 0, 1), bytes: 1, chunks: 1, files: 1,
                        durableOn: nodes.map { .init(node: $0, incarnation: .zero) })))
        }
        #expect(try replica.apply([publish([])]).first?.refusal?.code == .unavailable)
        #expect(try replica.apply([publish([1])]).first?.model?.version == "1")
        #expect(try replica.apply([retire]).first?.refusal?.code == .notFound)
        #expect(replica.output.outcomes.first?.isRepeated == true)
    }

    @Test func `answers below the lowest unanswered are dropped and never applied again`() throws {
        var replica = try TestReplica()
        try replica.apply([open(7), put(7, 1), put(7, 2), put(7, 3, lowest: 3)])
        let late = try replica.apply([put(7, 2)])
        #expect(late.first?.refusal?.code == .invalidArgument)
        #expect(late.first?.refusal?.message.contains("already acknowledged") == true)
        #expect(try replica.get("a")?.version == 3)
        #expect(try replica.apply([put(7, 3, lowest: 3)]) == [.done(revision: 3)])
    }

    @Test func `an unknown, closed or zero session is refused`() throws {
        var replica = try TestReplica()
        #expect(try replica.apply([put(9, 1)]).first?.refusal?.code == .sessionExpired)
        let close = Envelope(session: 9, time: 1, command: .closeSession)
        #expect(
            try replica.apply([open(9), close, put(9, 1), close]).map(\.refusal?.code) == [
                nil, nil, .sessionExpired, .sessionExpired,
            ])
        #expect(try replica.apply([open(0)]).first?.refusal?.code == .invalidArgument)
        #expect(replica.rows.rows.count { $0.key.first == UInt8(ascii: "s") } == 0)
    }

    @Test func `sequence numbers outside the window are refused`() throws {
        var replica = try TestReplica()
        try replica.apply([open(7)])
        #expect(try replica.apply([put(7, 0)]).first?.refusal?.code == .invalidArgument)
        #expect(try replica.apply([put(7, 2, lowest: 3)]).first?.refusal?.code == .invalidArgument)
        #expect(try replica.apply([put(7, 1 + Limits.sessionWindow)]).first?.refusal?.code == .resourceExhausted)
        #expect(try replica.apply([put(7, Limits.sessionWindow)]) == [.done(revision: 1)])
        #expect(try replica.apply([put(7, .max, lowest: .max)]) == [.done(revision: 2)])
        #expect(try replica.apply([put(7, .max, lowest: .max)]) == [.done(revision: 2)])
        try replica.restart()
        #expect(try replica.apply([put(7, .max, lowest: .max)]) == [.done(revision: 2)])
    }

    @Test func `opening a session again keeps its answers`() throws {
        var replica = try TestReplica()
        try replica.apply([open(7), put(7, 1), open(7)])
        #expect(try replica.apply([put(7, 1)]) == [.done(revision: 1)])
        #expect(replica.applier.sessionCount == 1)
    }

    @Test func `a large answer is kept without what it read`() throws {
        var replica = try TestReplica()
        _ = try replica.run(.put(key: "a".asBytes, value: [UInt8](repeating: 1, count: 5_000)[...], lease: 0))
        let transaction = Transaction(
            compares: [], then: [.put(key: "b".asBytes, value: [], lease: 0), .range(RangeQuery(.key("a".asBytes)))])
        let envelope = Envelope(
            session: 7, sequence: 1, lowestUnanswered: 1, time: 1, command: .transaction(transaction))
        try replica.apply([open(7)])
        #expect(try replica.apply([envelope]).first?.transaction?.results.count == 2)
        let again = try #require(try replica.apply([envelope]).first?.transaction)
        #expect(again.resultsDropped && again.results.isEmpty && again.succeeded && again.revision == 2)
    }

    @Test func `the session used least recently makes room, and the row goes with it`() throws {
        var table = SessionTable(countMax: 4, evictedTogether: 2)
        var command: UInt64 = 0
        for id in UInt64(1)...4 {
            command += 1
            table.open(id, command: command)
        }
        command += 1
        table.open(1, command: command)
        command += 1
        table.open(5, command: command)
        #expect(table.count == 3)
        var batch = WriteBatch()
        table.flush(into: &batch)
        var rows = ArrayRows()
        try rows.write(batch)
        #expect(rows.rows.map(\.key) == [1, 4, 5].map(RowKey.session))
        guard case .refused(let refusal) = table.admit(2, sequence: 1, lowestUnanswered: 1, command: 9) else {
            Issue.record("session 2 should be gone")
            return
        }
        #expect(refusal.code == .sessionExpired)
    }

    @Test func `kept answers have a bound over all sessions`() {
        var table = SessionTable(keptBytesMax: 3_000)
        let outcome = Outcome.refused(Refusal(.notFound, String(repeating: "x", count: 900)))
        for id in UInt64(1)...6 {
            table.open(id, command: id * 2)
            table.keep(outcome, of: id, sequence: 1)
        }
        #expect(table.count == 3)
    }

    @Test(arguments: UInt64(0)..<10) func `a session answers as a plain dictionary would`(seed: UInt64) throws {
        var random = SeededRandom(seed: seed)
        var session = ClientSession(id: 1, lastUsed: 1)
        var kept: [UInt64: Outcome] = [:]
        var lowest: UInt64 = 1
        for step in 0..<2_000 {
            if random.chance(1, in: 4) {
                lowest += UInt64(random.below(40))
                session.acknowledge(below: lowest)
                kept = kept.filter { $0.key >= lowest }
            }
            let sequence = lowest + UInt64(random.below(120))
            if session.answer(to: sequence) == nil {
                let outcome: Outcome =
                    random.chance(1, in: 5)
                    ? .deleted(revision: random.number(), count: 1) : .done(revision: random.number())
                session.keep(outcome, sequence: sequence)
                kept[sequence] = outcome
            }
            if step % 100 == 0 { session = try ClientSession(decoding: session.encoded()) }
            for sequence in lowest..<(lowest + 120) {
                #expect(session.answer(to: sequence) == kept[sequence], "seed \(seed)")
            }
        }
        session.acknowledge(below: .max)
        #expect(session.keptBytes == 0)
    }

    @Test func `a thousand outstanding puts make a row of a few kilobytes`() {
        var session = ClientSession(id: 1, lastUsed: 1)
        for sequence in UInt64(1)...1_000 { session.keep(.done(revision: 1_000_000 + sequence), sequence: sequence) }
        #expect(session.encoded().count < 4_100)
    }
}
