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
            abstract: "Make the directory of a first member of a cluster, or of a node that joins one.",
            discussion: """
                All first members are formatted with the same cluster, members and token; then they print the same bootstrap
                ID. With --join the directory is one of a new member of a cluster that runs: start it, then add it with
                'holdfast cluster add-learner'. A directory that is formatted already is left as it is: exit status 2.

                Example:
                  holdfast node format --data ./n1 --id 1 --cluster demo \\
                    --members "1=127.0.0.1:7001,2=127.0.0.1:7002,3=127.0.0.1:7003"
                  holdfast node format --data ./n4 --id 4 --join 127.0.0.1:7001 --listen 127.0.0.1:7004
                """)

        @Option(help: ArgumentHelp("The directory to make.", valueName: "dir"))
        var data: String
        @Option(
            name: [.customLong("id"), .customLong("node")],
            help: ArgumentHelp(
                "This node's ID, 1 or more; never used again after the node is gone. With --join the next free one if left out.",
                valueName: "n"))
        var id: UInt64?
        @Option(help: ArgumentHelp("The cluster's name.", valueName: "name"))
        var cluster: String?
        @Option(help: ArgumentHelp("The first members with their addresses.", valueName: "id=host:port,…"))
        var members: String?
        @Option(help: ArgumentHelp("Nodes of the cluster to join.", valueName: "host:port,…"))
        var join: String?
        @Option(help: ArgumentHelp("With --join: where this node will listen.", valueName: "host:port"))
        var listen: String?
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

        private struct Joined: Encodable {
            var data: String
            var id: UInt64
        }

        func run() async throws {
            if let join { return try await run(joining: join) }
            guard let id, let cluster, let text = members else {
                throw Failure.usage(
                    "a first member needs --id, --cluster and --members; a node of a cluster that runs needs --join HOST:PORT"
                )
            }
            guard listen == nil else {
                throw Failure.usage("--listen goes with --join; a first member's address stands in --members")
            }
            let members = try MemberList.parse(text)
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

        private func run(joining text: String) async throws {
            guard cluster == nil, members == nil, token.isEmpty else {
                throw Failure.usage("--join excludes --cluster, --members and --token: the cluster says all of that")
            }
            guard case .endpoints(let endpoints) = try Place(endpoints: [text], local: nil, environment: [:]) else {
                throw Failure.usage("--join needs HOST:PORT of a node of the cluster")
            }
            if let listen { try Endpoint.check(listen, portZero: false) }
            let node = try await HoldfastNode.format(
                directory: data, id: id, joining: endpoints, listen: listen, logger: global.logger(default: .error))
            if global.json {
                StandardOutput.json(Joined(data: data, id: node))
            } else {
                StandardOutput.line("formatted node \(node); start it with: holdfast serve --data \(data)")
                StandardOutput.line(
                    "then add it: holdfast cluster add-learner \(node)=\(listen ?? "HOST:PORT") --endpoint \(endpoints[0])"
                )
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
