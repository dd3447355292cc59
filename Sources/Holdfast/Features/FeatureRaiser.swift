internal import Logging
internal import NIOCore
internal import RaftCore
internal import ReplicaCore

/// The leader's part in raising the replicated feature version (`FeatureRise` has the rule and the diagram).
///
/// Invariants:
/// 1. `raiseFeatures` is proposed only after every member of the configuration that is active at that moment has sealed its directory
///    at that version: a node that receives the command has a build that can apply it.
/// 2. One attempt at a time, and nothing of an attempt outlives its term.
///
/// `@unchecked Sendable`: every variable is touched only on the control loop.
final class FeatureRaiser: @unchecked Sendable {
    private let replica: Replica
    private let peers: Peers
    private let versions: PeerVersions
    private let state: MemberState
    private let seal: FeatureSeal
    private let logger: Logger
    private var isRaising = false

    /// How long a member may take to seal its directory: one small file and two fsyncs.
    private static let patience = TimeAmount.seconds(5)

    init(
        replica: Replica, peers: Peers, versions: PeerVersions, state: MemberState, seal: FeatureSeal, logger: Logger
    ) {
        self.replica = replica
        self.peers = peers
        self.versions = versions
        self.state = state
        self.seal = seal
        self.logger = logger
    }

    /// Looks whether the version can rise; called when a leader begins, when a peer connects, and about once a second.
    func check() {
        guard !isRaising, !replica.isStopped, replica.raft.role == .leader else { return }
        let own = replica.raft.id
        let members = Members(replica.raft.confState)
        let target = FeatureRise.target(active: state.now.featureVersion, members: members) { node in
            node == own ? seal.known : versions.of(node)?.featureVersion
        }
        guard let target else { return }
        isRaising = true
        let term = replica.raft.term
        Task {
            let sealed = await sealAll(members.everyone, at: target)
            replica.loop.execute { self.propose(target, sealed: sealed, term: term) }
        }
    }

    /// Asks every member to seal its directory; the answer names those who did.
    private func sealAll(_ nodes: [NodeID], at version: UInt32) async -> [NodeID] {
        await withTaskGroup(of: NodeID?.self) { group in
            for node in nodes { group.addTask { await self.seal(node, at: version) } }
            var sealed: [NodeID] = []
            for await node in group { if let node { sealed.append(node) } }
            return sealed.sorted()
        }
    }

    private func seal(_ node: NodeID, at version: UInt32) async -> NodeID? {
        do {
            if node == seal.directory.identity.node {
                try await seal.seal(version)
            } else {
                guard let peer = peers.nodes[node] else { return nil }
                _ = try await peer.call(
                    .sealFeatures, ByteBuffer(integer: version, endianness: .little), deadline: .now() + Self.patience)
            }
            return node
        } catch {
            logger.notice(
                "a member did not seal its directory; the feature version waits",
                metadata: ["node": "\(node)", "version": "\(version)", "reason": "\(error)"])
            return nil
        }
    }

    /// Keeps (1) and (2).
    private func propose(_ version: UInt32, sealed: [NodeID], term: Term) {
        let members = Members(replica.raft.confState)
        guard !replica.isStopped, replica.raft.role == .leader, replica.raft.term == term,
            FeatureRise.mayPropose(members: members, sealed: sealed)
        else {
            isRaising = false
            return
        }
        let command = Envelope(time: WallClock.milliseconds, command: .raiseFeatures(to: version))
        replica.propose(
            command.encoded(),
            reply: .local { [self] result in
                switch result {
                case .success:
                    logger.notice("the feature version rose", metadata: ["version": "\(version)"])
                case .failure(let error):
                    logger.notice("the feature version did not rise yet", metadata: ["reason": "\(error.message)"])
                }
                replica.loop.execute { self.isRaising = false }
            })
    }
}
