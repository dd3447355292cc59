internal import NIOCore
internal import RaftCore
internal import ReplicaCore

/// What the parts of a site share of their node: its rows, its proposals, and who it is.
struct SiteStores: Sendable {
    let replica: Replica
    let state: MemberState
    let commands: any CommandPlane
    let chunks: NodeChunks

    /// Reads rows off the caller's thread.
    func read<Value: Sendable>(
        _ body: @escaping @Sendable (borrowing any RowReader) throws -> Value
    ) async throws(HoldfastError) -> Value {
        try await chunks.keeper.readers.run { [chunks] () throws(HoldfastError) in try chunks.keeper.rows(body) }
    }

    /// The site as applied here.
    func view() async throws(HoldfastError) -> SiteView {
        try await read { rows in try SiteView(loading: rows) }
    }

    /// Where this cluster's nodes are.
    var endpoints: [String] {
        let now = state.now
        return now.members.everyone.compactMap { now.endpoint(of: $0) }
    }

    var leads: Bool { state.now.leadership.role == .leader }

    /// Throws `notLeader` unless this node leads, as far as it knows.
    func requireLeader() throws(HoldfastError) {
        guard !leads else { return }
        let now = state.now
        var details: [String: String] = [:]
        if now.leadership.leader != noNode {
            details["leader"] = String(now.leadership.leader)
            details["endpoint"] = now.endpoint(of: now.leadership.leader)
        }
        throw HoldfastError(.notLeader, "this node does not lead", details: details)
    }

    /// Hears of an epoch: a leader stops acknowledging writes of a lower one at once.
    func hear(_ other: SiteReport, as record: SiteRecord) {
        guard record.role != .alone, other.lineage == record.lineage, other.seen > record.seen else { return }
        hear(other.seen)
    }

    /// Hears of an epoch of this pair of sites.
    func hear(_ epoch: UInt64) {
        replica.loop.execute { [replica] in replica.heardEpoch = max(replica.heardEpoch, epoch) }
    }

    /// Proposes a command and throws what it is refused with.
    @discardableResult
    func propose(
        _ command: SiteCommand, deadline: NIODeadline = .now() + .seconds(10)
    ) async throws(HoldfastError) -> Outcome {
        let outcome = try await commands.propose(.site(command), deadline: deadline)
        if case .refused(let refusal) = outcome { throw HoldfastError(refusal) }
        return outcome
    }
}
