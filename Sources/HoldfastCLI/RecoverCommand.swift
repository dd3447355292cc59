internal import ArgumentParser
internal import Foundation
internal import Holdfast

/// `cluster recover --from-survivors --data DIR`.
struct RecoverVerb: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "recover",
        abstract: "Make a survivor of a lost quorum a cluster of its own.",
        discussion: """
            Only when a majority of the voters is gone for good: as long as one of them may come back, wait for it. Works on the
            directory of a survivor that is stopped. It says what may be lost and asks; --yes answers. Of several survivors take
            the one whose log ends at the highest term, then the highest index: run it on each without --yes to see.

            The node becomes the only member of a new lineage, with every entry of its log. The old members cannot join it: give
            them new directories with 'holdfast node format --join'. There is no way back.

            Example:
              holdfast cluster recover --from-survivors --data ./n3
            """)

    @Flag(help: "Go on from what this survivor has; what only the others had is lost.")
    var fromSurvivors = false
    @Option(help: ArgumentHelp("The survivor's directory.", valueName: "dir"))
    var data: String
    @Option(help: ArgumentHelp("Where the node will be; else where it was.", valueName: "host:port"))
    var listen: String?
    @Flag(help: "Do not ask.")
    var yes = false
    @OptionGroup(title: "Global options")
    var global: GlobalOptions

    private struct Document: Encodable {
        var bootstrapID: String
        var cluster: String
        var lackingModels: [String]
        var lastIndex: UInt64
        var lastTerm: UInt64
        var lineage: String
        var lostLineage: String
        var lostMembers: [UInt64]
        var node: UInt64
        var revision: Revision
        var unconfirmedEntries: UInt64
    }

    func run() async throws {
        guard fromSurvivors else {
            throw Failure.usage("say --from-survivors: what only the lost members had is lost")
        }
        if let listen { try Endpoint.check(listen, portZero: false) }
        let logger = try global.logger(default: .warning)
        let survivor = try await HoldfastNode.survey(directory: data, logger: logger)
        for line in Self.warning(survivor) { StandardError.line(line) }
        guard yes || confirmed() else {
            throw HoldfastError(
                .preconditionFailed,
                "the recovery of \(data) was not confirmed and nothing was changed; answer yes, or give --yes")
        }
        let made = try await HoldfastNode.recover(directory: data, listen: listen, logger: logger)
        if global.json {
            StandardOutput.json(
                Document(
                    bootstrapID: made.bootstrapID, cluster: survivor.cluster, lackingModels: survivor.lackingModels,
                    lastIndex: survivor.lastIndex, lastTerm: survivor.lastTerm, lineage: made.lineage,
                    lostLineage: survivor.lineage, lostMembers: survivor.others, node: survivor.node,
                    revision: survivor.revision, unconfirmedEntries: survivor.unconfirmedEntries))
            return
        }
        let place = listen ?? survivor.endpoint
        StandardOutput.line("node \(survivor.node) is the only member of lineage \(made.lineage)")
        StandardOutput.line("start it:       holdfast serve --data \(data)")
        StandardOutput.line("then, for each other node, in a new directory:")
        StandardOutput.line("                holdfast node format --data DIR --join \(place) --listen HOST:PORT")
        StandardOutput.line("                holdfast serve --data DIR")
        StandardOutput.line("                holdfast cluster add-learner ID=HOST:PORT --endpoint \(place)")
        StandardOutput.line("                holdfast cluster promote ID --endpoint \(place)")
    }

    /// What everybody must know before the answer.
    static func warning(_ survivor: SurvivorReport) -> [String] {
        var lines = [
            "WARNING: this gives up lineage \(survivor.lineage) of cluster '\(survivor.cluster)'. There is no way back.",
            "  Node \(survivor.node) has the log through index \(survivor.lastIndex) of term \(survivor.lastTerm), and revision "
                + "\(survivor.revision) applied.",
        ]
        if survivor.others.isEmpty {
            lines.append("  It is the only member: nothing but its lineage is lost. Is this what you want?")
        } else {
            let others = survivor.others.map { "\($0)" }.joined(separator: ", ")
            lines.append(
                "  MAY BE LOST: every write that was acknowledged by nodes \(others) after that index and never reached this node."
            )
            lines.append(
                "  Nodes \(others) must never run again with their present directories: they would be another cluster under the same name."
            )
        }
        if survivor.unconfirmedEntries > 0 {
            lines.append(
                "  Its last \(survivor.unconfirmedEntries) entries are not known to be committed; they are kept, also those whose "
                    + "clients were told that the outcome is unknown.")
        }
        if !survivor.lackingModels.isEmpty {
            lines.append(
                "  It lacks chunks of \(survivor.lackingModels.count) published versions: "
                    + survivor.lackingModels.joined(separator: ", ")
                    + "; push them again, or copy the chunks from a lost node's disk.")
        }
        return lines
    }

    /// Asks on standard error and reads one line of standard input.
    private func confirmed() -> Bool {
        StandardError.write("Type yes to go on: ")
        return readLine(strippingNewline: true) == "yes"
    }
}
