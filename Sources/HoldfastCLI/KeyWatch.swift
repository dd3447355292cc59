internal import ArgumentParser
internal import Holdfast

/// `key watch KEY | --prefix PREFIX`.
struct KeyWatch: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "watch",
        abstract: "Print changes of keys as they happen.",
        discussion: """
            One line per change, in the order of the store; with --json one object per line. Ends after --count changes, or
            on Ctrl-C with status 0.

            Example:
              holdfast key watch config/mode
              holdfast key watch --prefix config/ --from 1 --json
            """)

    @Argument(help: "The key.")
    var key: String?
    @Option(help: ArgumentHelp("Watch every key that begins so; '' is every key.", valueName: "prefix"))
    var prefix: String?
    @Option(help: ArgumentHelp("Begin with the changes of revision N instead of now.", valueName: "n"))
    var from: UInt64?
    @Option(help: ArgumentHelp("End after N changes.", valueName: "n"))
    var count: Int?
    @OptionGroup(title: "Global options")
    var global: GlobalOptions

    func validate() throws {
        guard (key == nil) != (prefix == nil) else { throw ValidationError("give KEY or --prefix PREFIX, one of them") }
        if let count, count < 1 { throw ValidationError("--count is 1 or more, not \(count)") }
    }

    func run() async throws {
        let scope: KeyScope = prefix.map { .prefix(Key($0)) } ?? .key(Key(key ?? ""))
        try await Interrupt.guarding {
            try await global.withStore { store in
                var seen = 0
                for try await change in store.watch(scope, from: from) {
                    show(change)
                    seen += 1
                    if seen == count || StandardOutput.hasNoReader { return }
                }
            }
        } onInterrupt: {
            ExitStatus.ok
        }
    }

    private func show(_ change: Change) {
        if global.json {
            StandardOutput.json(KeyDocument(change))
            return
        }
        let found = change.keyValue
        let value = change.kind == .put ? " = \(Preview.text(found.value, columns: 200))" : ""
        StandardOutput.line("\(found.revision) \(change.kind.rawValue) \(found.key)\(value)")
    }
}
