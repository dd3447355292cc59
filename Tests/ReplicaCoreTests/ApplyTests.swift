import Testing

@testable import ReplicaCore

@Suite struct ApplyTests {
    /// A log of everything that can happen, over few enough names that commands meet.
    private func log(_ seed: UInt64, entries: Int) -> [CommittedEntry] {
        var traffic = KeyTraffic(random: SeededRandom(seed: seed))
        var models = ModelTraffic(random: SeededRandom(seed: seed &+ 1_000))
        var random = SeededRandom(seed: seed &+ 2_000)
        var log: [CommittedEntry] = []
        for index in 1...UInt64(entries) {
            if random.chance(1, in: 40) {
                let change = MembershipTraffic.change(&random)
                log.append(CommittedEntry(index: index, term: 1, content: .configuration(change)))
                continue
            }
            var payload: [UInt8] = []
            for _ in 0..<random.below(4) {
                traffic.revision = UInt64(index)
                var command: Command
                switch random.below(12) {
                case 0: command = .openSession
                case 1: command = .compact(revision: UInt64(random.below(Int(index))))
                case 2, 3, 4: command = models.command()
                case 5: command = random.command()
                default: command = traffic.command()
                }
                if random.chance(1, in: 60) { command = .closeSession }
                let sequence = UInt64(1 + random.below(30))
                let envelope = Envelope(
                    session: UInt64(random.below(4)), sequence: sequence,
                    lowestUnanswered: UInt64(max(0, Int(sequence) - random.below(20))), time: index * 10,
                    command: command)
                var bytes = envelope.encoded()
                // Not a form or a kind of a newer build: those end applying (FeatureTests).
                if random.chance(1, in: 50) {
                    let place = 1 + random.below(bytes.count - 1)
                    if place != 33 { bytes[place] ^= 0x55 }
                }
                EntryPayload.append(encoded: bytes[...], to: &payload)
            }
            if random.chance(1, in: 50), !payload.isEmpty { payload.removeLast() }
            log.append(CommittedEntry(index: index, term: 1 + index / 50, content: .normal(payload)))
        }
        return log
    }

    @Test(arguments: UInt64(0)..<12)
    func `the same log gives the same rows, hash and answers in any grouping and after any restart`(
        seed: UInt64
    ) throws {
        let log = log(seed, entries: 300)
        var first = try TestReplica()
        var outcomes: [CommandOutcome] = []
        for entry in log {
            try first.apply(entries: [entry])
            outcomes += first.output.outcomes
        }
        #expect(first.applier.state.revision > 20, "seed \(seed)")
        for run in UInt64(0)..<3 {
            var random = SeededRandom(seed: seed &* 31 &+ run)
            var other = try TestReplica()
            var others: [CommandOutcome] = []
            var chain: [ApplyOutput.ChainLink] = []
            var next = 0
            while next < log.count {
                let end = min(log.count, next + 1 + random.below(run == 0 ? 300 : 12))
                try other.apply(entries: Array(log[next..<end]))
                others += other.output.outcomes
                chain += other.output.chain
                next = end
                if random.chance(1, in: 3) { try other.restart() }
            }
            #expect(other.applier.state == first.applier.state, "seed \(seed) run \(run)")
            #expect(others == outcomes, "seed \(seed) run \(run)")
            #expect(other.rows == first.rows, "seed \(seed) run \(run)")
            #expect(chain.map(\.revision) == Array(1...first.applier.state.revision), "seed \(seed) run \(run)")
            #expect(chain.last?.hash == first.applier.state.feedHash)
        }
    }

    @Test func `two logs that differ in one byte differ in their hash`() throws {
        var left = try TestReplica()
        var right = try TestReplica()
        for (value, other) in [("1", "1"), ("2", "3"), ("4", "4")] {
            _ = try left.put("a", value)
            _ = try right.put("a", other)
        }
        #expect(left.applier.state.revision == right.applier.state.revision)
        #expect(left.applier.state.feedHash != right.applier.state.feedHash)
        #expect(try FeedReader.hash(after: 1, rows: left.rows) == FeedReader.hash(after: 1, rows: right.rows))
        #expect(try FeedReader.hash(after: 2, rows: left.rows) != FeedReader.hash(after: 2, rows: right.rows))
    }

    @Test func `one put leaves a version row, a feed row and the state, in the reference's bytes`() throws {
        var rows = ArrayRows()
        var applier = try Applier(loading: rows)
        var payload: [UInt8] = []
        let command = Command.put(key: "k".asBytes, value: "vv".asBytes, lease: 0)
        EntryPayload.append(Envelope(time: 1, command: command), to: &payload)
        var batch = WriteBatch()
        var output = ApplyOutput()
        try applier.apply(
            [CommittedEntry(index: 1, term: 3, content: .normal(payload))], reader: rows, hash: SHA256.self,
            into: &batch,
            output: &output)
        try rows.write(batch)
        let chain = String(repeating: "00", count: 32) + "0100000000000000" + "00016b" + "00" + "027676"
        var hash = SHA256()
        try #require(Hex.decode(chain)).withUnsafeBytes { hash.update($0) }
        let digest = hash.finish()
        #expect(applier.state.feedHash == digest)
        #expect(
            rows.rows.map { Hex.encode($0.key) + ":" + Hex.encode($0.value) } == [
                "660000000000000001:01" + digest.hex + "01" + "00016b",
                "6b006b0001fffffffffffffffe:0100" + "010100" + "7676",
                "6d01:01" + "0100000000000000" + "0300000000000000" + "0100000000000000" + "0000000000000000"
                    + "0000000000000000" + "0100000000000000" + digest.hex,
            ])
        #expect(output.outcomes.map(\.outcome) == [.done(revision: 1)])
    }

    @Test func `the hash of the tests is SHA-256`() {
        var hash = SHA256()
        Array("abc".utf8).withUnsafeBytes { hash.update($0) }
        #expect(hash.finish().hex == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad")
    }

    @Test func `an unreadable command is refused alone`() throws {
        var replica = try TestReplica()
        var payload: [UInt8] = []
        EntryPayload.append(encoded: [1, 2, 3], to: &payload)
        EntryPayload.append(
            Envelope(time: 1, command: .put(key: "a".asBytes, value: [], lease: 0)), to: &payload)
        payload += [9]
        try replica.apply(entries: [CommittedEntry(index: 1, term: 1, content: .normal(payload))])
        #expect(replica.output.outcomes.map(\.outcome.refusal?.code) == [.invalidArgument, nil, .invalidArgument])
        #expect(replica.output.outcomes.map(\.ordinal) == [0, 1, 2])
        #expect(replica.applier.state.revision == 1)
    }

    @Test func `an empty entry only moves the applied index`() throws {
        var replica = try TestReplica()
        try replica.apply(entries: [CommittedEntry(index: 1, term: 7, content: .normal([]))])
        #expect(replica.applier.state.index == 1 && replica.applier.state.term == 7)
        #expect(replica.applier.state.revision == 0 && replica.output.outcomes.isEmpty)
        try replica.restart()
        #expect(replica.applier.state.index == 1)
    }

    @Test func `a lineage is named once`() throws {
        var replica = try TestReplica()
        #expect(try replica.run(.lineage(Lineage(1, 2))) == .done(revision: 0))
        #expect(replica.output.lineage == Lineage(1, 2))
        try replica.restart()
        #expect(replica.applier.lineage == Lineage(1, 2))
        #expect(try replica.run(.lineage(Lineage(1, 2))) == .done(revision: 0))
        #expect(try replica.run(.lineage(Lineage(3, 4))).refusal?.code == .alreadyExists)
        #expect(try replica.run(.lineage(.zero)).refusal?.code == .invalidArgument)
    }

    @Test func `completeness is reported by members, through revisions that exist, and can be lowered`() throws {
        var replica = try TestReplica()
        _ = try replica.put("a", "1")
        let life = Incarnation(1, 1)
        for through in [UInt64(1), 0] {
            _ = try replica.run(.complete(node: 2, incarnation: life, through: through))
            #expect(replica.output.completeness == [Completeness(node: 2, incarnation: life, through: through)])
        }
        _ = try replica.run(.complete(node: 1, incarnation: life, through: 1))
        #expect(
            try replica.run(.complete(node: 2, incarnation: life, through: 2)).refusal?.code == .invalidArgument)
        #expect(
            try replica.run(.complete(node: 4, incarnation: life, through: 1)).refusal?.code == .preconditionFailed)
        try replica.restart()
        #expect(replica.applier.completeness.map(\.node) == [1, 2])
        #expect(try ModelReader.completeness(rows: replica.rows) == replica.applier.completeness)
    }
}
