internal import Logging
internal import ReplicaCore
internal import Storage
internal import Synchronization

/// Keeps a node whose rows are not to be relied on from serving them, also after a restart.
///
/// It goes on voting and appending, since its log is sound. It serves no reads and no watches, answers no commands, takes no uploads,
/// gives no receipts, sweeps nothing, reports itself not complete, and hands leadership over.
///
/// Invariants:
/// 1. From the moment `enter` is called nothing more is answered from the rows.
/// 2. When `enter` returns the mark is durable, or the node is stopping because it could not be written.
/// 3. Only a repair that has replaced the rows calls `leave`.
final class Quarantine: Sendable {
    private let directory: DataDirectory
    private let state: MemberState
    private let replica: Replica
    private let watches: WatchHub
    private let chunks: NodeChunks
    private let fault: Member.Fault
    private let figures: NodeFigures
    private let logger: Logger

    /// Takes up what the directory says; on the control loop's thread or before anything runs.
    init(
        directory: DataDirectory, state: MemberState, replica: Replica, watches: WatchHub, chunks: NodeChunks,
        fault: Member.Fault, figures: NodeFigures, logger: Logger
    ) {
        self.directory = directory
        self.state = state
        self.replica = replica
        self.watches = watches
        self.chunks = chunks
        self.fault = fault
        self.figures = figures
        self.logger = logger
        if let mark = directory.repairMarks.first(where: { $0.concernsRows }) { shut(mark) }
    }

    /// Whether the rows are served to nobody.
    var isOn: Bool { state.now.quarantine != nil }

    /// Quarantines this node. Keeps (1) and (2). Blocks on the disk.
    func enter(_ mark: RepairMark) {
        shut(mark)
        figures.quarantines.increment()
        do throws(DirectoryError) {
            try directory.record(mark)
        } catch {
            // Forgotten at the next start, the rows would be served: rather no node than that.
            fault.report(HoldfastError(.unavailable, "the quarantine could not be recorded: \(error.message)"))
        }
    }

    /// Serves the rows again, which were replaced. Keeps (3). Blocks on the disk.
    func leave() throws(DirectoryError) {
        try directory.clearRepairMarks([.feed, .rows])
        state.update { $0.quarantine = nil }
        replica.loop.execute { [replica, watches] in
            replica.leaveQuarantine()
            watches.resume()
        }
        chunks.quarantineChanged()
        logger.notice("the quarantine has ended: the rows were rebuilt")
    }

    /// As `leave`; a failure stops the node, which is quarantined again at its next start.
    func leaveReporting() {
        do throws(DirectoryError) {
            try leave()
        } catch {
            fault.report(HoldfastError(.unavailable, "the end of the quarantine was not recorded: \(error.message)"))
        }
    }

    private func shut(_ mark: RepairMark) {
        let node = directory.identity.node
        let command = "holdfast cluster rebuild \(node)"
        logger.critical(
            "this node is quarantined: its rows are not to be relied on and are served to nobody",
            metadata: ["cause": "\(mark.cause.rawValue)", "found": "\(mark.detail)", "command": "\(command)"])
        state.update { $0.quarantine = mark.detail }
        let error = HoldfastError(
            .unavailable,
            "node \(node) is quarantined (\(mark.detail)) and serves nothing until it is rebuilt; ask another node, "
                + "and run: \(command)", details: ["quarantined": String(node)])
        replica.loop.execute { [replica, watches] in
            replica.enterQuarantine(error)
            watches.suspend(error)
        }
        chunks.quarantineChanged()
    }
}

extension RepairMark {
    /// Whether the rows may not be served.
    var concernsRows: Bool { cause == .feed || cause == .rows }
}
