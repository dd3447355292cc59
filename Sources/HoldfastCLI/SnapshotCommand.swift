internal import ArgumentParser
internal import Holdfast

/// `holdfast snapshot …`: the state in one file.
struct SnapshotCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "snapshot",
        abstract: "Save the state into a file, look at it, make a new cluster of it.",
        discussion: """
            Example:
              holdfast snapshot save backup.hfs --endpoint 127.0.0.1:7001
              holdfast snapshot restore backup.hfs --data ./restored --id 1 --listen 127.0.0.1:7001
            """,
        subcommands: [Save.self, Inspect.self, Restore.self])

    /// The document of every verb.
    struct Document: Encodable {
        var file: String
        var cluster: String
        var lineage: String
        var revision: Revision
        var feedHash: String
        var index: UInt64
        var members: [UInt64]
        var featureVersion: UInt32
        var rowBytes: UInt64
        var chunks: Int
        var chunkBytes: UInt64?
        var fileBytes: UInt64

        init(_ file: String, _ summary: SnapshotSummary) {
            self.file = file
            cluster = summary.cluster
            lineage = summary.lineage
            revision = summary.revision
            feedHash = summary.feedHash
            index = summary.index
            members = summary.members
            featureVersion = summary.featureVersion
            rowBytes = summary.rowBytes
            chunks = summary.chunks
            chunkBytes = summary.chunkBytes
            fileBytes = summary.fileBytes
        }
    }

    static func show(_ file: String, _ summary: SnapshotSummary, json: Bool) {
        if json { return StandardOutput.json(Document(file, summary)) }
        let chunks = summary.chunkBytes.map { "with their \(Units.bytes($0))" } ?? "named, without their bytes"
        StandardOutput.line("cluster \(summary.cluster)  lineage \(summary.lineage)  revision \(summary.revision)")
        StandardOutput.line("log index \(summary.index)  feed hash \(summary.feedHash)")
        StandardOutput.line("rows \(Units.bytes(summary.rowBytes))  chunks \(summary.chunks), \(chunks)")
    }

    /// `snapshot save FILE`.
    struct Save: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            commandName: "save",
            abstract: "Save everything that was acknowledged into one file.",
            discussion: """
                Keys with their history, models and uploads; with --with-chunks the bytes of the models too, else their names.
                A file that is there already is left as it is: exit status 2. An interrupted save goes on where it stopped.

                Example:
                  holdfast snapshot save backup.hfs --with-chunks
                """)

        @Argument(help: "The file to make.")
        var file: String
        @Flag(help: "Save the bytes of models too.")
        var withChunks = false
        @OptionGroup(title: "Global options")
        var global: GlobalOptions

        func run() async throws {
            let summary = try await global.withStore { store in
                try await store.saveSnapshot(to: file, withChunks: withChunks)
            }
            SnapshotCommand.show(file, summary, json: global.json)
        }
    }

    /// `snapshot inspect FILE`.
    struct Inspect: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            commandName: "inspect",
            abstract: "Check every byte of a saved state and say what it is.",
            discussion: "Example:\n  holdfast snapshot inspect backup.hfs")

        @Argument(help: "The file.")
        var file: String
        @OptionGroup(title: "Global options")
        var global: GlobalOptions

        func run() async throws {
            SnapshotCommand.show(file, try HoldfastNode.inspectSnapshot(at: file), json: global.json)
        }
    }

    /// `snapshot restore FILE --data DIR`.
    struct Restore: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            commandName: "restore",
            abstract: "Make the directory of a new cluster of one member from a saved state.",
            discussion: """
                The new cluster has a lineage of its own: its node can never vote in the old one, nor join it. Start it with
                'holdfast serve', then add the others with 'holdfast cluster add-learner'. A directory that is not empty is left
                as it is: exit status 2.

                Example:
                  holdfast snapshot restore backup.hfs --data ./restored --id 1 --listen 127.0.0.1:7001
                """)

        @Argument(help: "The file.")
        var file: String
        @Option(help: ArgumentHelp("The directory to make.", valueName: "dir"))
        var data: String
        @Option(help: ArgumentHelp("The node's ID.", valueName: "n"))
        var id: UInt64 = 1
        @Option(help: ArgumentHelp("Where the node will be reached.", valueName: "host:port"))
        var listen = "127.0.0.1:7001"
        @Option(help: ArgumentHelp("The new cluster's name; else that of the old one.", valueName: "name"))
        var cluster: String?
        @OptionGroup(title: "Global options")
        var global: GlobalOptions

        func run() async throws {
            try Endpoint.check(listen, portZero: false)
            let summary = try HoldfastNode.restoreSnapshot(
                at: file, directory: data, id: id, endpoint: listen, cluster: cluster)
            SnapshotCommand.show(file, summary, json: global.json)
        }
    }
}
