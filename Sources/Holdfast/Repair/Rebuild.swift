internal import Logging
internal import NIOCore
internal import RaftCore
internal import ReplicaCore
internal import Storage
internal import Synchronization

/// Rebuilds the rows of a running node from a peer's: `holdfast cluster rebuild NODE`.
///
/// ```
///   log held back ─▶ a peer's state at or above what is applied here, staged and verified ─▶ applied here as far ─▶
///   the log since applied to it, on the apply thread ─▶ in force ─▶ quarantine left; the rows before are put aside
/// ```
/// The log, the vote and what consensus believes are not touched, so the node appends and votes meanwhile.
final class Rebuild: Sendable {
    private let directory: DataDirectory
    private let replica: Replica
    private let log: LogStore
    private let commands: any CommandPlane
    private let intake: SnapshotIntake
    private let maintenance: LogMaintenance
    private let quarantine: Quarantine
    private let fault: Member.Fault
    private let figures: NodeFigures
    private let logger: Logger
    /// Called on the apply thread when fetched rows are in force.
    let onRebuilt = Relay<@Sendable (InstalledState) -> Void>()
    private let task = Mutex<Task<Result<Void, HoldfastError>, Never>?>(nil)

    init(
        directory: DataDirectory, replica: Replica, log: LogStore, commands: any CommandPlane, intake: SnapshotIntake,
        maintenance: LogMaintenance, quarantine: Quarantine, fault: Member.Fault, figures: NodeFigures, logger: Logger
    ) {
        self.directory = directory
        self.replica = replica
        self.log = log
        self.commands = commands
        self.intake = intake
        self.maintenance = maintenance
        self.quarantine = quarantine
        self.fault = fault
        self.figures = figures
        self.logger = logger
    }

    /// Rebuilds this node and returns when it serves again; joins a rebuild under way. It goes on when the caller goes.
    ///
    /// - Throws: `unavailable` where no peer gives its state, or another snapshot is on its way; ask again.
    func run() async throws(HoldfastError) {
        let running = task.withLock { task in
            let running = task ?? Task { await self.rebuilt() }
            task = running
            return running
        }
        try await running.value.get()
    }

    /// Gives up what is under way.
    func stop() { task.withLock { $0 }?.cancel() }

    private func rebuilt() async -> Result<Void, HoldfastError> {
        let result: Result<Void, HoldfastError>
        do throws(HoldfastError) {
            try await rebuild()
            result = .success(())
        } catch {
            logger.error("this node was not rebuilt", metadata: ["reason": "\(error.message)"])
            result = .failure(error)
        }
        task.withLock { $0 = nil }
        return result
    }

    private func rebuild() async throws(HoldfastError) {
        let intake = self.intake
        let maintenance = self.maintenance
        let replica = self.replica
        let from = await onLoop { () -> LogIndex? in
            guard intake.lend() else { return nil }
            maintenance.hold = replica.appliedIndex
            return replica.appliedIndex
        }
        guard let from else {
            throw HoldfastError(.unavailable, "a state snapshot is being installed on this node; try again when it is")
        }
        logger.notice("rebuilding the rows from a peer", metadata: ["applied": "\(from)"])
        let result: Result<Void, HoldfastError>
        do throws(HoldfastError) {
            try await replaceRows(from: max(from, 1))
            result = .success(())
        } catch {
            result = .failure(error)
        }
        await onLoop {
            maintenance.hold = nil
            intake.giveBack()
        }
        try result.get()
    }

    private func replaceRows(from index: LogIndex) async throws(HoldfastError) {
        let staged = try await intake.fetch.run(.atLeast(index))
        do throws(HoldfastError) {
            try await commands.waitApplied(staged.index, deadline: .now() + .seconds(60))
        } catch {
            staged.discard()
            throw error
        }
        let aside = "\(directory.layout.quarantine)/rows.\(WallClock.milliseconds)"
        let result = await withCheckedContinuation {
            (continuation: CheckedContinuation<Result<InstalledState, HoldfastError>, Never>) in
            let rebuilt = RebuiltRows(staged: staged, log: log, aside: aside) { [onRebuilt, quarantine] result in
                if case .success(let state) = result {
                    onRebuilt.body?(state)
                    quarantine.leaveReporting()
                }
                continuation.resume(returning: result)
            }
            replica.applyLane.rebuild(rebuilt)
        }
        let state: InstalledState
        do throws(HoldfastError) {
            state = try result.get()
        } catch {
            staged.discard()
            throw error
        }
        figures.rebuilds.increment()
        logger.notice(
            "this node was rebuilt", metadata: ["index": "\(state.head.state.index)", "before": "\(aside)"])
        await checkMembers(state.head)
    }

    /// The rows before may have told consensus something else about the members: then only a start from the new ones is right.
    private func checkMembers(_ head: SnapshotHead) async {
        let isSame = await onLoop { [replica] in
            replica.appliedIndex > head.state.index || Members(replica.raft.confState) == head.members
        }
        guard !isSame else { return }
        fault.report(
            HoldfastError(
                .unavailable, "the rebuilt rows name other members than this node's consensus has; restart the node"))
    }

    private func onLoop<Value: Sendable>(_ body: @escaping @Sendable () -> Value) async -> Value {
        await withCheckedContinuation { (continuation: CheckedContinuation<Value, Never>) in
            replica.loop.execute { continuation.resume(returning: body()) }
        }
    }
}
