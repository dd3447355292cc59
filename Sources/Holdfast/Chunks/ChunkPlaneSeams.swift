package import NIOCore
package import RaftCore
package import ReplicaCore

/// What the chunk plane of a node needs of the command plane beside it.
package protocol CommandPlane: Sendable {
    /// This node and this life of its disk.
    var node: NodeID { get }
    var incarnation: Incarnation { get }
    /// The index up to which rows are applied here.
    var appliedIndex: LogIndex { get }
    /// Whether everything that the log held at the start is applied; nothing is swept before.
    var isCaughtUpWithStart: Bool { get }
    /// The leader, as far as this node knows.
    var leader: NodeID? { get }
    /// The members of the active configuration as applied here.
    var members: Members { get }
    /// Whether the rows here are not to be relied on: nothing is received, vouched for or swept by them.
    var isQuarantined: Bool { get }
    /// Reads the applied rows; blocks the calling thread on disk reads.
    func withRows<R: Sendable>(_ body: (borrowing any RowReader) throws -> R) throws -> R
    /// Returns when `appliedIndex` is at least `index`.
    func waitApplied(_ index: LogIndex, deadline: NIODeadline) async throws(HoldfastError)
    /// Returns when, on this leader, no configuration change is unapplied; throws `unavailable` at the deadline.
    func waitForMembers(deadline: NIODeadline) async throws(HoldfastError)
    /// Proposes through whoever leads and returns the outcome of the apply.
    func propose(_ command: Command, deadline: NIODeadline) async throws(HoldfastError) -> Outcome
}

extension CommandPlane {
    package var isQuarantined: Bool { false }
}

/// What the chunk plane of a node asks of the other nodes.
package protocol PeerPlane: Sendable {
    /// Sends a chunk message and returns the answer; throws `unavailable` where the peer cannot be reached.
    func ask(_ node: NodeID, _ request: ChunkRequest, deadline: NIODeadline) async throws(HoldfastError) -> ChunkAnswer
    /// Sends a chunk message without an answer; dropped where the peer cannot be reached.
    func tell(_ node: NodeID, _ request: ChunkRequest)
    /// Reads a chunk's raw bytes from a peer over its bulk connection. Not yet checked against the name.
    func fetch(_ id: ChunkID, from node: NodeID, deadline: NIODeadline) async throws(HoldfastError) -> ByteBuffer
}
