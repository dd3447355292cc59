internal import Logging
internal import NIOCore
internal import RaftCore
internal import ReplicaCore
internal import Storage
internal import Transport

/// Requests that are answered off the control loop: chunk messages, publishing, status, metrics.
final class MemberRequests: AsideRequests {
    private let identity: NodeIdentity
    private let endpoint: String
    private let replica: Replica
    private let state: MemberState
    private let peers: Peers
    private let chunks: NodeChunks
    private let integrity: IntegrityService
    private let seal: FeatureSeal
    private let versions: PeerVersions
    private let snapshots: SnapshotShelf
    private let membership: MembershipRequests
    private let space: SpaceWatch
    private let site: SiteService
    private let metricsText: @Sendable () -> String

    /// How long a node waits for another's word about itself.
    private static let statusPatience = TimeAmount.milliseconds(1_000)

    init(
        identity: NodeIdentity, endpoint: String, replica: Replica, state: MemberState, peers: Peers,
        chunks: NodeChunks, integrity: IntegrityService, snapshots: SnapshotShelf, seal: FeatureSeal,
        versions: PeerVersions, space: SpaceWatch, membership: MembershipRequests, site: SiteService,
        metricsText: @escaping @Sendable () -> String
    ) {
        self.identity = identity
        self.endpoint = endpoint
        self.replica = replica
        self.state = state
        self.peers = peers
        self.chunks = chunks
        self.integrity = integrity
        self.seal = seal
        self.versions = versions
        self.snapshots = snapshots
        self.membership = membership
        self.space = space
        self.site = site
        self.metricsText = metricsText
    }

    func handle(_ kind: FrameKind, _ body: ByteBuffer, deadline: NIODeadline, reply: Reply) {
        Task {
            do throws(HoldfastError) {
                replica.replies.post(reply, .success(try await self.answer(kind, body, deadline: deadline)))
            } catch {
                replica.replies.post(reply, .failure(error))
            }
        }
    }

    private func answer(
        _ kind: FrameKind, _ body: ByteBuffer, deadline: NIODeadline
    ) async throws(HoldfastError) -> ByteBuffer {
        switch kind {
        case .publish: try await publish(body, deadline: deadline)
        case .chunkMessage: try await chunkMessage(body, deadline: deadline)
        case .nodeStatus: .written { self.report.encode(into: &$0) }
        case .clusterStatus: await clusterStatus()
        case .metrics: ByteBuffer(string: metricsText())
        case .sealFeatures: try await sealFeatures(body)
        case .integrity: try await integrity.answer(body, deadline: deadline)
        case .snapshotManifest: try await snapshotManifest(body)
        case .changeMembership: try await membership.change(body, deadline: deadline)
        case .membership: try await membership.report(body, deadline: deadline)
        case .siteVerb, .siteStatus, .sitePoll, .siteChunks, .siteHashes, .siteOrphans, .siteEpoch,
            .siteUploads, .siteVerify, .siteDrill, .siteSeed, .siteRows:
            try await site.answer(kind, body, deadline: deadline)
        default: throw HoldfastError(.incompatible, "request kind \(kind) is unknown to this node")
        }
    }

    private func sealFeatures(_ body: ByteBuffer) async throws(HoldfastError) -> ByteBuffer {
        var body = body
        guard let version = body.readInteger(endianness: .little, as: UInt32.self), body.readableBytes == 0 else {
            throw HoldfastError(.invalidArgument, "malformed request: it names no feature version")
        }
        try await seal.seal(version)
        return ByteBuffer(integer: version, endianness: .little)
    }

    private func publish(_ body: ByteBuffer, deadline: NIODeadline) async throws(HoldfastError) -> ByteBuffer {
        let request = try Store.decode(body) { reader throws(DecodeError) in
            try PublishRequest.decode(from: &reader)
        }
        let published = try await chunks.publish(
            request.upload, name: request.name, version: request.version, root: request.root, totals: request.totals,
            deadline: deadline)
        return .written { published.encode(into: &$0) }
    }

    private func chunkMessage(_ body: ByteBuffer, deadline: NIODeadline) async throws(HoldfastError) -> ByteBuffer {
        var rest = body
        let request: ChunkRequest
        do throws(DecodeError) {
            request = try ChunkRequest(decoding: rest.readBytes(length: rest.readableBytes) ?? [])
        } catch {
            throw HoldfastError(error, "chunk message")
        }
        if case .have(_, _, _, appliedAtLeast: 0) = request {
            // A client cannot say which index its upload has: this node reads on from what the leader has committed now.
            try await replica.barrier(deadline: deadline)
        }
        let answer = await chunks.answer(request, deadline: deadline)
        return ByteBuffer(bytes: answer.encoded())
    }

    private func snapshotManifest(_ body: ByteBuffer) async throws(HoldfastError) -> ByteBuffer {
        guard let index = body.getInteger(at: body.readerIndex, endianness: .little, as: UInt64.self) else {
            throw HoldfastError(.invalidArgument, "malformed request: it names no log index")
        }
        return ByteBuffer(bytes: try await snapshots.checkpoint(atLeast: index).encoded)
    }

    // MARK: Status

    /// What this node says of itself.
    private var report: NodeReport {
        let now = state.now
        let isQuarantined = now.quarantine != nil
        let (through, missing) = isQuarantined ? (0, chunks.completeness.missingBytes) : chunks.completeness
        let (isFull, freeBytes) = space.report
        var node = ClusterStatus.Node(
            id: identity.node, endpoint: endpoint, role: Self.role(now, identity.node), applied: now.applied.index,
            commit: max(now.commit, now.applied.index), revision: now.applied.revision,
            completeRevision: min(through, now.applied.revision),
            complete: !isQuarantined && missing == 0 && through >= now.applied.revision, missingBytes: missing,
            quarantined: isQuarantined, feedHash: now.applied.feedHash.hex)
        node.full = isFull
        node.freeBytes = freeBytes
        node.protocolVersion = TransportLimits.protocolVersionMax
        node.featureVersion = seal.known
        return NodeReport(
            node: node, publishedRevision: now.publishedRevision, featureVersion: now.featureVersion)
    }

    private func clusterStatus() async -> ByteBuffer {
        let own = report
        let now = state.now
        let deadline = NIODeadline.now() + Self.statusPatience
        let reports = await withTaskGroup(of: NodeReport.self) { group in
            for node in now.members.everyone where node != identity.node {
                group.addTask { await self.report(of: node, at: now.endpoint(of: node) ?? "", deadline: deadline) }
            }
            // A node that waits to be added is no member: it shows what it knows of them.
            var reports = now.members.contains(identity.node) ? [own] : []
            for await report in group { reports.append(report) }
            return reports
        }
        // A node that has not yet applied the last publish lacks it, though it knows of nothing that it lacks.
        let needed = reports.map(\.publishedRevision).max() ?? 0
        let nodes = reports.map { report in
            var node = report.node
            node.complete = node.complete && node.completeRevision >= needed
            if node.featureVersion == 0, let stated = versions.of(node.id) {
                // A node of the first release says it only in its hello.
                node.protocolVersion = stated.protocolVersion
                node.featureVersion = stated.featureVersion
            }
            return node
        }.sorted { $0.id < $1.id }
        var status = ClusterStatus(
            cluster: identity.cluster, lineage: lineage, term: now.leadership.term,
            leader: now.leadership.leader == noNode ? nil : now.leadership.leader,
            revision: nodes.map(\.revision).max() ?? 0, nodes: nodes)
        status.featureVersion = reports.map(\.featureVersion).max() ?? 0
        return .written { status.encode(into: &$0) }
    }

    /// Which of these voters say that their disks are full; one that does not answer is no word.
    func fullMembers(among voters: [UInt64]) async -> Set<UInt64> {
        let deadline = NIODeadline.now() + Self.statusPatience
        return await withTaskGroup(of: NodeReport.self) { group in
            for voter in voters where voter != identity.node {
                group.addTask { await self.report(of: voter, at: "", deadline: deadline) }
            }
            var full: Set<UInt64> = []
            for await report in group where report.node.full { full.insert(report.node.id) }
            return full
        }
    }

    private var lineage: String { state.now.lineage?.hex ?? "" }

    private func report(of member: NodeID, at endpoint: String, deadline: NIODeadline) async -> NodeReport {
        let silent = NodeReport(
            node: ClusterStatus.Node(id: member, endpoint: endpoint, role: .unreachable), publishedRevision: 0)
        guard let node = peers.nodes[member] else { return silent }
        do {
            let answer = try await node.call(.nodeStatus, ByteBuffer(), deadline: deadline)
            return try Store.decode(answer) { reader throws(DecodeError) in try NodeReport.decode(from: &reader) }
        } catch {
            return silent
        }
    }

    private static func role(_ now: MemberState.Values, _ node: UInt64) -> ClusterStatus.Node.Role {
        switch now.leadership.role {
        case .leader: .leader
        case .candidate, .preCandidate: .candidate
        case .follower: now.members.learners.contains(node) ? .learner : .follower
        }
    }
}

extension Replica {
    /// Returns when everything that was committed before the call is applied here (thesis §6.4).
    func barrier(deadline: NIODeadline) async throws(HoldfastError) {
        let result = await withCheckedContinuation {
            (continuation: CheckedContinuation<Result<ByteBuffer, HoldfastError>, Never>) in
            loop.execute {
                let job = ReadJob(reply: .local { continuation.resume(returning: $0) }, deadline: deadline) { _ in
                    ByteBuffer()
                }
                self.read(job, consistency: .linearizable)
            }
        }
        _ = try result.get()
    }
}
