internal import RaftCore
internal import Synchronization
internal import Transport

/// What the other members state of their builds, each in the welcome of the present consensus connection to it.
final class PeerVersions: Sendable {
    /// What one build speaks and knows.
    struct Statement: Sendable, Hashable {
        /// The newest protocol version; from a peer, the one in use with it.
        var protocolVersion: UInt8
        /// The newest feature version.
        var featureVersion: UInt32
    }

    private let stated = Mutex<[NodeID: Statement]>([:])

    /// A connection to the member is up.
    func connected(_ node: NodeID, _ connection: Connection) {
        let statement = Statement(
            protocolVersion: connection.protocolVersion, featureVersion: connection.peer.featureVersion)
        stated.withLock { $0[node] = statement }
    }

    /// The connection is gone, and with it what was said over it: another build may come back.
    func disconnected(_ node: NodeID) { stated.withLock { $0[node] = nil } }

    /// What the member states; nil while it is not connected.
    func of(_ node: NodeID) -> Statement? { stated.withLock { $0[node] } }
}
