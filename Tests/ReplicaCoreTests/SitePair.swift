import Testing

@testable import ReplicaCore

/// A cluster as one replica, with the log that it has applied.
struct TestSite {
    let id: SiteID
    var replica: TestReplica
    private(set) var log: [CommittedEntry] = []

    init(_ number: UInt64) throws {
        id = SiteID(number, number)
        replica = try TestReplica()
        try run(.raiseFeatures(to: FeatureVersion.known))
        try run(.lineage(id))
    }

    var record: SiteRecord { replica.applier.site }
    var position: SitePosition { replica.applier.position }
    var peer: SitePeer { SitePeer(site: id, endpoints: ["host-\(id.low):1"]) }
    var report: SiteReport {
        get throws { try #require(replica.applier.siteReport) }
    }

    @discardableResult
    mutating func run(_ command: Command) throws -> Outcome {
        try #require(try apply([Envelope(time: replica.time, command: command)]).first)
    }

    @discardableResult
    mutating func run(_ command: SiteCommand) throws -> Outcome { try run(.site(command)) }

    @discardableResult
    mutating func apply(_ envelopes: [Envelope]) throws -> [Outcome] {
        var payload: [UInt8] = []
        for envelope in envelopes { EntryPayload.append(envelope, to: &payload) }
        let entry = CommittedEntry(index: replica.applier.state.index + 1, term: 1, content: .normal(payload))
        log.append(entry)
        try replica.apply(entries: [entry])
        return replica.output.outcomes.map(\.outcome)
    }

    mutating func put(_ key: String, _ value: String) throws -> Outcome {
        try run(.put(key: key.asBytes, value: value.asBytes, lease: 0))
    }

    func get(_ key: String) throws -> String? {
        try replica.get(key).map { String(decoding: $0.value, as: UTF8.self) }
    }

    func relation(of position: SitePosition) throws -> SiteFeed.Relation {
        try SiteFeed.relation(of: position, at: replica.applier.state, rows: replica.rows)
    }

    /// Publishes chunks as a version, with receipts of nodes 1 and 2.
    @discardableResult
    mutating func publish(
        _ name: String, _ version: String? = nil, upload: UploadID, chunks: [ChunkID]
    ) throws -> Outcome {
        try run(.uploadBegin(upload, name: name, version: version))
        try run(.uploadAdd(upload, first: 0, ids: chunks))
        let receipts = [1, 2].map { Publication.Receipt(node: $0, incarnation: Incarnation($0, 0)) }
        return try run(
            .publish(
                Publication(
                    upload: upload, name: name, version: version, root: chunks[0], bytes: 10,
                    chunks: UInt64(chunks.count), files: 1, durableOn: receipts)))
    }

    /// The rows that a standby shares with its primary: versions of keys, and the feed.
    var shared: [ArrayRows.Row] {
        replica.rows.rows.filter { $0.key[0] == UInt8(ascii: "k") || $0.key[0] == UInt8(ascii: "f") }
    }

    /// The same log gives the same rows in any grouping, and over any restarts; sweeps apart, which are not replicated.
    func checkGroupings(seed: UInt64) throws {
        var own = replica
        try own.sweep()
        for run in UInt64(0)..<3 {
            var random = SeededRandom(seed: seed &* 31 &+ run)
            var other = try TestReplica()
            var next = 0
            while next < log.count {
                let end = min(log.count, next + 1 + random.below(run == 0 ? log.count : 5))
                try other.apply(entries: Array(log[next..<end]))
                next = end
                if random.chance(1, in: 3) { try other.restart() }
            }
            try other.sweep()
            #expect(other.applier.state == own.applier.state, "seed \(seed) run \(run)")
            let isSame = other.rows == own.rows
            #expect(isSame, "seed \(seed) run \(run)")
        }
    }
}

/// Two sites, and the two messages between them.
struct SitePair {
    var sites: [TestSite]
    /// Named in every shipment as nodes that hold all chunks.
    var receipts: [UInt64] = [1, 2]

    /// Site 0 is the primary, site 1 follows it.
    init() throws {
        sites = [try TestSite(1), try TestSite(2)]
        #expect(try sites[0].run(.enroll(token: Digest(7, 7, 7, 7), expires: 5_000)).refusal == nil)
        #expect(try sites[0].run(.admit(token: Digest(7, 7, 7, 7), sites[1].peer)).refusal == nil)
        let report = try sites[0].report
        let follow = SiteFollow(
            primary: sites[0].peer, lineage: report.lineage, epoch: report.epoch, position: .start)
        #expect(try sites[1].run(.follow(follow)).refusal == nil)
    }

    /// One poll of `asking` and its answer, with everything that either proposes; what was refused.
    @discardableResult
    mutating func poll(_ asking: Int, entriesMax: Int = 100) throws -> [Refusal] {
        let other = 1 - asking
        let (refusals, answer) = try deliver(try sites[asking].report, to: other, entriesMax: entriesMax)
        return refusals + (try deliver(answer, to: asking))
    }

    mutating func deliver(
        _ poll: SiteReport, to place: Int, entriesMax: Int = 100
    ) throws -> ([Refusal], SiteAnswer) {
        let relation = try sites[place].relation(of: poll.position)
        let commands = SiteLink.commands(
            on: poll, at: sites[place].record, own: try sites[place].report, relation: relation)
        let refusals = try commands.compactMap { try sites[place].run($0).refusal }
        let state = sites[place].replica.applier.state
        let own = try sites[place].report
        var answer = SiteAnswer(
            report: own, asked: poll.position, relation: relation, hash: poll.position.hash,
            compactRevision: state.compactRevision, feedFloor: state.feedFloor,
            grant: sites[place].record.switchover?.grant, branches: sites[place].record.branches)
        if relation == .prefix, SiteLink.follows(poll, sites[place].record, own) {
            answer.entries = try SiteFeed.entries(
                from: poll.position.revision + 1, entriesMax: entriesMax, bytesMax: 1 << 20,
                at: sites[place].replica.point, rows: sites[place].replica.rows)
            for entry in answer.entries {
                answer.hash = entry.hash(after: answer.hash) { bytes in
                    var hash = QuickHash()
                    hash.update(bytes)
                    return hash.finish()
                }
            }
        }
        return (refusals, answer)
    }

    mutating func deliver(_ answer: SiteAnswer, to place: Int) throws -> [Refusal] {
        let commands = SiteLink.commands(
            on: answer, at: sites[place].record, own: try sites[place].report,
            primaryEndpoints: sites[1 - place].peer.endpoints)
        var refusals: [Refusal] = []
        for command in commands {
            var command = command
            if case .apply(var shipment) = command {
                shipment.durableOn = receipts.map { Publication.Receipt(node: $0, incarnation: Incarnation($0, 0)) }
                command = .apply(shipment)
            }
            if let refusal = try sites[place].run(command).refusal { refusals.append(refusal) }
        }
        return refusals
    }

    /// Polls both ways until nothing changes.
    mutating func settle() throws {
        for _ in 0..<6 {
            try poll(0)
            try poll(1)
        }
    }

    /// Names the chunks of a version at the standby, as its puller does.
    @discardableResult
    mutating func stage(_ model: ModelVersion, chunks: [ChunkID]) throws -> Outcome {
        try sites[1].run(
            .stage(
                SiteStage(
                    upload: model.record.upload, number: model.record.uploadNumber, name: model.name,
                    version: model.version, first: 0, ids: chunks)))
    }

    /// The highest revision through which both have the same history.
    func common() throws -> UInt64 {
        let (left, right) = (sites[0].replica, sites[1].replica)
        var revision = min(left.applier.state.revision, right.applier.state.revision)
        while revision > 0 {
            let hash = try FeedReader.hash(after: revision, rows: left.rows)
            if hash != nil, try hash == FeedReader.hash(after: revision, rows: right.rows) { break }
            revision -= 1
        }
        return revision
    }
}
