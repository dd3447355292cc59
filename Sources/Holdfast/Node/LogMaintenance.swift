internal import Logging
internal import NIOCore
internal import RaftCore
internal import ReplicaCore
internal import Storage
internal import Transport

/// Keeps the log short: flushes the rows now and then, and lets go of entries that the rows have durably and that no follower is kept
/// waiting for (`LogRetention`).
///
/// Invariants:
/// 1. The log is compacted at most through an index that was applied before a flush that has returned, or that a state snapshot
///    installed durably.
/// 2. And at most through the floor, which the leader of some term named. A member that lacks entries below it gets a state snapshot.
///
/// `@unchecked Sendable`: every variable is touched only on the control loop.
final class LogMaintenance: @unchecked Sendable {
    private let replica: Replica
    private let peers: Peers
    private let logBytesMax: UInt64
    private let flushBytes: UInt64
    private var retention: LogRetention
    private let logger: Logger
    private let flushLane: Lane<LogIndex>
    private var floor: LogIndex = 0
    private var flushed: LogIndex = 0
    private var compacted: LogIndex
    private var flushMark: UInt64 = 0
    private var isFlushing = false
    private var absent: [NodeID] = []
    /// Nothing above this index is let go: rows that are being fetched will be brought up to date from the log. Nil as a rule.
    var hold: LogIndex?

    /// - Parameters:
    ///   - retention: what a leader keeps for its followers; its clock counts seconds.
    ///   - logBytesMax: bytes of log kept at most, in whole segments.
    ///   - flushBytes: bytes of log after which rows are flushed.
    init(
        replica: Replica, peers: Peers, retention: LogRetention, logBytesMax: UInt64, flushBytes: UInt64,
        rows: RowStore, logger: Logger
    ) {
        self.replica = replica
        self.peers = peers
        self.retention = retention
        self.logBytesMax = logBytesMax
        self.flushBytes = flushBytes
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
        if !isFlushing, written >= flushMark + flushBytes, replica.appliedIndex > flushed {
            isFlushing = true
            flushMark = written
            flushLane.submit(replica.appliedIndex)
        }
        guard replica.raft.role == .leader else { return retention.forget() }
        let floor = retention.floor(
            followers: replica.raft.followers, lastIndex: replica.raft.lastIndex,
            bytesPoint: replica.log.point(keepingBytes: logBytesMax),
            now: NIODeadline.now().uptimeNanoseconds / 1_000_000_000, sendsSnapshots: replica.isActive(.snapshots))
        if retention.absent != absent {
            absent = retention.absent
            logger.notice("members that no longer hold the log back", metadata: ["nodes": "\(absent)"])
        }
        heardFloor(floor)
        peers.sendLogFloor(floor)
    }

    /// The rows of a state snapshot are in force, and the log begins behind it. Keeps (1).
    func installed(_ index: LogIndex) {
        flushed = max(flushed, index)
        compacted = max(compacted, index)
    }

    /// A leader's word on what may go. Keeps (2).
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
        let through = min(flushed, floor, hold ?? .max)
        // While a snapshot is being installed, consensus is ahead of the log.
        guard through > compacted, replica.install == nil else { return }
        compacted = through
        replica.log.submit(.compact(through: through))
        replica.step(.compacted(through: through))
        // A follower that installed an older state than the log begins with would need another at once.
        if replica.snapshots.available < through { replica.withdrawSnapshot() }
        logger.debug("log compacted", metadata: ["through": "\(through)"])
    }
}
