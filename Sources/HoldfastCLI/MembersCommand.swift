internal import ArgumentParser
internal import Holdfast

/// `ID=HOST:PORT`, as the verbs that add a node take it.
struct MemberArgument: ExpressibleByArgument {
    let id: UInt64
    let endpoint: String

    init?(argument: String) {
        let pair = argument.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
        guard pair.count == 2, let id = UInt64(pair[0]), id > 0 else { return nil }
        self.id = id
        endpoint = String(pair[1])
    }

    /// Refuses what is no address.
    func check() throws(Failure) { try Endpoint.check(endpoint, portZero: false) }
}

/// The document of `cluster members --json` and of every verb that changes them.
struct MembersDocument: Encodable {
    struct Member: Encodable {
        var id: UInt64
        var endpoint: String
        var role: String
    }

    var changing: Bool
    var members: [Member]
    var nextID: UInt64
    var removed: [UInt64]

    init(_ members: ClusterMembers) {
        changing = members.isChanging
        self.members = members.members.map { Member(id: $0.id, endpoint: $0.endpoint, role: $0.role.rawValue) }
        nextID = members.nextID
        removed = members.removed
    }
}

extension GlobalOptions {
    /// Prints the members after a verb: the document, or one sentence.
    func show(_ members: ClusterMembers, _ sentence: String) {
        if json { StandardOutput.json(MembersDocument(members)) } else { StandardOutput.line(sentence) }
    }
}

/// `cluster members`.
struct MembersVerb: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "members",
        abstract: "Show who votes, who learns, and which IDs were used.",
        discussion: "Example:\n  holdfast cluster members --endpoint 127.0.0.1:7001")

    @OptionGroup(title: "Global options")
    var global: GlobalOptions

    func run() async throws {
        let members = try await global.withStore { store in try await store.members() }
        if global.json {
            StandardOutput.json(MembersDocument(members))
            return
        }
        var table = Table([("NODE", .right), ("ENDPOINT", .left), ("ROLE", .left)])
        for member in members.members { table.add(["\(member.id)", member.endpoint, member.role.rawValue]) }
        for line in table.lines { StandardOutput.line(line) }
        if members.isChanging { StandardOutput.line("a change of the voters is under way") }
        if !members.removed.isEmpty {
            let used = members.removed.map { "\($0)" }.joined(separator: ", ")
            StandardOutput.line("removed: \(used); the next free ID is \(members.nextID)")
        }
    }
}

/// `cluster add-learner ID=HOST:PORT`.
struct AddLearnerVerb: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "add-learner",
        abstract: "Add a node that receives everything and does not vote.",
        discussion: """
            The node is formatted with 'holdfast node format --join' and started, before or after. Its ID must never have been
            used in the cluster. 'holdfast cluster promote' makes it a voter.

            Example:
              holdfast cluster add-learner 4=127.0.0.1:7004
            """)

    @Argument(help: ArgumentHelp("The node and where it listens.", valueName: "id=host:port"))
    var member: MemberArgument
    @OptionGroup(title: "Global options")
    var global: GlobalOptions

    func run() async throws {
        try member.check()
        let members = try await global.withStore { store in
            try await store.addLearner(member.id, endpoint: member.endpoint)
        }
        global.show(members, "node \(member.id) learns from \(member.endpoint)")
    }
}

/// `cluster promote ID`.
struct PromoteVerb: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "promote",
        abstract: "Make a learner a voter.",
        discussion: """
            Waits until the learner has caught up with the log and holds every published chunk; at the timeout it says what is
            still lacking and ends with status 2. Run it again to go on waiting.

            Example:
              holdfast cluster promote 4 --timeout 600
            """)

    @Argument(help: "The ID of the learner.")
    var node: UInt64
    @OptionGroup(title: "Global options")
    var global: GlobalOptions

    func run() async throws {
        let members = try await global.withStore { store in try await store.promote(node) }
        global.show(members, "node \(node) votes")
    }
}

/// `cluster remove ID`.
struct RemoveVerb: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "remove",
        abstract: "Remove a member for good.",
        discussion: """
            Refused where the others would have no quorum that answers and holds every published chunk. A node that leads hands
            over first. The process of the node is told and stops; its ID is never used again.

            Example:
              holdfast cluster remove 4
            """)

    @Argument(help: "The ID of the member.")
    var node: UInt64
    @OptionGroup(title: "Global options")
    var global: GlobalOptions

    func run() async throws {
        let members = try await global.withStore { store in try await store.removeMember(node) }
        global.show(members, "node \(node) is no member any more")
    }
}

/// `cluster replace OLD NEW=HOST:PORT`.
struct ReplaceVerb: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "replace",
        abstract: "Put a new node in the place of a member, such as one whose disk is lost.",
        discussion: """
            Adds the new node as a learner, waits until it has everything, and changes one for the other in one step: never fewer
            voters than before. At the timeout it says what is still lacking and ends with status 2; run it again to go on.

            Example:
              holdfast node format --data ./n4 --id 4 --join 127.0.0.1:7001 --listen 127.0.0.1:7004
              holdfast serve --data ./n4
              holdfast cluster replace 2 4=127.0.0.1:7004 --timeout 3600
            """)

    @Argument(help: "The ID of the member that goes.")
    var old: UInt64
    @Argument(help: ArgumentHelp("The node that comes, and where it listens.", valueName: "id=host:port"))
    var new: MemberArgument
    @OptionGroup(title: "Global options")
    var global: GlobalOptions

    func run() async throws {
        try new.check()
        let members = try await global.withStore { store in
            try await store.replaceMember(old, with: new.id, endpoint: new.endpoint)
        }
        global.show(members, "node \(new.id) has taken the place of node \(old)")
    }
}
