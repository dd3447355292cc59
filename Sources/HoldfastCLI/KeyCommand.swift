internal import ArgumentParser
internal import Foundation
internal import Holdfast

/// `holdfast key …`: keys and values.
struct KeyCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "key",
        abstract: "Read, write and watch keys.",
        discussion: "Example:\n  holdfast key put service/model all-minilm@1 --endpoint 127.0.0.1:7001",
        subcommands: [
            KeyPut.self, KeyGet.self, KeyDelete.self, KeyListVerb.self, KeyTransaction.self, KeyWatch.self,
            KeyCompact.self,
        ])
}

/// `key put KEY [VALUE|-] [--if-revision N]`.
struct KeyPut: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "put",
        abstract: "Write a key.",
        discussion: """
            Without VALUE, or with -, the value is read from standard input, byte for byte (at most 512 KiB).

            Example:
              holdfast key put config/mode fast
              holdfast key put config/blob - < settings.bin
              holdfast key put lock me --if-revision 0        (only if the key is absent)
            """)

    @Argument(help: "The key.")
    var key: String
    @Argument(help: "The value, or - for standard input.")
    var value: String?
    @Option(help: ArgumentHelp("Write only if the key's revision is N; 0 means absent.", valueName: "n"))
    var ifRevision: UInt64?
    @OptionGroup(title: "Global options")
    var global: GlobalOptions

    func run() async throws {
        var bytes = Array((value ?? "").utf8)
        if value == nil || value == "-" { bytes = try Input.standard(limit: Input.valueBytesMax, what: "the value") }
        let written = try await global.withStore { store in
            let written = try await store.put(Key(key), bytes, ifRevision: ifRevision)
            return global.json ? await Self.whole(written, store) : written
        }
        if global.json {
            StandardOutput.json(KeyDocument(written))
        } else {
            StandardOutput.line("revision \(written.revision)")
        }
    }

    /// The key as the write left it. The write is done whatever this read says, so what is known is then enough.
    private static func whole(_ written: KeyValue, _ store: Store) async -> KeyValue {
        guard written.version == 0 else { return written }
        do {
            return try await store.get(written.key, at: written.revision) ?? written
        } catch {
            return written
        }
    }
}

/// `key get KEY [--revision N] [--stale | --min-revision N]`.
struct KeyGet: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "get",
        abstract: "Read a key.",
        discussion: """
            Prints the exact bytes; a newline follows only on a terminal. Exit status 3 where the key does not exist.

            Example:
              holdfast key get config/mode
              holdfast key get config/mode --revision 41
            """)

    @Argument(help: "The key.")
    var key: String
    @Option(help: ArgumentHelp("Read as of this revision.", valueName: "n"))
    var revision: UInt64?
    @OptionGroup
    var read: ReadOptions
    @OptionGroup(title: "Global options")
    var global: GlobalOptions

    func run() async throws {
        let found = try await global.withStore { store in
            try await store.get(Key(key), at: revision, consistency: read.consistency)
        }
        guard let found else { throw Missing.key(key, revision: revision) }
        if global.json {
            StandardOutput.json(KeyDocument(found))
        } else {
            StandardOutput.bytes(found.value)
            if StandardOutput.isTerminal, found.value.last != UInt8(ascii: "\n") { StandardOutput.line("") }
        }
    }
}

/// `key delete KEY [--if-revision N]`.
struct KeyDelete: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "delete",
        abstract: "Remove a key.",
        discussion: """
            Exit status 3 where the key does not exist.

            Example:
              holdfast key delete config/mode --if-revision 41
            """)

    @Argument(help: "The key.")
    var key: String
    @Option(help: ArgumentHelp("Remove only if the key's revision is N.", valueName: "n"))
    var ifRevision: UInt64?
    @OptionGroup(title: "Global options")
    var global: GlobalOptions

    func run() async throws {
        let revision = try await global.withStore { store in try await store.delete(Key(key), ifRevision: ifRevision) }
        guard let revision else { throw Missing.key(key, revision: nil) }
        if global.json {
            StandardOutput.json(DeletedDocument(Key(key), revision: revision))
        } else {
            StandardOutput.line("deleted at revision \(revision)")
        }
    }
}

/// `key list PREFIX [--limit N]`.
struct KeyListVerb: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "list",
        abstract: "List keys by prefix, in order.",
        discussion: """
            With --json: {"keys":[…],"more":false,"revision":N}.

            Example:
              holdfast key list config/ --limit 20
            """)

    @Argument(help: "The first bytes of the keys; nothing lists them all.")
    var prefix = ""
    @Option(help: ArgumentHelp("At most so many keys; 0 is no limit.", valueName: "n"))
    var limit = 0
    @Option(help: ArgumentHelp("List as of this revision.", valueName: "n"))
    var revision: UInt64?
    @Flag(help: "Highest key first.")
    var descending = false
    @OptionGroup
    var read: ReadOptions
    @OptionGroup(title: "Global options")
    var global: GlobalOptions

    func validate() throws {
        guard limit >= 0 else { throw ValidationError("--limit is 0 (no limit) or more, not \(limit)") }
    }

    func run() async throws {
        let pages = KeyPages(
            prefix: Key(prefix), limit: limit, order: descending ? .descending : .ascending,
            consistency: read.consistency)
        let list = try await global.withStore { store in try await pages.read(store, at: revision) }
        if global.json {
            StandardOutput.json(KeyListDocument(list))
            return
        }
        var table = Table([
            ("KEY", .left), ("REVISION", .right), ("VERSION", .right), ("SIZE", .right), ("VALUE", .left),
        ])
        for found in list.keys {
            table.add([
                Preview.text(found.key.bytes, columns: 60), "\(found.revision)", "\(found.version)",
                Units.bytes(UInt64(found.value.count)), Preview.text(found.value, columns: 40),
            ])
        }
        table.print()
        if list.more { StandardError.line("more keys follow; raise --limit (now \(limit)) to see them") }
    }
}

/// `key compact REVISION`.
struct KeyCompact: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "compact",
        abstract: "Forget old values up to a revision.",
        discussion: """
            Values that were overwritten or deleted at or below REVISION can no longer be read; current values stay.

            Example:
              holdfast key compact 1000
            """)

    @Argument(help: "The last revision whose history may go.")
    var revision: UInt64
    @OptionGroup(title: "Global options")
    var global: GlobalOptions

    func run() async throws {
        try await global.withStore { store in try await store.compact(through: revision) }
        if global.json {
            StandardOutput.json(["compactRevision": revision])
        } else {
            StandardOutput.line("compacted through revision \(revision)")
        }
    }
}

/// Errors for what is not there.
enum Missing {
    /// A key that does not exist, now or at a revision.
    static func key(_ key: String, revision: UInt64?) -> Failure {
        let time = revision.map { " at revision \($0)" } ?? ""
        return Failure(HoldfastError(.notFound, "key '\(key)' does not exist\(time)", details: ["key": key]))
    }
}

/// Standard input and files as arguments.
enum Input {
    /// The longest value of a key, in bytes; the library checks it too.
    static let valueBytesMax = 512 << 10

    /// Standard input to its end.
    static func standard(limit: Int, what: String) throws(Failure) -> [UInt8] {
        guard let bytes = Descriptor.readAll(STDIN_FILENO, limit: limit) else {
            throw .usage("\(what) on standard input is longer than \(Units.bytes(UInt64(limit))) or cannot be read")
        }
        return bytes
    }

    /// A file, or standard input for `-`.
    static func file(_ path: String, limit: Int, what: String) throws(Failure) -> [UInt8] {
        if path == "-" { return try standard(limit: limit, what: what) }
        let descriptor = open(path, O_RDONLY)
        guard descriptor >= 0 else { throw .usage("'\(path)' cannot be opened: \(String(cString: strerror(errno)))") }
        defer { close(descriptor) }
        guard let bytes = Descriptor.readAll(descriptor, limit: limit) else {
            throw .usage("'\(path)' is longer than \(Units.bytes(UInt64(limit))) or cannot be read")
        }
        return bytes
    }
}

/// Values in a table: one line, no control characters, cut to a width.
enum Preview {
    /// Text for a person; `…` where something was left out.
    static func text(_ bytes: [UInt8], columns: Int) -> String {
        guard let text = String(validating: bytes.prefix(columns * 4 + 4), as: UTF8.self) ?? validPrefix(bytes, columns)
        else { return "(binary)" }
        let line = String(text.map { $0.isNewline || $0.asciiValue.map { $0 < 32 || $0 == 127 } ?? false ? " " : $0 })
        guard line.count > columns else { return line }
        return line.prefix(columns - 1) + "…"
    }

    /// A cut may split a character: try the few bytes before it.
    private static func validPrefix(_ bytes: [UInt8], _ columns: Int) -> String? {
        let cut = columns * 4 + 4
        guard bytes.count > cut else { return nil }
        for count in (cut - 3)..<cut {
            if let text = String(validating: bytes.prefix(count), as: UTF8.self) { return text }
        }
        return nil
    }
}
