internal import ArgumentParser

/// The root of the command line: `holdfast VERB …`.
struct HoldfastCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "holdfast",
        abstract: "A replicated store for keys and for the weights of models.",
        discussion: """
            Say where to work with --endpoint HOST:PORT (a running cluster) or --local DIR (a directory, no daemon);
            HOLDFAST_ENDPOINT and HOLDFAST_LOCAL stand in for them.

            Example:
              holdfast --endpoint 127.0.0.1:7001 model pull all-minilm ./model
              holdfast key put greeting hello --local ./data

            --version prints the version of this program.
            """,
        subcommands: [
            NodeCommand.self, ServeCommand.self, KeyCommand.self, ModelCommand.self, TensorCommand.self,
            ClusterCommand.self, SiteCommand.self, SnapshotCommand.self, BenchCommand.self,
        ]
    )

    /// Parsed here so that the global options may stand before the verb as well as after it.
    @OptionGroup(title: "Global options")
    var global: GlobalOptions

    /// What `holdfast --version` prints.
    static let versionText = "0.1.0"

    /// Parses and runs `arguments` (without the program's name), reports what failed, and returns the exit status.
    static func perform(_ arguments: [String]) async -> Int32 {
        if asksForVersion(arguments) {
            StandardOutput.line("holdfast \(versionText)")
            return ExitStatus.ok
        }
        do {
            var command = try parseAsRoot(arguments)
            if var asynchronous = command as? any AsyncParsableCommand {
                try await asynchronous.run()
            } else {
                try command.run()
            }
            return ExitStatus.ok
        } catch {
            return report(error, json: arguments.prefix { $0 != "--" }.contains("--json"))
        }
    }

    /// Whether `--version` stands alone: `model push` has an option of that name with a value.
    static func asksForVersion(_ arguments: [String]) -> Bool {
        let options = arguments.prefix { $0 != "--" }
        guard options.contains("--version") else { return false }
        return !(options.contains("model") && options.contains("push"))
    }

    /// Prints `error` where it belongs and returns the exit status that it means.
    private static func report(_ error: any Error, json: Bool) -> Int32 {
        if let failure = Failure(reporting: error) {
            StandardError.line(json ? failure.json : failure.text)
            return failure.status
        }
        let code = exitCode(for: error)
        let message = fullMessage(for: error)
        if code == .success {
            StandardOutput.line(message)
        } else if message.isEmpty {
            // The verb has said what it had to say; the status is its answer.
            return code.rawValue
        } else if json {
            StandardError.line(Failure.usage(Self.message(for: error)).json)
        } else {
            StandardError.line(message)
        }
        return code.rawValue
    }
}

/// The entry point of the program.
@main
enum Main {
    static func main() async {
        Interrupt.ignoreBrokenPipes()
        let status = await HoldfastCommand.perform(Array(CommandLine.arguments.dropFirst()))
        Interrupt.exit(status)
    }
}
