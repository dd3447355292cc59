internal import RaftCore
internal import ReplicaCore
internal import Storage

/// One node of the world: what outlives its process, and the process while it runs.
///
/// Invariants:
/// 1. `disk`, `durableRows` and `chunks.durable` are all that a restart finds.
/// 2. An ID is given to one node only, and a node whose disk was lost never runs again.
final class SimulatedNode {
    let id: NodeID
    let incarnation: Incarnation
    var disk = SimulatedDisk()
    /// The rows as of the last flush, or as a snapshot's install left them.
    var durableRows = SimulatedRows()
    var chunks = ChunkShelf()
    /// What the disk has completed; see `DurableLog`.
    var durable = DurableLog()
    /// The lowest index that a write cut by the last crash may have replaced, and whether it wrote a vote.
    var inFlight: (first: LogIndex, isVote: Bool) = (.max, false)

    var process: Process?
    /// Counts processes; events of an earlier one are dropped.
    var life: UInt32 = 0
    /// Events wait until then: the process is stopped, and knows nothing of it.
    var pausedUntil: Instant = 0
    /// Writes end no earlier than this.
    var stalledUntil: Instant = 0
    /// Ticks of this node's clock take so many thousandths of what they should.
    var tickScale: UInt64 = 1000
    /// Milliseconds that the wall clock is off.
    var clockOffset: Int64 = 0
    /// Why the node will not run again.
    var isGone = false
    /// It starts when nothing that was said before can arrive any more, and no earlier.
    var isSetBack = false
    /// A bit was flipped on its disk: a refusal to start is right.
    var mayBeDamaged = false
    /// What the disk had completed of a log that was damaged and begun anew: the node withholds its vote until it holds that again. Like the mark of
    /// the product, it outlives restarts.
    var damagedLog: DurableLog?

    init(id: NodeID) {
        self.id = id
        incarnation = Incarnation(0x1234, id)
    }

    var isRunning: Bool { process != nil }

    /// Whether all that it ever acknowledged is on its disk.
    var isSound: Bool { !isGone && !mayBeDamaged && damagedLog == nil }
}
