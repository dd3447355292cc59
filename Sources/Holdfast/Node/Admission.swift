internal import Logging
internal import ReplicaCore
internal import Storage
internal import Transport

/// Who may connect: this node's word on every hello, and on every welcome to its own hellos.
///
/// Members are known by cluster, bootstrap ID, lineage, node ID and incarnation; the first incarnation seen of an ID is pinned
/// durably before anything it says counts (design: bootstrap).
struct AdmissionRules: Sendable {
    let directory: DataDirectory
    let members: [UInt64: Endpoint]
    /// The newest feature version that this node takes part in.
    let featureVersion: UInt32
    /// The replicated feature version as applied here: a member that knows less cannot follow.
    let activeFeatureVersion: @Sendable () -> UInt32

    /// The identity that this node states.
    func identity(endpoint: String) -> PeerIdentity {
        let identity = directory.identity
        return PeerIdentity(
            role: .member, cluster: identity.cluster, bootstrap: identity.bootstrap.bytes,
            lineage: (directory.lineage ?? .zero).bytes, nodeID: identity.node,
            incarnation: identity.incarnation.bytes, endpoint: endpoint, featureVersion: featureVersion)
    }

    /// Why a hello is refused; nil if it is let in.
    func refusal(of hello: Hello) -> (RefusalCode, String)? {
        let own = directory.identity
        if hello.target != 0, hello.target != own.node {
            return (.otherNode, "this is node \(own.node), not node \(hello.target); correct the member's address")
        }
        if hello.identity.role == .client {
            if hello.purpose == .consensus { return (.notMember, "a client has no consensus connection") }
            if !hello.identity.cluster.isEmpty, hello.identity.cluster != own.cluster {
                return (.otherCluster, otherCluster(hello.identity))
            }
            return nil
        }
        return refusal(of: hello.identity)
    }

    /// Why another member, at either end of a connection, is refused; nil if it is who it should be.
    func refusal(of peer: PeerIdentity) -> (RefusalCode, String)? {
        let own = directory.identity
        guard peer.cluster == own.cluster else { return (.otherCluster, otherCluster(peer)) }
        guard peer.bootstrap == own.bootstrap.bytes else {
            return (
                .otherBootstrap,
                "node \(peer.nodeID) was formatted with other members or another token than node \(own.node); "
                    + "format both with the same --members"
            )
        }
        if let lineage = directory.lineage, let stated = Lineage(peer.lineage), stated != .zero, stated != lineage {
            return (
                .otherLineage,
                "node \(peer.nodeID) belongs to lineage \(stated.hex), this cluster to \(lineage.hex): another "
                    + "history under the same name"
            )
        }
        guard members[peer.nodeID] != nil, peer.nodeID != own.node else {
            return (.notMember, "node \(peer.nodeID) is not another member of cluster '\(own.cluster)'")
        }
        let active = activeFeatureVersion()
        guard peer.featureVersion >= active else {
            return (
                .featureVersion,
                "the cluster uses feature version \(active), and node \(peer.nodeID) knows \(peer.featureVersion): a "
                    + "member may not go back to an older build; start it with the release that the others run"
            )
        }
        guard let incarnation = Incarnation(peer.incarnation), incarnation != .zero else {
            return (.badHello, "node \(peer.nodeID) states no incarnation")
        }
        do throws(DirectoryError) {
            guard case .differs = try directory.pin(node: peer.nodeID, incarnation: incarnation) else { return nil }
            return (
                .otherIncarnation,
                "node \(peer.nodeID) has another disk than the one that voted under this ID: a wiped voter may not "
                    + "come back under its old ID, because its votes are forgotten; restore its data directory, or "
                    + "give the new one a new ID"
            )
        } catch {
            return (.unavailable, "the incarnation of node \(peer.nodeID) could not be recorded: \(error)")
        }
    }

    /// The same as an error, for connections that this node dialled.
    func check(_ expected: UInt64, _ peer: PeerIdentity) -> HoldfastError? {
        if peer.nodeID != expected {
            return HoldfastError(.incompatible, "expected node \(expected) there, found node \(peer.nodeID)")
        }
        return refusal(of: peer).map { HoldfastError(.incompatible, $0.1) }
    }

    private func otherCluster(_ peer: PeerIdentity) -> String {
        "this is cluster '\(directory.identity.cluster)', not '\(peer.cluster)'; check the address"
    }
}
