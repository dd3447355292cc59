internal import Holdfast
internal import Processes
internal import Synchronization

/// Everything that clients do while faults are injected.
final class Load: Sendable {
    private let options: CampaignRun.Options
    private let nodes: Nodes
    private let recorder: Recorder
    private let models: ModelTraffic
    private let watches: Watches
    private let violations: Violations
    private let keyspace = Keyspace()
    private let stale = Mutex(0)

    init(
        options: CampaignRun.Options, nodes: Nodes, recorder: Recorder, models: ModelTraffic, watches: Watches,
        violations: Violations
    ) {
        self.options = options
        self.nodes = nodes
        self.recorder = recorder
        self.models = models
        self.watches = watches
        self.violations = violations
    }

    /// How many stale reads were answered.
    var staleReads: Int { stale.withLock { $0 } }

    /// Works until it is cancelled; throws the campaign's own trouble.
    func run() async throws {
        try await withThrowingTaskGroup(of: Void.self) { group in
            for number in 0..<options.clients {
                var client = Client(
                    process: number, clients: options.clients,
                    any: nodes.clients[number].store.withTimeout(milliseconds: 4_000),
                    nodes: nodes, keyspace: keyspace, recorder: recorder, seed: options.seed &* 1_000 &+ UInt64(number))
                group.addTask { await client.run() }
            }
            group.addTask { await self.readStale() }
            group.addTask { await self.watches.watchShortly() }
            group.addTask { try await self.models.run() }
            try await group.waitForAll()
        }
    }

    /// Reads what single nodes have applied: nothing is promised of how old it is, but it must have been committed.
    private func readStale() async {
        var numbers = SeededNumbers(seed: options.seed &+ 77)
        while !Task.isCancelled {
            let group = keyspace.draw(&numbers)
            if let key = group.keys.first,
                let list = try? await nodes.one(&numbers).withTimeout(milliseconds: 500).list(
                    .key(Key(key)), limit: 1, consistency: .stale)
            {
                recorder.saw(list.keys.map { FeedEntry($0) })
                stale.withLock { $0 += 1 }
            }
            try? await Task.sleep(for: .milliseconds(30))
        }
    }
}
