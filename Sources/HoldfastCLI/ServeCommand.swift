internal import ArgumentParser
internal import Foundation
internal import Holdfast
internal import Logging
internal import ServiceLifecycle

/// `holdfast serve`: the daemon, one member of a cluster.
struct ServeCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "serve",
        abstract: "Run a member of a cluster until SIGTERM or Ctrl-C.",
        discussion: """
            When it serves, standard output gets one line: ready node=1 endpoint=HOST:PORT. Logs go to standard error.
            Every setting can stand in the file (YAML, the names of Docs/Reference/Configuration.md), in the environment
            (HOLDFAST_…) or on the command line; the command line wins, then the environment.

            Example:
              holdfast serve --data ./n1
              holdfast serve --config /etc/holdfast.yaml
            """)

    @Option(help: ArgumentHelp("A directory that 'holdfast node format' made.", valueName: "dir"))
    var data: String?
    @Option(help: ArgumentHelp("Where to listen; port 0 lets the system choose.", valueName: "host:port"))
    var listen: String?
    @Option(help: ArgumentHelp("A YAML file with settings.", valueName: "file"), completion: .file())
    var config: String?
    @Flag(inversion: .prefixedNo, help: "Listen beyond loopback without encryption.")
    var allowPlaintext: Bool?
    @Option(help: ArgumentHelp("How often the leader is heard.", valueName: "n"))
    var heartbeatMilliseconds: String?
    @Option(help: ArgumentHelp("The shortest election timeout.", valueName: "n"))
    var electionMilliseconds: String?
    @Option(help: ArgumentHelp("How long a request may take.", valueName: "n"))
    var timeoutMilliseconds: String?
    @Option(help: ArgumentHelp("The cache of rows.", valueName: "n"))
    var rowCacheBytes: String?
    @Option(help: ArgumentHelp("How long an upload may be idle.", valueName: "n"))
    var uploadIdleMilliseconds: String?
    @Option(help: ArgumentHelp("How often unneeded chunks are looked for.", valueName: "n"))
    var sweepMilliseconds: String?
    @Option(help: ArgumentHelp("Log kept for members that are behind, in bytes.", valueName: "n"))
    var logBytesMax: String?
    @Option(help: ArgumentHelp("Log kept for members that are behind, in entries.", valueName: "n"))
    var logEntriesMax: String?
    @Option(help: ArgumentHelp("How long the log waits for a silent member.", valueName: "n"))
    var absenceMilliseconds: String?
    @Option(help: ArgumentHelp("State snapshots sent a second, in bytes.", valueName: "n"))
    var snapshotBytesPerSecond: String?
    @Option(help: ArgumentHelp("How often everything at rest is read and checked.", valueName: "n"))
    var scrubMilliseconds: String?
    @Option(help: ArgumentHelp("Bytes of chunks a second that a scrub reads.", valueName: "n"))
    var scrubBytesPerSecond: String?
    @Option(
        help: ArgumentHelp(
            "Hold the cluster's feature version back, so that an upgrade can still be undone.", valueName: "n"))
    var featureVersionMax: String?
    @OptionGroup(title: "Global options")
    var global: GlobalOptions

    /// Less than the 10 s that SIGTERM may take: what is left after them is given up.
    private static let shutdownLimit = Duration.seconds(9)

    func run() async throws {
        let settings = try settings(ProcessInfo.processInfo.environment)
        let configuration = try settings.configuration()
        let level = try settings.logLevel() ?? .info
        LoggingSystem.bootstrap { StreamLogHandler.standardError(label: $0) }
        var logger = Logger(label: "holdfast")
        logger.logLevel = level
        do {
            let node = try HoldfastNode(configuration, logger: logger)
            var group = ServiceGroupConfiguration(
                services: [
                    .init(
                        service: Daemon(node: node, logger: logger, allowsPlaintext: configuration.allowPlaintext),
                        successTerminationBehavior: .gracefullyShutdownGroup)
                ],
                gracefulShutdownSignals: [.sigterm, .sigint], logger: Self.quiet(logger))
            group.maximumGracefulShutdownDuration = Self.shutdownLimit
            try await ServiceGroup(configuration: group).run()
        } catch let error as HoldfastError where error.code != .invalidArgument {
            // A daemon that cannot go on has failed, whatever the reason is for a client.
            throw Failure(error, status: ExitStatus.failed)
        } catch let error where Failure(reporting: error) == nil {
            throw Failure(
                HoldfastError(.unavailable, "the node stopped: \(error); see the log above"), status: ExitStatus.failed)
        }
    }

    /// All sources in their order.
    func settings(_ environment: [String: String]) throws(Failure) -> ServeSettings {
        var flags: [ServeSettings.Name: String] = [:]
        flags[.data] = data
        flags[.listen] = listen
        flags[.allowPlaintext] = allowPlaintext.map { $0 ? "true" : "false" }
        flags[.heartbeatMilliseconds] = heartbeatMilliseconds
        flags[.electionMilliseconds] = electionMilliseconds
        flags[.timeoutMilliseconds] = timeoutMilliseconds
        flags[.rowCacheBytes] = rowCacheBytes
        flags[.uploadIdleMilliseconds] = uploadIdleMilliseconds
        flags[.sweepMilliseconds] = sweepMilliseconds
        flags[.logBytesMax] = logBytesMax
        flags[.logEntriesMax] = logEntriesMax
        flags[.absenceMilliseconds] = absenceMilliseconds
        flags[.snapshotBytesPerSecond] = snapshotBytesPerSecond
        flags[.scrubMilliseconds] = scrubMilliseconds
        flags[.scrubBytesPerSecond] = scrubBytesPerSecond
        flags[.featureVersionMax] = featureVersionMax
        flags[.logLevel] = global.logLevel?.rawValue
        let path = config ?? environment["HOLDFAST_CONFIG"].flatMap { $0.isEmpty ? nil : $0 }
        guard let path else { return try ServeSettings(flags: flags, environment: environment) }
        let bytes = try Input.file(path, limit: 1 << 20, what: "the configuration")
        guard let text = String(validating: bytes, as: UTF8.self) else {
            throw .usage("'\(path)' is not UTF-8 text")
        }
        return try ServeSettings(flags: flags, environment: environment, file: text, fileName: path)
    }

    /// The service group's own messages are of no use below a warning.
    private static func quiet(_ logger: Logger) -> Logger {
        var logger = logger
        logger.logLevel = max(logger.logLevel, .warning)
        return logger
    }
}

/// Starts the node, says so, and runs it until the group shuts down.
private struct Daemon: Service {
    let node: HoldfastNode
    let logger: Logger
    let allowsPlaintext: Bool

    func run() async throws {
        try await node.start()
        guard let id = node.id, let endpoint = node.endpoint else {
            throw HoldfastError(.unavailable, "the node started without an address; this is a bug")
        }
        if allowsPlaintext {
            logger.warning(
                "plaintext is allowed: whoever reaches this address can read and change everything",
                metadata: ["endpoint": "\(endpoint)"])
        }
        StandardOutput.line("ready node=\(id) endpoint=\(endpoint)")
        let failure = await node.failure()
        await node.stop()
        if let failure { throw failure }
    }
}
