internal import ArgumentParser
internal import Foundation
internal import Holdfast

/// `holdfast site orphans …`: writes of this site that did not survive a failover.
struct OrphansCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "orphans",
        abstract: "Writes of this site that did not survive a failover.",
        discussion: "Ask the site that rejoined. Example:\n  holdfast site orphans list",
        subcommands: [List.self, Export.self, Replay.self, Drop.self])

    /// `site orphans list`.
    struct List: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "List what each undone revision did.",
            discussion: "With --json one object a line, with the values. Example:\n  holdfast site orphans list")

        @OptionGroup(title: "Global options")
        var global: GlobalOptions

        func run() async throws {
            try await global.forEachOrphan { orphan in
                if global.json { return StandardOutput.json(OrphanDocument(orphan)) }
                for change in OrphanDocument(orphan).changes {
                    StandardOutput.line("\(orphan.rewind)  \(orphan.revision)  \(change.type)  \(change.name)")
                }
            }
        }
    }

    /// `site orphans export FILE`.
    struct Export: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Write all of them to a file, one JSON object a line.",
            discussion: "Example:\n  holdfast site orphans export orphans.jsonl")

        @Argument(help: "The file; it must not exist.")
        var file: String
        @OptionGroup(title: "Global options")
        var global: GlobalOptions

        func run() async throws {
            guard !FileManager.default.fileExists(atPath: file) else {
                throw HoldfastError(.alreadyExists, "\(file) exists; name another file")
            }
            var lines: [String] = []
            try await global.forEachOrphan { lines.append(JSON.text(OrphanDocument($0))) }
            let text = lines.map { $0 + "\n" }.joined()
            try text.write(toFile: file, atomically: true, encoding: .utf8)
            StandardOutput.line("\(lines.count) orphans are in \(file)")
        }
    }

    /// `site orphans drop --through N`.
    struct Drop: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Forget the orphans of all rewinds through one.",
            discussion: "Example:\n  holdfast site orphans drop --through 4711")

        @Option(help: ArgumentHelp("The first column of the list.", valueName: "rewind"))
        var through: UInt64
        @OptionGroup(title: "Global options")
        var global: GlobalOptions

        func run() async throws {
            try await global.withStore { store in try await store.dropSiteOrphans(through: through) }
            StandardOutput.line("forgotten")
        }
    }
}

extension GlobalOptions {
    /// Calls `body` for every orphan, in order.
    func forEachOrphan(_ body: (SiteOrphan) -> Void) async throws {
        try await withStore { store in
            var last: SiteOrphan?
            while true {
                let page = try await store.siteOrphans(after: last)
                guard let end = page.last else { return }
                for orphan in page { body(orphan) }
                last = end
            }
        }
    }
}

/// One orphan of `site orphans list --json`.
struct OrphanDocument: Encodable {
    struct Change: Encodable {
        var type: String
        var name: String
        var value: String?
        var encoding: String?
    }

    var rewind: UInt64
    var revision: Revision
    var epoch: UInt64
    var undone: UInt64
    var changes: [Change]

    init(_ orphan: SiteOrphan) {
        rewind = orphan.rewind
        revision = orphan.revision
        epoch = orphan.epoch
        undone = orphan.undoneMilliseconds
        changes = orphan.changes.map { change in
            switch change {
            case .put(let key, let value):
                let text = EncodedBytes(value)
                return Change(type: "put", name: "\(key)", value: text.text, encoding: text.encoding)
            case .delete(let keys): return Change(type: "delete", name: keys)
            case .published(let model): return Change(type: "published", name: "\(model.name)@\(model.version)")
            case .retired(let name, let version): return Change(type: "retired", name: "\(name)@\(version)")
            }
        }
    }
}
