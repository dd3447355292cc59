import Testing

@testable import ReplicaCore

@Suite struct HistoryTests {
    @Test(arguments: UInt64(0)..<24) func `random transactions answer as a plain dictionary of histories would`(
        seed: UInt64
    ) throws {
        var replica = try TestReplica()
        var model = HistoryModel()
        var traffic = KeyTraffic(random: SeededRandom(seed: seed))
        var live: [WatchEvent] = []
        for _ in 0..<150 {
            // Several commands in a group: later ones read what earlier ones wrote.
            var commands: [Command] = []
            traffic.revision = model.revision
            for _ in 0...traffic.random.below(4) { commands.append(traffic.command()) }
            let outcomes = try replica.apply(commands.map { Envelope(time: 1, command: $0) })
            live += replica.output.events
            for (command, outcome) in zip(commands, outcomes) { check(command, outcome, &model, seed) }
            if traffic.random.chance(1, in: 12) { try replica.restart() }
            if traffic.random.chance(1, in: 15), model.revision > replica.point.compactRevision {
                let revision = UInt64.random(
                    in: (replica.point.compactRevision + 1)...model.revision, using: &traffic.random)
                #expect(try replica.run(.compact(revision: revision)) == .done(revision: model.revision))
            }
            if traffic.random.chance(1, in: 10) { try sweepPartly(&replica, &traffic.random) }
            try checkReads(replica, model, &traffic, seed)
        }
        #expect(live == model.events(from: 0, .prefix([]), withPrevious: false), "seed \(seed)")
        #expect(model.revision > 50)
    }

    private func check(_ command: Command, _ outcome: Outcome, _ model: inout HistoryModel, _ seed: UInt64) {
        switch command {
        case .put(let key, let value, _):
            let result = model.apply(Transaction(compares: [], then: [.put(key: key, value: value, lease: 0)]))
            #expect(outcome == .done(revision: result.revision), "seed \(seed)")
        case .delete(let keys):
            let result = model.apply(Transaction(compares: [], then: [.delete(keys)]))
            guard case .deleted(let count)? = result.results.first else { return }
            #expect(outcome == .deleted(revision: result.revision, count: count), "seed \(seed)")
        case .transaction(let transaction):
            if transaction.refusal != nil {
                #expect(outcome.refusal?.code == .invalidArgument, "seed \(seed)")
            } else {
                #expect(outcome == .transaction(model.apply(transaction)), "seed \(seed)")
            }
        default: Issue.record("unexpected command")
        }
    }

    /// Stops anywhere: what is left must answer the same.
    private func sweepPartly(_ replica: inout TestReplica, _ random: inout SeededRandom) throws {
        var sweep = try CompactionSweep(loading: replica.rows)
        for _ in 0...random.below(12) {
            var batch = WriteBatch()
            _ = try sweep.step(at: replica.point, rowsMax: 1 + random.below(6), rows: replica.rows, into: &batch)
            try replica.rows.write(batch)
        }
    }

    private func checkReads(
        _ replica: TestReplica,
        _ model: HistoryModel,
        _ traffic: inout KeyTraffic,
        _ seed: UInt64
    ) throws {
        let point = replica.point
        var query = traffic.query()
        #expect(try replica.range(query) == model.range(query), "seed \(seed) \(query)")
        let floor = max(point.compactRevision, 1)
        guard floor <= model.revision else { return }
        query.revision = UInt64.random(in: floor...model.revision, using: &traffic.random)
        #expect(try replica.range(query) == model.range(query), "seed \(seed) \(query)")
        let keys = traffic.selector()
        let first = UInt64.random(in: max(point.feedFloor, 1)...(model.revision + 1), using: &traffic.random)
        let withPrevious = traffic.random.chance(1, in: 2)
        var next = first
        var events: [WatchEvent] = []
        while next <= model.revision {
            let page = try FeedReader.events(
                from: next, keys: keys, withPrevious: withPrevious, eventsMax: 1 + traffic.random.below(9), at: point,
                rows: replica.rows)
            try #require(page.next > next)
            next = page.next
            events += page.events
        }
        var expected = model.events(from: first, keys, withPrevious: withPrevious)
        // What was before the floor itself may be swept.
        for place in expected.indices where expected[place].revision <= point.feedFloor {
            expected[place].previous = nil
        }
        #expect(events == expected, "seed \(seed) from \(first) \(keys)")
    }

    @Test func `reads and watches below the compact revision are refused with the earliest one`() throws {
        var replica = try TestReplica()
        for value in 1...5 { _ = try replica.put("a", "\(value)") }
        _ = try replica.run(.delete(.key("a".asBytes)))
        _ = try replica.run(.compact(revision: 4))
        try replica.sweep()
        #expect(try replica.get("a", revision: 4)?.value == "4".asBytes)
        #expect(try replica.get("a") == nil)
        let read = #expect(throws: QueryError.self) { try replica.get("a", revision: 3) }
        #expect(read?.refusal?.code == .compacted && read?.refusal?.earliestRevision == 4)
        let watch = #expect(throws: QueryError.self) {
            try FeedReader.events(from: 3, keys: .prefix([]), at: replica.point, rows: replica.rows)
        }
        #expect(watch?.refusal?.code == .compacted && watch?.refusal?.earliestRevision == 4)
        let future = #expect(throws: QueryError.self) { try replica.get("a", revision: 7) }
        #expect(future?.refusal?.code == .invalidArgument)
        let page = try FeedReader.events(from: 4, keys: .prefix([]), at: replica.point, rows: replica.rows)
        #expect(page.events.map(\.kind) == [.put, .put, .delete] && page.next == 7)
    }

    @Test func `a watch from the compact revision shows a deletion made by it`() throws {
        var replica = try TestReplica()
        _ = try replica.put("a", "1")
        _ = try replica.run(.delete(.key("a".asBytes)))
        _ = try replica.run(.compact(revision: 2))
        try replica.sweep()
        let page = try FeedReader.events(from: 2, keys: .prefix([]), at: replica.point, rows: replica.rows)
        #expect(page.events.map(\.kind) == [.delete])
        _ = try replica.put("b", "1")
        _ = try replica.run(.compact(revision: 3))
        try replica.sweep()
        let left = replica.rows.rows.filter { $0.key.first == UInt8(ascii: "k") }
        #expect(left.count == 1)
    }

    @Test func `a sweep leaves one row for each live key and no feed below the floor`() throws {
        var replica = try TestReplica()
        for round in 0..<20 { for key in ["a", "b", "c"] { _ = try replica.put(key, "\(round)") } }
        _ = try replica.run(.delete(.key("b".asBytes)))
        _ = try replica.put("d", "1")
        _ = try replica.run(.compact(revision: replica.point.revision))
        try replica.sweep(rowsMax: 3)
        #expect(replica.rows.rows.count { $0.key.first == UInt8(ascii: "k") } == 3)
        #expect(replica.rows.rows.count { $0.key.first == UInt8(ascii: "f") } == 1)
        #expect(try replica.range(RangeQuery(.prefix([]))).kvs.map(\.key) == ["a", "c", "d"].map(\.asBytes))
    }

    @Test func `a long history of one key does not hide its neighbours`() throws {
        var replica = try TestReplica()
        for key in ["a", "b", "c"] { for value in 0..<30 { _ = try replica.put(key, "\(value)") } }
        for order in [RangeQuery.Order.ascending, .descending] {
            let now = try replica.range(RangeQuery(.prefix([]), order: order))
            #expect(now.kvs.count == 3 && now.kvs.allSatisfy { $0.version == 30 })
            let past = try replica.range(RangeQuery(.prefix([]), revision: 31, order: order))
            let expected = ["a": UInt64(30), "b": 1]
            #expect(past.kvs.count == 2)
            for kv in past.kvs { #expect(expected[String(decoding: kv.key, as: UTF8.self)] == kv.version) }
        }
    }

    @Test func `an answer ends with more at its bytes`() throws {
        var replica = try TestReplica()
        for key in ["a", "b", "c"] { _ = try replica.put(key, String(repeating: "x", count: 100)) }
        let page = try History.range(RangeQuery(.prefix([])), at: replica.point, bytesMax: 210, rows: replica.rows)
        #expect(page.kvs.count == 2 && page.more)
        let least = try History.range(RangeQuery(.prefix([])), at: replica.point, bytesMax: 1, rows: replica.rows)
        #expect(least.kvs.count == 1 && least.more)
    }

    @Test func `a range delete is one effect and its watch shows every key`() throws {
        var replica = try TestReplica()
        for key in ["a1", "a2", "b"] { _ = try replica.put(key, "1") }
        #expect(try replica.run(.delete(.prefix("a".asBytes))) == .deleted(revision: 4, count: 2))
        let row = try #require(try replica.rows.get(RowKey.feed(4)))
        #expect(try FeedRecord(decoding: row).effects == [.delete(.user, .prefix("a".asBytes))])
        let page = try FeedReader.events(
            from: 4, keys: .prefix("a".asBytes), withPrevious: true, at: replica.point, rows: replica.rows)
        #expect(page.events.map(\.kv.key) == ["a1", "a2"].map(\.asBytes))
        #expect(page.events.allSatisfy { $0.kind == .delete && $0.previous?.value == "1".asBytes })
        #expect(try replica.run(.delete(.prefix("a".asBytes))) == .deleted(revision: 4, count: 0))
        #expect(replica.output.chain.isEmpty)
    }
}
