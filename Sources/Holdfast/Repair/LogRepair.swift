internal import Logging
internal import NIOCore
internal import RaftCore
internal import ReplicaCore
internal import Storage

/// Gives a node whose log was damaged its vote back.
///
/// ```
///   log begun anew, no vote ─▶ a leader forgets what the old log acknowledged, and names an index ─▶ everything through
///   it is here, durable and committed ─▶ the mark is removed, durably ─▶ votes count
/// ```
/// A restart at any point begins at the front: nothing but the mark is kept of the way.
struct LogRepair: Sendable {
    let node: NodeID
    let directory: DataDirectory
    let replica: Replica
    let state: MemberState
    let peers: IntegrityPeers
    let figures: NodeFigures
    let logger: Logger

    private static let patience = TimeAmount.seconds(2)

    /// Runs until the vote counts again, or the task is cancelled.
    func run() async {
        logger.warning("the log was damaged and begun anew: this node votes again once its peers have repaired it")
        var pause = RetryPause()
        while !Task.isCancelled {
            guard let index = await forgotten() else {
                await pause.wait()
                continue
            }
            guard await holds(through: index) else { return }
            do throws(HoldfastError) {
                try await clearMark()
            } catch {
                logger.error("the mark of the repair could not be removed", metadata: ["error": "\(error.message)"])
                await pause.wait()
                continue
            }
            replica.loop.execute { [replica] in replica.allowVotes() }
            state.update { $0.hasNoVote = false }
            figures.logRepairs.increment()
            logger.notice("the log is repaired: this node votes again", metadata: ["index": "\(index)"])
            return
        }
    }

    /// Asks whoever leads to forget; nil if nobody does for now.
    private func forgotten() async -> LogIndex? {
        let leader = state.now.leadership.leader
        let others = state.now.members.everyone.filter { $0 != node && $0 != leader }
        for other in (leader == noNode || leader == node ? [] : [leader]) + others {
            do throws(HoldfastError) {
                guard
                    case .index(let index) = try await peers.ask(
                        other, .forget(node), deadline: .now() + Self.patience)
                else { continue }
                return index
            } catch {
                logger.debug("not forgotten", metadata: ["node": "\(other)", "reason": "\(error.message)"])
            }
        }
        return nil
    }

    /// Waits until the log holds everything through `index`; false if the task was cancelled.
    private func holds(through index: LogIndex) async -> Bool {
        while !Task.isCancelled {
            let isThere = await withCheckedContinuation { (continuation: CheckedContinuation<Bool, Never>) in
                replica.loop.execute { [replica] in
                    continuation.resume(returning: replica.raft.holds(committedThrough: index))
                }
            }
            if isThere { return true }
            do {
                try await Task.sleep(nanoseconds: 50_000_000)
            } catch {
                return false
            }
        }
        return false
    }

    private func clearMark() async throws(HoldfastError) {
        let directory = self.directory
        let result = await withCheckedContinuation {
            (continuation: CheckedContinuation<Result<Void, HoldfastError>, Never>) in
            LaneThread.start("hf-repair") {
                do throws(DirectoryError) {
                    try directory.clearRepairMarks([.log])
                    continuation.resume(returning: .success(()))
                } catch {
                    continuation.resume(returning: .failure(HoldfastError(.unavailable, error.message)))
                }
            }
        }
        try result.get()
    }
}
