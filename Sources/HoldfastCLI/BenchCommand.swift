internal import ArgumentParser
internal import Foundation
internal import Holdfast
internal import Logging

/// What `bench` measures.
enum BenchKind: String, CaseIterable, ExpressibleByArgument {
    /// Writes of keys.
    case put
    /// Linearizable reads of keys.
    case get
    /// Writes of new keys, which stay.
    case fill
    /// A push of a model of fresh bytes.
    case push
    /// A pull of a model that was just pushed.
    case pull
}

/// `holdfast bench put|get|fill|push|pull`.
struct BenchCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "bench",
        abstract: "Measure a cluster beside the limits of this machine.",
        discussion: """
            First this machine's fdatasync latency, loopback round trip, sequential write rate and SHA-256 rate are measured,
            in TMPDIR; each figure then comes with its ratio to the limit that it meets. A put cannot be faster than one
            fdatasync and one round trip, a get than one round trip, a push than the disk, a pull than SHA-256.
            'fill' writes --rows new keys below holdfast-bench/ and leaves them there; the others remove their keys.

            Example:
              holdfast bench put --clients 128 --seconds 10 --endpoint 127.0.0.1:7001
              holdfast bench push --bytes 1073741824 --json
            """)

    @Argument(help: "put, get, fill, push or pull.")
    var kind: BenchKind
    @Option(help: ArgumentHelp("Clients that each wait for one request (put, get, fill).", valueName: "n"))
    var clients = 1
    @Option(help: ArgumentHelp("Connections that the clients share (put, get, fill).", valueName: "n"))
    var connections = 1
    @Option(help: ArgumentHelp("The length of a value (put, get, fill).", valueName: "n"))
    var valueBytes = 256
    @Option(help: ArgumentHelp("How long to measure (put, get).", valueName: "n"))
    var seconds = 10.0
    @Option(help: ArgumentHelp("How many keys to write (fill).", valueName: "n"))
    var rows = 100_000
    @Option(help: ArgumentHelp("The size of the model (push, pull).", valueName: "n"))
    var bytes = 256 << 20
    @Option(help: ArgumentHelp("Push this model instead of fresh bytes (push, pull).", valueName: "path"))
    var source: String?
    @Option(help: ArgumentHelp("Requests a second of all clients together (put, get).", valueName: "n"))
    var rate: Double?
    @Flag(help: "Count requests that fail for a while instead of ending (put, get).")
    var keepGoing = false
    @OptionGroup(title: "Global options")
    var global: GlobalOptions

    func validate() throws {
        guard clients >= 1, connections >= 1, bytes >= 1, rows >= 1, seconds > 0, seconds <= 86_400 else {
            throw ValidationError("--clients, --connections, --bytes, --rows and --seconds are more than 0")
        }
        guard rate.map({ $0 > 0 && $0 <= 1e6 }) ?? true else {
            throw ValidationError("--rate is more than 0, and at most 1000000")
        }
        guard (0...Input.valueBytesMax).contains(valueBytes) else {
            throw ValidationError("--value-bytes is 0 to \(Input.valueBytesMax)")
        }
    }

    func run() async throws {
        // Asked first, so that nobody waits a second for "no place to work on".
        _ = try global.place()
        var report = FigureReport(json: global.json)
        let directory = ProcessInfo.processInfo.environment["TMPDIR"].flatMap { $0.isEmpty ? nil : $0 } ?? "/tmp"
        let limits = try MachineLimits.measure(in: directory)
        report.add(limits.figures)
        switch kind {
        case .put: report.add(try await keys(.put, limits))
        case .get: report.add(try await keys(.get, limits))
        case .fill: report.add(try await fill(limits))
        case .push, .pull: report.add(try await transfer(in: directory, limits))
        }
        report.finish()
    }

    private func fill(_ limits: MachineLimits) async throws -> [Figure] {
        let load = FillLoad(
            rows: rows, valueBytes: valueBytes, clients: clients,
            prefix: "holdfast-bench/\(getpid())-\(Clock.nanoseconds())/")
        let seconds = try await withStores { stores in try await load.run(stores) }
        let megabytes = Double(rows) * Double(valueBytes) / 1e6
        return [
            Figure("fill.rate", Double(rows) / seconds, "1/s"),
            Figure("fill.bytes", megabytes / seconds, "MB/s", limit: limits.sequentialWriteMegabytes),
            Figure("fill.seconds", seconds, "s"),
        ]
    }

    private func keys(_ verb: KeyLoad.Verb, _ limits: MachineLimits) async throws -> [Figure] {
        let load = KeyLoad(
            verb: verb, clients: clients, valueBytes: valueBytes, seconds: seconds, rate: rate,
            keepGoing: keepGoing,
            prefix: "holdfast-bench/\(getpid())-\(Clock.nanoseconds())/")
        return Self.figures(verb, try await withStores { stores in try await load.run(stores) }, limits)
    }

    /// Runs `body` over one store for each connection, and closes them.
    private func withStores<Value>(_ body: ([Store]) async throws -> Value) async throws -> Value {
        let nodes = try await open()
        do {
            let value = try await body(nodes.map(\.store))
            for node in nodes { await node.stop() }
            return value
        } catch {
            for node in nodes { await node.stop() }
            throw error
        }
    }

    /// One node for each connection; a directory has one, whatever was asked for.
    private func open() async throws -> [HoldfastNode] {
        let place = try global.place()
        var configuration = NodeConfiguration(place.kind)
        configuration.timeoutMilliseconds = try global.timeoutMilliseconds()
        var count = min(connections, clients)
        if case .local = place { count = 1 }
        let logger = try global.logger(default: .error)
        var nodes: [HoldfastNode] = []
        do {
            for _ in 0..<count { nodes.append(try await place.open(configuration, logger: logger)) }
        } catch {
            for node in nodes { await node.stop() }
            throw error
        }
        return nodes
    }

    /// The figures of a load of puts or gets.
    static func figures(_ verb: KeyLoad.Verb, _ outcome: KeyLoad.Outcome, _ limits: MachineLimits) -> [Figure] {
        let floor = limits.roundTripMicroseconds + (verb == .put ? limits.fdatasyncMicroseconds : 0)
        let name = verb.rawValue
        return [
            Figure("\(name).p50", outcome.latencies.microseconds(50), "us", limit: floor),
            Figure("\(name).p99", outcome.latencies.microseconds(99), "us", limit: floor),
            Figure("\(name).max", outcome.latencies.microseconds(100), "us", limit: floor),
            Figure("\(name).rate", Double(outcome.latencies.count) / outcome.seconds, "1/s", limit: 1e6 / floor),
            Figure("\(name).longestGap", outcome.longestGapMilliseconds, "ms", limit: floor / 1000),
            Figure("\(name).errors", Double(outcome.errors), "count"),
        ]
    }

    private func transfer(in directory: String, _ limits: MachineLimits) async throws -> [Figure] {
        let load = TransferLoad(
            bytes: bytes, source: source, pulls: kind == .pull, directory: directory,
            name: "holdfast-bench-\(getpid())-\(Clock.nanoseconds())",
            timeoutMilliseconds: max(try global.timeoutMilliseconds(), 600_000))
        let outcome = try await global.withStore { store in try await load.run(store) }
        return Self.figures(outcome, limits)
    }

    /// The figures of a push, and of a pull where there was one.
    static func figures(_ outcome: TransferLoad.Outcome, _ limits: MachineLimits) -> [Figure] {
        let megabytes = Double(outcome.bytes) / 1e6
        let write = limits.sequentialWriteMegabytes
        var figures = [
            Figure("push.published", megabytes / outcome.published, "MB/s", limit: write),
            Figure("push.complete", megabytes / outcome.complete, "MB/s", limit: write),
            Figure("push.seconds", outcome.complete, "s"),
        ]
        if let pulled = outcome.pulled {
            figures.append(Figure("pull.rate", megabytes / pulled, "MB/s", limit: limits.sha256Megabytes))
            figures.append(Figure("pull.seconds", pulled, "s"))
        }
        return figures
    }
}
