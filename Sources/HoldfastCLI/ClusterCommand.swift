internal import ArgumentParser
internal import Foundation
internal import Holdfast

/// `holdfast cluster …`: the cluster as a whole.
struct ClusterCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "cluster",
        abstract: "See and change the members, move the leadership.",
        discussion: "Example:\n  holdfast cluster status --endpoint 127.0.0.1:7001",
        subcommands: [
            StatusVerb.self, MembersVerb.self, AddLearnerVerb.self, PromoteVerb.self, RemoveVerb.self, ReplaceVerb.self,
            TransferLeader.self, RecoverVerb.self, RebuildVerb.self, ScrubVerb.self,
        ])

    /// `cluster transfer-leader N`.
    struct TransferLeader: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            commandName: "transfer-leader",
            abstract: "Hand the leadership to another member.",
            discussion: "Example:\n  holdfast cluster transfer-leader 2")

        @Argument(help: "The ID of the member that shall lead.")
        var node: UInt64
        @OptionGroup(title: "Global options")
        var global: GlobalOptions

        func run() async throws {
            try await global.withStore { store in try await store.transferLeadership(to: node) }
            if global.json {
                StandardOutput.json(["leader": node])
            } else {
                StandardOutput.line("node \(node) leads")
            }
        }
    }
}

extension ClusterCondition: ExpressibleByArgument {}

/// `cluster status [--wait ready|complete]`.
struct StatusVerb: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "status",
        abstract: "Show the members and how far each is.",
        discussion: """
            Exit status 0 with a leader, else 69; what is known is printed both ways. With --wait it returns when all
            configured members are ready (they answer and there is a leader) or complete (they hold every published byte as
            well), or with 69 at the timeout.

            Example:
              holdfast cluster status
              holdfast cluster status --wait complete --timeout 60
            """)

    @Option(help: ArgumentHelp("Wait for this state of all members.", valueName: "ready|complete"))
    var wait: ClusterCondition?
    @OptionGroup(title: "Global options")
    var global: GlobalOptions

    func run() async throws {
        let limit = Duration.milliseconds(try global.timeoutMilliseconds())
        if let wait {
            try await waiting(for: wait, at: ContinuousClock.now + limit)
        } else {
            let status: ClusterStatus
            do {
                status = try await global.withStore { store in try await store.status() }
            } catch let error as HoldfastError where ExitStatus.of(error.code) == ExitStatus.unavailable {
                showNothingKnown()
                throw error
            }
            show(status)
            if status.leader == nil { throw ExitCode(ExitStatus.unavailable) }
        }
    }

    /// Asks again and again until the condition holds or the deadline passes.
    private func waiting(for condition: ClusterCondition, at deadline: ContinuousClock.Instant) async throws {
        var last: ClusterStatus?
        var lastError: HoldfastError?
        while true {
            let left = deadline - ContinuousClock.now
            guard left > .zero else { break }
            do {
                // A node that is still starting refuses connections: a fresh one each time, each with a short deadline.
                var options = global
                options.timeout = min(2, max(0.05, left.inSeconds))
                let status = try await options.withStore { store in try await store.status() }
                if condition.holds(in: status) {
                    show(status)
                    return
                }
                last = status
            } catch let error as HoldfastError {
                guard ExitStatus.of(error.code) == ExitStatus.unavailable else { throw error }
                lastError = error
            }
            try await Task.sleep(for: min(.milliseconds(100), max(deadline - ContinuousClock.now, .zero)))
        }
        if let last {
            show(last)
            throw HoldfastError(
                .unavailable,
                "the members are not \(condition.rawValue) yet and the timeout passed; see the status above")
        }
        showNothingKnown()
        throw lastError ?? HoldfastError(.unavailable, "no node answered before the timeout")
    }

    /// The document of a cluster of which no node answered: scripts get one document in every case.
    private func showNothingKnown() {
        guard global.json else { return }
        show(ClusterStatus(cluster: "", lineage: "", term: 0, leader: nil, revision: 0, nodes: []))
    }

    private func show(_ status: ClusterStatus) {
        if global.json {
            StandardOutput.json(ClusterDocument(status))
            return
        }
        let leader = status.leader.map { "node \($0)" } ?? "none"
        let lineage = status.lineage.isEmpty ? "not set yet" : status.lineage
        StandardOutput.line(
            "cluster \(status.cluster)  leader \(leader)  term \(status.term)  revision \(status.revision)")
        let features = status.featureVersion == 0 ? "not known" : "\(status.featureVersion)"
        StandardOutput.line("lineage \(lineage)  features \(features)")
        StandardOutput.line("")
        for line in StatusTable.lines(status) { StandardOutput.line(line) }
    }
}

/// The members as a table.
enum StatusTable {
    /// The header and one line for each member.
    static func lines(_ status: ClusterStatus) -> [String] {
        var table = Table([
            ("NODE", .right), ("ENDPOINT", .left), ("ROLE", .left), ("COMMIT", .right), ("APPLIED", .right),
            ("REVISION", .right), ("FEATURES", .right), ("COMPLETE", .left), ("FREE", .left),
        ])
        for node in status.nodes {
            let isAway = node.role == .unreachable
            // A node that is behind does not know yet what it lacks.
            let missing = node.missingBytes == 0 ? "behind" : "lacks \(Units.bytes(node.missingBytes))"
            var complete = isAway ? "-" : node.complete ? "yes" : missing
            if node.quarantined { complete += ", quarantined" }
            var free = node.full ? "full, \(Units.bytes(node.freeBytes))" : Units.bytes(node.freeBytes)
            if isAway { free = "-" }
            table.add([
                "\(node.id)", node.endpoint, node.role.rawValue, "\(node.commit)", "\(node.applied)",
                "\(node.revision)", isAway || node.featureVersion == 0 ? "-" : "\(node.featureVersion)", complete, free,
            ])
        }
        return table.lines
    }
}
