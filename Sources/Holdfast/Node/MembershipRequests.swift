internal import Logging
internal import NIOCore
internal import RaftCore
internal import ReplicaCore
internal import Storage
internal import Transport

/// Answers requests about the members and carries changes out, step by step, while this node leads.
///
/// Every step is decided anew from what is applied (`MembershipPlan`), so a request that is repeated, here or at another leader,
/// goes on where the last one ended.
struct MembershipRequests: Sendable {
    let identity: NodeIdentity
    let replica: Replica
    let state: MemberState
    /// Dials a node that is to join, as this node.
    let visit: @Sendable (NodeID, Endpoint) async -> VisitOutcome
    let logger: Logger

    /// What was found at the address of a node that is to join.
    enum VisitOutcome: Sendable {
        case found(Incarnation)
        case refused(String)
        /// Nobody answered: it may not run yet.
        case silent
    }

    /// How long a member may be silent before a change that needs it is refused.
    private static let silencePatience = TimeAmount.seconds(3)
    private static let pauseMilliseconds: UInt64 = 20
    /// The answer must be on its way before the caller gives up.
    private static let answerTime = TimeAmount.milliseconds(300)
    /// Entries that a learner may lack and count as caught up: they are on their way, and take milliseconds.
    static let caughtUpEntries: LogIndex = 1_024
    /// What counts as an answer a moment ago: some heartbeats.
    static let answerAge = TimeAmount.milliseconds(400)

    /// Who is a member, as applied here.
    func report(_ body: ByteBuffer, deadline: NIODeadline) async throws(HoldfastError) -> ByteBuffer {
        if body.getInteger(at: body.readerIndex, as: UInt8.self) != ReadConsistency.stale.tag {
            try await replica.barrier(deadline: deadline)
        }
        return .written { report.encode(into: &$0) }
    }

    /// Carries a change out and answers with the members after it.
    func change(_ body: ByteBuffer, deadline: NIODeadline) async throws(HoldfastError) -> ByteBuffer {
        let request = try Store.decode(body) { reader throws(DecodeError) in
            try MembershipRequest.decode(from: &reader)
        }
        if let newcomer = request.newcomer, newcomer.node == noNode || Endpoint(newcomer.endpoint)?.port ?? 0 == 0 {
            throw HoldfastError(
                .invalidArgument,
                "'\(newcomer.node)=\(newcomer.endpoint)' is no member; write ID=HOST:PORT, with an ID from 1")
        }
        let end = deadline - Self.answerTime
        // Only an answer after this moment shows that a member is there: one that has just gone was heard a moment before.
        let began = NIODeadline.now()
        var silentSince: NIODeadline?
        while true {
            let plan = MembershipPlan(request, try await view(since: began))
            if case .waitBriefly = plan {} else { silentSince = nil }
            let reason: String
            switch plan {
            case .done: return .written { report.encode(into: &$0) }
            case .refuse(let error): throw error
            case .handOver(let successor):
                try await handOver(to: successor)
                throw HoldfastError(.notLeader, "leadership went to node \(successor)", details: details(of: successor))
            case .propose(let change):
                guard let refusal = try await propose(change, request) else { continue }
                guard refusal.code == .unavailable else { throw HoldfastError(refusal) }
                reason = refusal.message
            case .wait(let sentence): reason = sentence
            case .waitBriefly(let sentence):
                reason = sentence
                let since = silentSince ?? .now()
                silentSince = since
                if .now() - since > Self.silencePatience { throw HoldfastError(.preconditionFailed, reason) }
            }
            guard await pause(until: end) else { throw HoldfastError(.preconditionFailed, reason) }
        }
    }

    /// Proposes a change; nil once it is applied, or why it did nothing.
    private func propose(
        _ change: ConfigurationChange, _ request: MembershipRequest
    ) async throws(HoldfastError) -> ReplicaCore.Refusal? {
        var change = change
        if let newcomer = request.newcomer, change.steps == [.init(.addLearner, newcomer.node)] {
            guard let endpoint = Endpoint(newcomer.endpoint) else { return nil }
            var address = newcomer
            switch await visit(newcomer.node, endpoint) {
            case .found(let incarnation): address.incarnation = incarnation
            case .refused(let sentence): throw HoldfastError(.preconditionFailed, sentence)
            case .silent: break
            }
            change.context = MemberAddress.encode([address])
        }
        let wanted = change
        let result = await withCheckedContinuation {
            (continuation: CheckedContinuation<Result<ConfigurationOutcome, HoldfastError>, Never>) in
            replica.loop.execute {
                replica.propose(wanted) { continuation.resume(returning: $0) }
            }
        }
        switch result {
        case .success(let outcome): return outcome.refusal
        case .failure(let error) where error.code == .unavailable: return Refusal(.unavailable, error.message)
        case .failure(let error): throw error
        }
    }

    private func handOver(to successor: NodeID) async throws(HoldfastError) {
        let result = await withCheckedContinuation {
            (continuation: CheckedContinuation<Result<ByteBuffer, HoldfastError>, Never>) in
            replica.loop.execute {
                replica.transferLeadership(to: successor, reply: .local { continuation.resume(returning: $0) })
            }
        }
        if case .failure(let error) = result { throw error }
    }

    // MARK: What is so

    private var report: MembershipReport {
        let now = state.now
        let everyone = now.members.everyone
        return MembershipReport(
            cluster: identity.cluster, bootstrap: identity.bootstrap, lineage: now.lineage ?? .zero,
            first: identity.members.map { MemberAddress(node: $0.node, endpoint: $0.endpoint) },
            members: now.members,
            addresses: everyone.map { node in
                MemberAddress(
                    node: node, endpoint: now.endpoint(of: node) ?? "",
                    incarnation: now.roster[node]?.incarnation ?? .zero)
            },
            removed: now.roster.records.filter(\.isRemoved).map(\.node),
            nextID: now.roster.nextID(beside: now.members), featureVersion: now.featureVersion,
            site: SiteWord(now.site, own: now.lineage))
    }

    private func details(of node: NodeID) -> [String: String] {
        var details = ["leader": String(node)]
        details["endpoint"] = state.now.endpoint(of: node)
        return details
    }

    /// What this leader knows now.
    private func view(since began: NIODeadline) async throws(HoldfastError) -> MembershipView {
        let needed = try await lastPublish()
        let result = await withCheckedContinuation {
            (continuation: CheckedContinuation<Result<MembershipView, HoldfastError>, Never>) in
            replica.loop.execute {
                guard replica.raft.role == .leader else {
                    return continuation.resume(returning: .failure(replica.notLeader()))
                }
                continuation.resume(
                    returning: .success(replica.membershipView(state.now, needed: needed, since: began)))
            }
        }
        return try result.get()
    }

    /// The newest revision whose publish names chunks that must be kept.
    private func lastPublish() async throws(HoldfastError) -> UInt64 {
        let result = await withCheckedContinuation {
            (continuation: CheckedContinuation<Result<ByteBuffer, HoldfastError>, Never>) in
            let job = ReadJob(
                reply: .local { continuation.resume(returning: $0) }, deadline: .now() + .seconds(10)
            ) { (view) throws(HoldfastError) in
                let last = try RequestService.rows { () throws(RowError) in
                    try ModelReader.lastPublish(rows: view.rows)
                }
                return .written { $0.varint(last) }
            }
            replica.loop.execute { replica.read(job, consistency: .stale) }
        }
        return try Store.decode(try result.get()) { reader throws(DecodeError) in try reader.varint() }
    }

    private func pause(until end: NIODeadline) async -> Bool {
        guard NIODeadline.now() < end else { return false }
        do {
            try await Task.sleep(nanoseconds: Self.pauseMilliseconds * 1_000_000)
            return true
        } catch {
            return false
        }
    }
}

extension MembershipRequest {
    /// The node that joins, and where it is.
    var newcomer: MemberAddress? {
        switch self {
        case .addLearner(let node, let endpoint), .replace(_, let node, let endpoint):
            MemberAddress(node: node, endpoint: endpoint)
        case .promote, .remove: nil
        }
    }
}

extension Replica {
    /// What this leader knows of its members; `needed` is the newest revision that published something (on the control loop).
    ///
    /// - Parameter since: answers before it count for nothing.
    func membershipView(
        _ now: MemberState.Values, needed: UInt64, since: NIODeadline = .uptimeNanoseconds(0)
    ) -> MembershipView {
        let recent = max(since, NIODeadline.now() - MembershipRequests.answerAge)
        var answering: Set<NodeID> = [raft.id]
        var caughtUp: Set<NodeID> = [raft.id]
        for follower in raft.followers where follower.id != raft.id {
            if let heard = answeredAt[follower.id], heard >= recent, peers.isConnected(follower.id) {
                answering.insert(follower.id)
            }
            if follower.state == .replicate, follower.match + MembershipRequests.caughtUpEntries >= raft.lastIndex,
                follower.match > 0
            {
                caughtUp.insert(follower.id)
            }
        }
        var endpoints: [NodeID: String] = [:]
        for node in now.members.everyone { endpoints[node] = now.endpoint(of: node) }
        let complete = now.members.everyone.filter { node in
            needed == 0 || now.completeness.contains { $0.node == node && $0.through >= needed }
        }
        return MembershipView(
            node: raft.id, members: Members(raft.confState), roster: now.roster, endpoints: endpoints,
            isChanging: raft.hasUnappliedConfiguration || Members(raft.confState) != now.members
                || appliedIndex < settling,
            answering: answering, caughtUp: caughtUp, complete: Set(complete))
    }
}
