internal import Logging
internal import NIOCore
internal import RaftCore
internal import ReplicaCore
internal import Synchronization
internal import Transport

/// The other members of the cluster: a consensus link to each, on the control loop, and their request and bulk connections.
///
/// Each node sends on the connections that it dialled and receives on those that it accepted.
///
/// `@unchecked Sendable`: `nodes` and `endpoints` are immutable; everything else is touched only on the control loop.
final class Peers: ConsensusPeers, @unchecked Sendable {
    /// Bytes of frames that may wait for one follower's socket before messages to it are dropped: Raft sends them again.
    private let links: [NodeID: Link]
    private let endpoints: [NodeID: Endpoint]
    /// Request and bulk connections by node.
    let nodes: [NodeID: RemoteNode]
    private let logger: Logger
    private var isDirty: Set<NodeID> = []
    private var handler: (any LinkHandler)?

    init(
        members: [NodeID: Endpoint], self id: NodeID, loops: ClientLoops, settings: TransportSettings,
        logger: Logger, check: @escaping @Sendable (NodeID, PeerIdentity) -> HoldfastError?,
        hello: @escaping @Sendable (Purpose, NodeID) -> Hello
    ) {
        var links: [NodeID: Link] = [:]
        var nodes: [NodeID: RemoteNode] = [:]
        for (node, endpoint) in members where node != id {
            links[node] = Link(
                to: endpoint, purpose: .consensus, on: loops.request, settings: settings,
                backoff: Backoff(seed: UInt64.random(in: 0...(.max))), hello: { hello(.consensus, node) })
            nodes[node] = RemoteNode(
                endpoint, loops: loops, settings: settings, check: { check(node, $0) }, hello: { hello($0, node) })
        }
        self.links = links
        self.nodes = nodes
        self.logger = logger
        endpoints = members
    }

    /// Begins to dial (on the control loop).
    func start(_ handler: any LinkHandler) {
        self.handler = handler
        for link in links.values { link.start(handler) }
    }

    /// Closes every connection (on the control loop).
    func stop() {
        for link in links.values { link.close() }
        for node in nodes.values { node.close() }
        handler = nil
    }

    func send(_ message: Message) -> Bool {
        guard let link = links[message.to], link.isUp else { return false }
        isDirty.insert(message.to)
        return link.send(FrameKind.consensus.rawValue, id: 0) { ConsensusCodec.encode(message, into: &$0) }
    }

    /// Tells every member how far logs may be compacted.
    func sendLogFloor(_ index: LogIndex) {
        for link in links.values where link.isUp {
            link.send(FrameKind.logFloor.rawValue, id: 0) { $0.writeInteger(index, endianness: .little) }
            link.flush()
        }
    }

    /// Tells a leader that the state snapshot it offered will not be installed.
    func sendSnapshotRefusal(_ refusal: SnapshotRefusal, to node: NodeID) {
        guard let link = links[node], link.isUp else { return }
        link.send(FrameKind.snapshotRefused.rawValue, id: 0) { refusal.encode(into: &$0) }
        link.flush()
    }

    func flush() {
        for node in isDirty { links[node]?.flush() }
        isDirty.removeAll(keepingCapacity: true)
    }

    func isConnected(_ node: NodeID) -> Bool { links[node]?.isUp ?? false }

    func endpoint(of node: NodeID) -> String? { endpoints[node].map { "\($0)" } }

    /// The member that a link leads to.
    func node(of link: Link) -> NodeID? { links.first { $0.value === link }?.key }

    /// The node dialled us, so it is there: dial it at once instead of waiting for the back-off.
    func heard(from node: NodeID) { links[node]?.dialNow() }
}

/// What the consensus links tell the replica.
final class PeerEvents: LinkHandler {
    private let replica: Replica
    private let peers: Peers
    private let versions: PeerVersions
    private let logger: Logger
    private let check: (NodeID, PeerIdentity) -> HoldfastError?
    private let onUp: () -> Void
    private let onRefusal: (NodeID, RefusalCode, String) -> Void

    init(
        replica: Replica, peers: Peers, versions: PeerVersions, logger: Logger,
        check: @escaping (NodeID, PeerIdentity) -> HoldfastError?, onUp: @escaping () -> Void,
        onRefusal: @escaping (NodeID, RefusalCode, String) -> Void
    ) {
        self.replica = replica
        self.peers = peers
        self.versions = versions
        self.logger = logger
        self.check = check
        self.onUp = onUp
        self.onRefusal = onRefusal
    }

    func linkUp(_ link: Link, _ connection: Connection) {
        guard let node = peers.node(of: link) else { return }
        if let refusal = check(node, connection.peer) {
            logger.error("peer refused", metadata: ["node": "\(node)", "reason": "\(refusal.message)"])
            return connection.close(.local(refusal.message))
        }
        versions.connected(node, connection)
        logger.info(
            "peer connected", metadata: ["node": "\(node)", "features": "\(connection.peer.featureVersion)"])
        onUp()
    }

    func linkDown(_ link: Link, _ reason: CloseReason) {
        guard let node = peers.node(of: link) else { return }
        versions.disconnected(node)
        logger.info("peer disconnected", metadata: ["node": "\(node)", "reason": "\(reason)"])
        replica.peerLost(node, isGone: false)
    }

    func linkFailed(_ link: Link, _ error: TransportError) {
        guard let node = peers.node(of: link) else { return }
        switch error {
        case .refused(let code, let sentence): onRefusal(node, code, sentence)
        case .connectionRefused: replica.peerLost(node, isGone: true)
        default: replica.peerLost(node, isGone: false)
        }
    }

    func received(_ link: Link, _ header: FrameHeader, _ payload: ByteBuffer) {
        // Peers answer on their own connections; nothing is expected here.
        logger.debug("frame on an outgoing consensus link", metadata: ["kind": "\(header.kind)"])
    }
}
