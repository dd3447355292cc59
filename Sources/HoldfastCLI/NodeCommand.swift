internal import ArgumentParser
internal import Holdfast

/// `holdfast node …`: one node.
struct NodeCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "node",
        abstract: "Format a node's directory, read its metrics.",
        discussion: """
            Example:
              holdfast node format --data ./n1 --id 1 --cluster demo \\
                --members "1=127.0.0.1:7001,2=127.0.0.1:7002,3=127.0.0.1:7003"
            """,
        subcommands: [Format.self, MetricsVerb.self])

    /// `node format`.
    struct Format: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            commandName: "format",
            abstract: "Make the directory of a first member of a cluster.",
            discussion: """
                All first members are formatted with the same cluster, members and token; then they print the same bootstrap
                ID. A directory that is formatted already is left as it is: exit status 2.

                Example:
                  holdfast node format --data ./n1 --id 1 --cluster demo \\
                    --members "1=127.0.0.1:7001,2=127.0.0.1:7002,3=127.0.0.1:7003"
                """)

        @Option(help: ArgumentHelp("The directory to make.", valueName: "dir"))
        var data: String
        @Option(
            help: ArgumentHelp("This node's ID, 1 or more; never used again after the node is gone.", valueName: "n"))
        var id: UInt64
        @Option(help: ArgumentHelp("The cluster's name.", valueName: "name"))
        var cluster: String
        @Option(help: ArgumentHelp("The first members with their addresses.", valueName: "id=host:port,…"))
        var members: String
        @Option(help: ArgumentHelp("Tells clusters of the same name and members apart.", valueName: "text"))
        var token = ""
        @OptionGroup(title: "Global options")
        var global: GlobalOptions

        private struct Document: Encodable {
            var data: String
            var id: UInt64
            var cluster: String
            var bootstrapID: String
        }

        func run() async throws {
            let members = try MemberList.parse(members)
            guard members[id] != nil else {
                throw Failure.usage("node \(id) is not among --members; add '\(id)=HOST:PORT' or correct --id")
            }
            let bootstrapID = try HoldfastNode.format(
                directory: data, id: id, cluster: cluster, members: members, token: token)
            if global.json {
                StandardOutput.json(Document(data: data, id: id, cluster: cluster, bootstrapID: bootstrapID))
            } else {
                StandardOutput.line(bootstrapID)
            }
        }
    }

    /// `node metrics`.
    struct MetricsVerb: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            commandName: "metrics",
            abstract: "Print a node's metrics in Prometheus' text format.",
            discussion: "Example:\n  holdfast node metrics --endpoint 127.0.0.1:7001")

        @OptionGroup(title: "Global options")
        var global: GlobalOptions

        func run() async throws {
            let text = try await global.withStore { store in try await store.metrics() }
            if global.json {
                StandardOutput.json(["metrics": text])
            } else {
                StandardOutput.bytes(Array(text.utf8))
                if text.last != "\n" { StandardOutput.line("") }
            }
        }
    }
}

/// The text of `--members`.
enum MemberList {
    /// `1=HOST:PORT,2=HOST:PORT`: IDs are 1 or more, each ID and each address once.
    static func parse(_ text: String) throws(Failure) -> [UInt64: String] {
        var members: [UInt64: String] = [:]
        for part in text.split(separator: ",", omittingEmptySubsequences: false) {
            let pair = part.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
            guard pair.count == 2, let id = UInt64(pair[0].trimmingSpaces), id > 0 else {
                throw .usage("'\(part)' is not a member; write --members \"1=HOST:PORT,2=HOST:PORT\"")
            }
            let endpoint = pair[1].trimmingSpaces
            try Endpoint.check(endpoint, portZero: false)
            guard members[id] == nil else { throw .usage("node \(id) stands twice in --members") }
            guard !members.values.contains(endpoint) else {
                throw .usage("two members have the address \(endpoint); give each its own")
            }
            members[id] = endpoint
        }
        return members
    }
}
