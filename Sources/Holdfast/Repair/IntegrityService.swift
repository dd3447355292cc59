internal import NIOCore
internal import RaftCore
internal import ReplicaCore
internal import Storage

/// Answers questions about the integrity of this node's state, off the control loop.
final class IntegrityService: Sendable {
    private let identity: NodeIdentity
    private let commands: any CommandPlane
    private let replica: Replica
    private let peers: IntegrityPeers
    private let quarantine: Quarantine
    private let rebuild: Rebuild
    private let scrub: Scrub

    init(
        identity: NodeIdentity, commands: any CommandPlane, replica: Replica, peers: IntegrityPeers,
        quarantine: Quarantine, rebuild: Rebuild, scrub: Scrub
    ) {
        self.identity = identity
        self.commands = commands
        self.replica = replica
        self.peers = peers
        self.quarantine = quarantine
        self.rebuild = rebuild
        self.scrub = scrub
    }

    /// Answers one request.
    func answer(_ body: ByteBuffer, deadline: NIODeadline) async throws(HoldfastError) -> ByteBuffer {
        let request = try Store.decode(body) { reader throws(DecodeError) in
            try IntegrityRequest.decode(from: &reader)
        }
        let answer: IntegrityAnswer
        switch request {
        case .feedHash(let revision, let index):
            answer = try await feedHash(after: revision, appliedAtLeast: index, deadline: deadline)
        case .differs(let revision, let index, let right):
            answer = try await differs(at: revision, appliedAtLeast: index, from: right, deadline: deadline)
        case .forget(let node):
            answer = .index(try await replica.forget(node, deadline: deadline))
        case .rebuild(let node) where node == identity.node:
            try await rebuild.run()
            answer = .done
        case .scrub(let node) where node == identity.node:
            Task { [scrub] in await scrub.once() }
            answer = .done
        case .scrubReport(let node) where node == identity.node:
            answer = .scrub(scrub.report)
        case .rebuild(let node), .scrub(let node), .scrubReport(let node):
            answer = try await peers.ask(node, request, deadline: deadline)
        }
        return .written { answer.encode(into: &$0) }
    }

    /// This node's word on the feed. Zero: what made the revision is applied here, and the revision is not there.
    private func feedHash(
        after revision: Revision, appliedAtLeast index: LogIndex, deadline: NIODeadline
    ) async throws(HoldfastError) -> IntegrityAnswer {
        guard !quarantine.isOn else { return .nothing }
        try await commands.waitApplied(index, deadline: deadline)
        let result = await withCheckedContinuation {
            (continuation: CheckedContinuation<Result<IntegrityAnswer, HoldfastError>, Never>) in
            replica.readLane.submit { view, fault in
                do throws(HoldfastError) {
                    if let fault { throw fault }
                    let state = view.state
                    if state.index > index {
                        // A rewind came between: the revision may be another one now, or none.
                        let rewound = try RequestService.rows { () throws(RowError) in
                            try SiteView(loading: view.rows).record.rewoundIndex
                        }
                        guard rewound <= index else { return continuation.resume(returning: .success(.nothing)) }
                    }
                    // The row of the state stands for the revision that it names: at the same index there is no other.
                    if state.index == index || state.revision == revision {
                        return continuation.resume(
                            returning: .success(.hash(state.revision == revision ? state.feedHash : .zero)))
                    }
                    if state.revision < revision { return continuation.resume(returning: .success(.hash(.zero))) }
                    guard revision >= state.feedFloor else { return continuation.resume(returning: .success(.nothing)) }
                    let hash = try RequestService.rows { () throws(RowError) in
                        try FeedReader.hash(after: revision, rows: view.rows)
                    }
                    continuation.resume(returning: .success(.hash(hash ?? .zero)))
                } catch {
                    continuation.resume(returning: .failure(error))
                }
            }
        }
        return try result.get()
    }

    /// The leader says that a quorum differs. Looked at again here, so that no word of another node alone takes this one out.
    private func differs(
        at revision: Revision, appliedAtLeast index: LogIndex, from right: Digest, deadline: NIODeadline
    ) async throws(HoldfastError) -> IntegrityAnswer {
        guard
            case .hash(let own) = try await feedHash(after: revision, appliedAtLeast: index, deadline: deadline),
            own != right
        else { return .nothing }
        await quarantine.enterDiffering(at: revision, own: own, right: right)
        return .done
    }
}
