internal import ArgumentParser
internal import Holdfast

/// `key transaction FILE`.
struct KeyTransaction: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "transaction",
        abstract: "Compare keys, then do one of two lists of operations, all at one revision.",
        discussion: """
            FILE is JSON; - is standard input. A compare that does not hold is no error: "succeeded" is then false and the
            operations under "else" were done.

            Example:
              {"compare":[{"key":"owner","revision":0}],
               "then":[{"op":"put","key":"owner","value":"me"}],
               "else":[{"op":"get","key":"owner"}]}

              holdfast key transaction take-over.json --json
            """)

    @Argument(help: "The file with compare, then and else; - is standard input.")
    var file: String
    @OptionGroup(title: "Global options")
    var global: GlobalOptions

    /// Base64 and JSON's escapes make the file longer than the 512 KiB that a transaction may hold.
    private static let fileBytesMax = 4 << 20

    func run() async throws {
        let text = try Input.file(file, limit: Self.fileBytesMax, what: "the transaction")
        let transaction = try TransactionFile(parsing: text).transaction
        let result = try await global.withStore { store in try await store.transaction(transaction) }
        if global.json {
            StandardOutput.json(TransactionDocument(result))
            return
        }
        StandardOutput.line("\(result.succeeded ? "then" : "else") at revision \(result.revision)")
        for answer in result.answers {
            switch answer {
            case .put: StandardOutput.line("  put")
            case .deleted(let count): StandardOutput.line("  deleted \(count) \(count == 1 ? "key" : "keys")")
            case .keys(let list):
                StandardOutput.line("  \(list.keys.count) \(list.keys.count == 1 ? "key" : "keys")")
                for found in list.keys {
                    StandardOutput.line("    \(found.key): \(Preview.text(found.value, columns: 60))")
                }
            }
        }
    }
}
