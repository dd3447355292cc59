internal import ArgumentParser
internal import Holdfast

/// `cluster rebuild NODE`.
struct RebuildVerb: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "rebuild",
        abstract: "Have a node fetch its rows anew from a peer.",
        discussion: """
            For a node that 'cluster status' calls quarantined. It goes on voting meanwhile, and serves again afterwards. What it
            had before is kept in its directory below quarantine/. At the timeout the rebuild goes on; run it again to wait.

            Example:
              holdfast cluster rebuild 3
            """)

    @Argument(help: "The ID of the node.")
    var node: UInt64
    @OptionGroup(title: "Global options")
    var global: GlobalOptions

    func run() async throws {
        try await global.withStore { store in try await store.rebuild(node) }
        if global.json {
            StandardOutput.json(["rebuilt": node])
        } else {
            StandardOutput.line("node \(node) is rebuilt")
        }
    }
}

/// `cluster scrub [NODE]`.
struct ScrubVerb: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "scrub",
        abstract: "Have nodes read everything at rest and repair what has rotted.",
        discussion: """
            Chunks are hashed and compared with their names at a bounded rate (scrubBytesPerSecond); a bad one is put aside and
            fetched again. Rows are compared with their checksums; a node whose rows do not hold rebuilds itself. Returns when
            the scrub has ended, or with 69 at the timeout: it then goes on, and 'holdfast node metrics' shows it.

            Example:
              holdfast cluster scrub
              holdfast cluster scrub 3 --timeout 600
            """)

    @Argument(help: "The ID of the node; every member where it is left out.")
    var node: UInt64?
    @OptionGroup(title: "Global options")
    var global: GlobalOptions

    func run() async throws {
        let limit = Duration.milliseconds(try global.timeoutMilliseconds())
        let results = try await global.withStore { store in
            try await scrub(with: store, until: ContinuousClock.now + limit)
        }
        for result in results { show(result) }
        let failed = results.filter { !$0.failure.isEmpty }
        if let first = failed.first {
            throw HoldfastError(.unavailable, "the scrub of node \(first.node) was given up: \(first.failure)")
        }
    }

    private func scrub(with store: Store, until deadline: ContinuousClock.Instant) async throws -> [ScrubResult] {
        let nodes = if let node { [node] } else { try await store.status().nodes.map(\.id) }
        var before: [UInt64: UInt64] = [:]
        for node in nodes {
            before[node] = try await store.scrubResult(of: node).ended
            try await store.scrub(node)
        }
        var results: [ScrubResult] = []
        for node in nodes {
            while true {
                let result = try await store.scrubResult(of: node)
                if !result.isRunning, result.ended > before[node] ?? 0 || !result.failure.isEmpty {
                    results.append(result)
                    break
                }
                guard ContinuousClock.now < deadline else {
                    throw HoldfastError(
                        .unavailable,
                        "node \(node) is still scrubbing: \(result.chunks) chunks, \(result.badChunks) of them bad so far"
                    )
                }
                try await Task.sleep(for: .milliseconds(100))
            }
        }
        return results
    }

    private func show(_ result: ScrubResult) {
        if global.json {
            StandardOutput.json(ScrubDocument(result))
            return
        }
        StandardOutput.line(
            "node \(result.node): \(result.chunks) chunks, \(Units.bytes(result.bytes)) read; \(result.badChunks) bad; "
                + "rows \(result.rowsBad ? "bad, being rebuilt" : "sound")")
    }
}

/// One line of `cluster scrub --json`.
private struct ScrubDocument: Encodable {
    var node: UInt64
    var chunks: UInt64
    var bytes: UInt64
    var badChunks: UInt64
    var rowsBad: Bool

    init(_ result: ScrubResult) {
        node = result.node
        chunks = result.chunks
        bytes = result.bytes
        badChunks = result.badChunks
        rowsBad = result.rowsBad
    }
}
