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
    let state: MemberState
    /// The newest feature version that this node takes part in.
    let featureVersion: UInt32
    /// The replicated feature version as applied here: a member that knows less cannot follow.
    let activeFeatureVersion: @Sendable () -> UInt32

    /// The identity that this node states.
    func identity(endpoint: String) -> PeerIdentity {
        let identity = directory.identity
        let now = state.now
        return PeerIdentity(
            role: .member, cluster: identity.cluster, bootstrap: identity.bootstrap.bytes,
            lineage: (directory.lineage ?? .zero).bytes, nodeID: identity.node,
            incarnation: identity.incarnation.bytes, endpoint: endpoint, featureVersion: featureVersion,
            configurationIndex: now.members.contains(identity.node) ? now.roster.index : 0)
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
            // Formatted again with the members of today, in place of those of the first day: a member's disk is gone.
            let now = state.now
            if now.members.contains(peer.nodeID), let known = directory.pinnedIncarnation(of: peer.nodeID),
                peer.nodeID != own.node, known != Incarnation(peer.incarnation)
            {
                return (.otherIncarnation, otherDisk(peer, now))
            }
            return (
                .otherBootstrap,
                "node \(peer.nodeID) was formatted with other members or another token than node \(own.node); "
                    + "format both with the same --members. After a recovery or a restore no old member comes back: give it a new "
                    + "directory with holdfast node format --join"
            )
        }
        if let lineage = directory.lineage, let stated = Lineage(peer.lineage), stated != .zero, stated != lineage {
            return (
                .otherLineage,
                "node \(peer.nodeID) belongs to lineage \(stated.hex), this cluster to \(lineage.hex): another "
                    + "history under the same name"
            )
        }
        guard peer.nodeID != own.node, peer.nodeID != 0 else {
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
        let now = state.now
        guard now.members.contains(peer.nodeID) else { return stranger(peer, now) }
        if let known = now.roster[peer.nodeID]?.incarnation, known != .zero, known != incarnation {
            return (.otherIncarnation, otherDisk(peer, now))
        }
        do throws(DirectoryError) {
            guard case .differs = try directory.pin(node: peer.nodeID, incarnation: incarnation) else { return nil }
            return (.otherIncarnation, otherDisk(peer, now))
        } catch {
            return (.unavailable, "the incarnation of node \(peer.nodeID) could not be recorded: \(error)")
        }
    }

    /// A node that is no member of the configuration applied here. One that knows a newer configuration, which makes it a member, is
    /// let in, or a node that was away could never hear a leader that joined meanwhile. Nothing of it is pinned or counted before
    /// that configuration is applied here.
    private func stranger(_ peer: PeerIdentity, _ now: MemberState.Values) -> (RefusalCode, String)? {
        if let record = now.roster[peer.nodeID], record.isRemoved {
            return (
                .removed,
                "node \(peer.nodeID) was removed from cluster '\(directory.identity.cluster)' and its ID is never used again; to "
                    + "join once more: holdfast node format --data DIR --id \(now.roster.nextID(beside: now.members)) "
                    + "--join \(ownEndpoint(now)), then holdfast serve, then holdfast cluster add-learner"
            )
        }
        if peer.configurationIndex > now.roster.index { return nil }
        return (
            .notMember,
            "node \(peer.nodeID) is not another member of cluster '\(directory.identity.cluster)'; to add it: holdfast cluster "
                + "add-learner \(peer.nodeID)=\(peer.endpoint) --endpoint \(ownEndpoint(now))"
        )
    }

    /// What the operator of a wiped node must do, command by command.
    private func otherDisk(_ peer: PeerIdentity, _ now: MemberState.Values) -> String {
        let id = now.roster.nextID(beside: now.members)
        let place = peer.endpoint.isEmpty ? "HOST:PORT" : peer.endpoint
        return
            "node \(peer.nodeID) has another disk than the one that voted under this ID: a wiped voter has forgotten its votes. Restore its data "
            + "directory, or join under a new ID: holdfast node format --data DIR --id \(id) --join \(ownEndpoint(now)) "
            + "--listen \(place), holdfast serve --data DIR, holdfast cluster replace \(peer.nodeID) \(id)=\(place) "
            + "--endpoint \(ownEndpoint(now))"
    }

    private func ownEndpoint(_ now: MemberState.Values) -> String {
        now.endpoint(of: directory.identity.node) ?? "HOST:PORT"
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
