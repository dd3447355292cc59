internal import Logging
internal import NIOCore
internal import RaftCore
internal import ReplicaCore
internal import Synchronization
internal import Transport

/// The other members of the cluster: a consensus link to each, on the control loop, and their request and bulk connections.
///
/// Each node sends on the connections that it dialled and receives on those that it accepted. Members come and go with the
/// configuration as applied here (`configure`); a node that knows a newer one and dials first is a *visitor*: it gets a link, so that
/// what it sends can be answered, until the configuration here says what it is.
///
/// `@unchecked Sendable`: `remotes` is a Mutex; everything else is touched only on the control loop, after `init`.
final class Peers: ConsensusPeers, @unchecked Sendable {
    private struct Peer {
        var endpoint: Endpoint
        var link: Link
        var isVisitor: Bool
    }

    private var peers: [NodeID: Peer] = [:]
    private let remotes = Mutex<[NodeID: RemoteNode]>([:])
    private let makeLink: (NodeID, Endpoint) -> Link
    private let makeRemote: (NodeID, Endpoint) -> RemoteNode
    private let id: NodeID
    private let logger: Logger
    private var isDirty: Set<NodeID> = []
    private var handler: (any LinkHandler)?

    init(
        members: [NodeID: Endpoint], self id: NodeID, loops: ClientLoops, settings: TransportSettings,
        logger: Logger, check: @escaping @Sendable (NodeID, PeerIdentity) -> HoldfastError?,
        hello: @escaping @Sendable (Purpose, NodeID) -> Hello
    ) {
        self.id = id
        self.logger = logger
        makeLink = { node, endpoint in
            Link(
                to: endpoint, purpose: .consensus, on: loops.request, settings: settings,
                backoff: Backoff(seed: UInt64.random(in: 0...(.max))), hello: { hello(.consensus, node) })
        }
        makeRemote = { node, endpoint in
            RemoteNode(
                endpoint, loops: loops, settings: settings, check: { check(node, $0) }, hello: { hello($0, node) })
        }
        for (node, endpoint) in members where node != id { add(node, endpoint, isVisitor: false) }
    }

    /// Request and bulk connections by node; from any thread.
    var nodes: [NodeID: RemoteNode] { remotes.withLock { $0 } }

    /// Begins to dial (on the control loop).
    func start(_ handler: any LinkHandler) {
        self.handler = handler
        for peer in peers.values { peer.link.start(handler) }
    }

    /// Closes every connection (on the control loop).
    func stop() {
        for node in Array(peers.keys) { drop(node) }
        handler = nil
    }

    // MARK: Who they are

    /// The configuration that is applied now: links are made and dropped accordingly. A visitor stays unless it was removed.
    func configure(_ members: [NodeID: Endpoint], removed: Set<NodeID>) {
        for (node, peer) in peers {
            if let endpoint = members[node] {
                if endpoint == peer.endpoint { peers[node]?.isVisitor = false } else { drop(node) }
            } else if !peer.isVisitor || removed.contains(node) {
                drop(node)
            }
        }
        for (node, endpoint) in members where node != id && peers[node] == nil {
            add(node, endpoint, isVisitor: false)
        }
    }

    /// The node dialled us, so it is there: dial it at once instead of waiting for the back-off. A node that this one does not
    /// know yet says itself where it is.
    func heard(from node: NodeID, at endpoint: String) {
        if let known = peers[node] { return known.link.dialNow() }
        guard node != id, let endpoint = Endpoint(endpoint), endpoint.port > 0 else { return }
        logger.info("a member of a newer configuration", metadata: ["node": "\(node)", "endpoint": "\(endpoint)"])
        add(node, endpoint, isVisitor: true)
    }

    private func add(_ node: NodeID, _ endpoint: Endpoint, isVisitor: Bool) {
        let link = makeLink(node, endpoint)
        peers[node] = Peer(endpoint: endpoint, link: link, isVisitor: isVisitor)
        let remote = makeRemote(node, endpoint)
        remotes.withLock { $0[node] = remote }
        if let handler { link.start(handler) }
    }

    private func drop(_ node: NodeID) {
        isDirty.remove(node)
        peers.removeValue(forKey: node)?.link.close()
        remotes.withLock { $0.removeValue(forKey: node) }?.close()
    }

    // MARK: Messages

    func send(_ message: Message) -> Bool {
        guard let link = peers[message.to]?.link, link.isUp else { return false }
        isDirty.insert(message.to)
        return link.send(FrameKind.consensus.rawValue, id: 0) { ConsensusCodec.encode(message, into: &$0) }
    }

    /// Tells every member how far logs may be compacted.
    func sendLogFloor(_ index: LogIndex) {
        for peer in peers.values where peer.link.isUp {
            peer.link.send(FrameKind.logFloor.rawValue, id: 0) { $0.writeInteger(index, endianness: .little) }
            peer.link.flush()
        }
    }

    /// Tells a leader that the state snapshot it offered will not be installed.
    func sendSnapshotRefusal(_ refusal: SnapshotRefusal, to node: NodeID) {
        guard let link = peers[node]?.link, link.isUp else { return }
        link.send(FrameKind.snapshotRefused.rawValue, id: 0) { refusal.encode(into: &$0) }
        link.flush()
    }

    func flush() {
        for node in isDirty { peers[node]?.link.flush() }
        isDirty.removeAll(keepingCapacity: true)
    }

    func isConnected(_ node: NodeID) -> Bool { peers[node]?.link.isUp ?? false }

    func endpoint(of node: NodeID) -> String? { peers[node].map { "\($0.endpoint)" } }

    /// The member that a link leads to.
    func node(of link: Link) -> NodeID? { peers.first { $0.value.link === link }?.key }
}

/// What the consensus links tell the replica.
final class PeerEvents: LinkHandler {
    private let replica: Replica
    private let peers: Peers
    private let versions: PeerVersions
    private let logger: Logger
    private let check: (NodeID, PeerIdentity) -> HoldfastError?
    private let onUp: () -> Void
    private let onRefusal: (NodeID, RefusalCode, String, _ isNews: Bool) -> Void
    private var refusals = Refusals()

    init(
        replica: Replica, peers: Peers, versions: PeerVersions, logger: Logger,
        check: @escaping (NodeID, PeerIdentity) -> HoldfastError?, onUp: @escaping () -> Void,
        onRefusal: @escaping (NodeID, RefusalCode, String, _ isNews: Bool) -> Void
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
            logger.log(
                level: refusals.isNews(node, refusal.message, now: .now()) ? .error : .debug, "peer refused",
                metadata: ["node": "\(node)", "reason": "\(refusal.message)"])
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
        case .refused(let code, let sentence): refused(by: node, code, sentence)
        case .connectionRefused: replica.peerLost(node, isGone: true)
        default: replica.peerLost(node, isGone: false)
        }
    }

    private func refused(by node: NodeID, _ code: RefusalCode, _ sentence: String) {
        onRefusal(node, code, sentence, refusals.isNews(node, sentence, now: .now()))
    }

    func received(_ link: Link, _ header: FrameHeader, _ payload: ByteBuffer) {
        // Peers answer on their own connections; nothing is expected here.
        logger.debug("frame on an outgoing consensus link", metadata: ["kind": "\(header.kind)"])
    }
}

/// Which refusals between two nodes are worth a line: a peer that refuses says so at every dial, for as long as it takes.
struct Refusals {
    private var said: [NodeID: (sentence: String, at: NIODeadline)] = [:]

    private static let pause = TimeAmount.minutes(1)

    /// Whether this was not said within the last minute.
    mutating func isNews(_ node: NodeID, _ sentence: String, now: NIODeadline) -> Bool {
        if let last = said[node], last.sentence == sentence, now - last.at < Self.pause { return false }
        said[node] = (sentence, now)
        return true
    }
}
