internal import Foundation
internal import Holdfast
internal import Logging
internal import Processes

/// One campaign: a cluster, clients, faults, and the judgement.
struct CampaignRun {
    /// What a campaign is told.
    struct Options: Sendable {
        /// How long faults are injected.
        var duration: Duration
        var kinds: [FaultKind]
        var seed: UInt64
        var clients: Int
        var program: String
        var interposer: String?
        var directory: String
        var hasNamespaces: Bool
    }

    private static let members = 3
    private static let marker = "campaign/last"

    private let options: Options
    private let violations = Violations()

    init(options: Options) { self.options = options }

    private var historyFile: String { "\(options.directory)/history.jsonl" }

    /// Runs it to its end; false if anything was violated.
    func run() async throws -> Bool {
        let kinds = options.kinds.map(\.rawValue).joined(separator: ",")
        Console.say("campaign seed=\(options.seed) faults=\(kinds) clients=\(options.clients) in \(options.directory)")
        // The last place is spare, for nodes that join.
        let network = try await Network.make(Self.members + 1, namespaces: options.hasNamespaces)
        let world = try World(
            network: network, program: options.program, interposer: options.interposer, directory: options.directory,
            violations: violations)
        try await world.begin(members: Self.members)
        let recorder = try Recorder(file: historyFile)
        let feed = Feed(violations)
        let nodes = try await Nodes.open(network.endpoints, clients: options.clients, places: world.memberPlaces)
        let models = ModelTraffic(
            nodes: nodes, directory: options.directory, seed: options.seed,
            violations: violations)
        guard await settled(nodes, seconds: 60) else {
            throw CampaignError("the cluster did not get ready within 60 s")
        }

        let watches = Watches(feed: feed, nodes: nodes, marker: Self.marker, violations: violations, seed: options.seed)
        let watching = Task { await watches.run() }
        let load = Load(
            options: options, nodes: nodes, recorder: recorder, models: models, watches: watches,
            violations: violations)
        let working = Task { try await load.run() }
        var nemesis = Nemesis(
            world: world, kinds: options.kinds, store: nodes.any.store, endpoints: network.endpoints,
            recorder: recorder,
            violations: violations, seed: options.seed, newest: UInt64(Self.members))
        try await nemesis.run(until: .now + options.duration)
        working.cancel()
        try await working.value
        try await world.heal()
        try await world.supervise()

        Console.say("faults are over; waiting for equal replicas")
        let end = Ending(nodes: nodes, world: world, marker: Self.marker, violations: violations)
        try await end.write()
        await watches.finish(at: await world.members, seconds: 60)
        watching.cancel()
        await watching.value
        try await end.awaitEqualReplicas()
        let judgement = Judgement(recorder: recorder, feed: feed, violations: violations)
        try await end.compareKeys(judgement)
        let published = try await end.publishedRevisions()
        for place in await world.members {
            try await models.verifyAll(nodes.pinned[place].store, at: "place \(place + 1)")
        }
        try await world.supervise()
        for place in await world.members { try await world.stop(place) }
        await nodes.close()

        judgement.revisionOrder()
        judgement.feedHoldsAll()
        judgement.watchesAreWhole(published: published, last: feed.highest)
        try judgement.linearizability(of: historyFile)
        // Somebody waits for ever for an answer that nobody can give any more.
        if said("CONTINUATION MISUSE") > 0 { violations.add("leak", "a node lost a continuation; see its log") }
        report(recorder, feed, models, load, nemesis)
        return violations.count == 0
    }

    /// Whether a write succeeds in time.
    private func settled(_ nodes: Nodes, seconds: Int) async -> Bool {
        let end = ContinuousClock.now + .seconds(seconds)
        while ContinuousClock.now < end {
            if (try? await nodes.any.store.withTimeout(milliseconds: 2_000).status().leader) != nil { return true }
            // A cluster that starts refuses at once; nothing is gained by asking faster.
            try? await Task.sleep(for: .milliseconds(100))
        }
        return false
    }

    /// How often the logs of all nodes say something.
    private func said(_ words: String) -> Int {
        let names = (try? FileManager.default.contentsOfDirectory(atPath: options.directory)) ?? []
        return names.filter { $0.hasSuffix(".log") }.reduce(0) { sum, name in
            let text = FileManager.default.contents(atPath: "\(options.directory)/\(name)") ?? Data()
            return sum + String(decoding: text, as: UTF8.self).components(separatedBy: words).count - 1
        }
    }

    private func report(
        _ recorder: Recorder, _ feed: Feed, _ models: ModelTraffic, _ load: Load, _ nemesis: Nemesis
    ) {
        var total = Recorder.Count()
        for (name, count) in recorder.counts.sorted(by: { $0.key < $1.key }) {
            Console.line("  \(name): \(count.done) done, \(count.failed) failed, \(count.unknown) unknown")
            total.done += count.done
            total.failed += count.failed
            total.unknown += count.unknown
        }
        Console.line("  stale reads: \(load.staleReads) done, not judged by the order of time")
        Console.line("  watches: \(feed.delivered.count), \(feed.events) changes delivered, \(feed.highest) revisions")
        let figures = models.figures
        Console.line(
            "  models: \(figures.pushed) pushed (\(figures.failedPushes) attempts failed), \(figures.pulls) pulls "
                + "(\(figures.failedPulls) failed)")
        let faults = nemesis.counts
        for (name, count) in faults.sorted(by: { $0.key < $1.key }) { Console.line("  fault \(name): \(count)") }
        Console.line("  state snapshots installed: \(said("state snapshot installed"))")
        Console.line("  nodes that ended of a disk that failed, and were started again: \(nemesis.ended)")
        for text in violations.texts { Console.line(text) }
        let all = total.done + total.failed + total.unknown
        let seconds = options.duration.components.seconds
        Console.line(
            "seed=\(options.seed) seconds=\(seconds) operations=\(all) done=\(total.done) failed=\(total.failed) "
                + "unknown=\(total.unknown) faults=\(faults.values.reduce(0, +)) violations=\(violations.count) "
                + "outcome=\(violations.count == 0 ? "ok" : "fail")")
    }
}
