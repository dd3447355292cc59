internal import ArgumentParser
internal import Foundation
internal import Holdfast
internal import Logging

/// The options that every verb takes, before or after it.
struct GlobalOptions: ParsableArguments {
    @Option(
        help: ArgumentHelp(
            "A node of the cluster; repeat it to name more. Else HOLDFAST_ENDPOINT (comma list).",
            valueName: "host:port"))
    var endpoint: [String] = []

    @Option(help: ArgumentHelp("Work on a directory, without a daemon. Else HOLDFAST_LOCAL.", valueName: "dir"))
    var local: String?

    @Flag(help: "Print JSON: one document, or one line per event.")
    var json = false

    @Option(help: ArgumentHelp("How long one request may take (default 30; HOLDFAST_TIMEOUT).", valueName: "seconds"))
    var timeout: Double?

    @Option(
        help: ArgumentHelp(
            "trace, debug, info, notice, warning, error or critical (HOLDFAST_LOG_LEVEL).", valueName: "level"),
        transform: { text in
            guard let level = Logger.Level(rawValue: text) else {
                throw ValidationError("'\(text)' is no log level")
            }
            return level
        })
    var logLevel: Logger.Level?
}

extension GlobalOptions {
    /// The place that the flags or `environment` name.
    func place(_ environment: [String: String] = ProcessInfo.processInfo.environment) throws(Failure) -> Place {
        try Place(endpoints: endpoint, local: local, environment: environment)
    }

    /// How long one request may take, in milliseconds: flag, then environment, then 30 s.
    func timeoutMilliseconds(
        _ environment: [String: String] = ProcessInfo.processInfo.environment
    ) throws(Failure) -> Int {
        var seconds = timeout ?? 30
        if timeout == nil, let text = environment["HOLDFAST_TIMEOUT"], !text.isEmpty {
            guard let number = Double(text) else {
                throw .usage("HOLDFAST_TIMEOUT is '\(text)'; set it to a number of seconds")
            }
            seconds = number
        }
        guard seconds > 0, seconds <= 1e9 else {
            throw .usage("a timeout of \(seconds) s cannot be kept; give more than 0 seconds")
        }
        return max(1, Int(seconds * 1000))
    }

    /// A logger to standard error; `level` is where neither the flag nor the environment says.
    func logger(
        default level: Logger.Level, _ environment: [String: String] = ProcessInfo.processInfo.environment
    ) throws(Failure) -> Logger {
        var chosen = logLevel ?? level
        if logLevel == nil, let text = environment["HOLDFAST_LOG_LEVEL"], !text.isEmpty {
            guard let named = Logger.Level(rawValue: text) else {
                throw .usage(
                    "HOLDFAST_LOG_LEVEL is '\(text)'; use trace, debug, info, notice, warning, error or critical")
            }
            chosen = named
        }
        var logger = Logger(label: "holdfast") { StreamLogHandler.standardError(label: $0) }
        logger.logLevel = chosen
        return logger
    }

    /// Opens the place, hands its store to `body`, and closes it again.
    func withStore<Result>(_ body: (Store) async throws -> Result) async throws -> Result {
        let place = try place()
        var configuration = NodeConfiguration(place.kind)
        configuration.timeoutMilliseconds = try timeoutMilliseconds()
        let node = try await place.open(configuration, logger: try logger(default: .error))
        do {
            let result = try await body(node.store)
            await node.stop()
            return result
        } catch {
            await node.stop()
            throw error
        }
    }
}
