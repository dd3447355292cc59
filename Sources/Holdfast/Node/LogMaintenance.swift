internal import Logging
internal import NIOCore
internal import RaftCore
internal import ReplicaCore
internal import Storage
internal import Transport

/// Keeps the log short: flushes the rows now and then, and lets go of entries that the rows have durably and that every
/// configured member has.
///
/// Invariants:
/// 1. The log is compacted at most through an index that was applied before a flush that has returned.
/// 2. And at most through the floor: an index that the leader of some term knew every configured member to have.
///
/// `@unchecked Sendable`: every variable is touched only on the control loop.
final class LogMaintenance: @unchecked Sendable {
    /// Bytes of log after which rows are flushed: replay after a crash reads at most about this much.
    static let flushBytes: UInt64 = 32 << 20

    private let replica: Replica
    private let peers: Peers
    private let members: [NodeID]
    private let logger: Logger
    private let flushLane: Lane<LogIndex>
    private var floor: LogIndex = 0
    private var flushed: LogIndex = 0
    private var compacted: LogIndex
    private var flushMark: UInt64 = 0
    private var isFlushing = false

    init(replica: Replica, peers: Peers, members: [NodeID], rows: RowStore, logger: Logger) {
        self.replica = replica
        self.peers = peers
        self.members = members
        self.logger = logger
        compacted = replica.log.previousIndex
        let done = Relay<@Sendable (LogIndex?) -> Void>()
        flushLane = Lane("hf-flush") { indexes in
            // One flush covers every index that waits.
            guard let newest = indexes.max() else { return }
            do throws(RowStoreError) {
                try rows.flush()
                done.body?(newest)
            } catch {
                logger.error("rows could not be flushed", metadata: ["error": "\(error)"])
                done.body?(nil)
            }
        }
        done.set { [weak self, loop = replica.loop] index in
            guard let self else { return }
            loop.execute { self.flushEnded(index) }
        }
    }

    /// Looks whether there is something to do; called about once a second on the control loop.
    func check() {
        let written = replica.log.figures.writtenBytes
        if !isFlushing, written >= flushMark + Self.flushBytes, replica.appliedIndex > flushed {
            isFlushing = true
            flushMark = written
            flushLane.submit(replica.appliedIndex)
        }
        if replica.raft.role == .leader {
            let matches = replica.raft.followers.map(\.match)
            if let lowest = matches.min(), Set(replica.raft.followers.map(\.id)).isSuperset(of: members) {
                heardFloor(lowest)
                peers.sendLogFloor(lowest)
            }
        }
    }

    /// A leader's word on what every member has. Keeps (2).
    func heardFloor(_ index: LogIndex) {
        floor = max(floor, index)
        compact()
    }

    /// Ends the flush thread; what is queued is flushed first.
    func stop() { flushLane.stop() }

    private func flushEnded(_ index: LogIndex?) {
        isFlushing = false
        guard let index else { return }
        flushed = max(flushed, index)
        compact()
    }

    /// Keeps (1).
    private func compact() {
        let through = min(flushed, floor)
        guard through > compacted else { return }
        compacted = through
        replica.log.submit(.compact(through: through))
        replica.step(.compacted(through: through))
        logger.debug("log compacted", metadata: ["through": "\(through)"])
    }
}
