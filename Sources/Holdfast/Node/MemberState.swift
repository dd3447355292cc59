internal import NIOCore
internal import RaftCore
internal import ReplicaCore
internal import Storage
internal import Synchronization

/// What other threads may know of a member: published by the control loop and the apply thread.
final class MemberState: Sendable {
    struct Values: Sendable {
        var applied: AppliedState
        var members: Members
        /// Every node ID that was ever used, with addresses.
        var roster: Roster
        /// The addresses of the first configuration's members, as this node was formatted with them.
        var firstEndpoints: [NodeID: String]
        /// How far each member is complete, by its own replicated word.
        var completeness: [Completeness]
        var lineage: Lineage?
        var leadership = Leadership(role: .follower, leader: noNode, term: 0)
        var commit: LogIndex = 0
        /// The replicated feature version.
        var featureVersion = FeatureVersion.first
        /// This cluster's part in a pair of sites.
        var site = SiteRecord()
        /// Rows of a seed are staged here.
        var isSeeding = false
        /// The index through which consensus holds no entries for followers.
        var compacted: LogIndex = 0
        /// The highest revision that published a model.
        var publishedRevision: UInt64
        /// The end of the log at the start: nothing is swept before it is applied.
        var startIndex: LogIndex
        /// Why the rows here are served to nobody; nil if they may be relied on.
        var quarantine: String?
        /// The log was damaged and begun anew, and votes do not count yet.
        var hasNoVote = false
        /// The members' words on the feed differ and no quorum says which is right.
        var isFeedTied = false
        /// The node is stopping: nothing more is applied.
        var isStopped = false

        /// Whether every member is known to have a feature, so that it may be used. Once true it stays so.
        func isActive(_ feature: Feature) -> Bool { featureVersion >= feature.since }

        /// Where a member is, `HOST:PORT`: as the newest change says, or as this node was formatted.
        func endpoint(of node: NodeID) -> String? {
            if let record = roster[node], !record.endpoint.isEmpty { return record.endpoint }
            return firstEndpoints[node]
        }

        /// Why nothing that must be the newest is read or written here, and where it is; nil if it may be.
        var fence: HoldfastError? {
            guard !site.acknowledges, let refusal = site.refusalOfWrites else { return nil }
            return HoldfastError(refusal, details: fenceDetails)
        }

        /// Where the primary is, and its epoch, for whoever is refused here.
        var fenceDetails: [String: String] {
            var details = ["epoch": String(site.seen)]
            if let peer = site.peer { details["primary"] = peer.endpoints.joined(separator: ",") }
            if let word = SiteWord(site, own: lineage) {
                details["lineage"] = word.lineage.hex
                details["site"] = word.site.hex
            }
            return details
        }

        /// Takes over what a group of entries changed about the members.
        mutating func take(_ output: ApplyOutput) {
            if let members = output.members { self.members = members }
            if let roster = output.roster { self.roster = roster }
            for report in output.completeness {
                completeness.removeAll { $0.node == report.node }
                completeness.append(report)
            }
            if output.members != nil { completeness.removeAll { !members.contains($0.node) } }
        }
    }

    private let values: Mutex<Values>

    init(_ values: Values) { self.values = Mutex(values) }

    var now: Values { values.withLock { $0 } }

    func update(_ body: (inout Values) -> Void) { values.withLock { body(&$0) } }
}

/// The command plane as the chunk plane beside it sees it.
final class MemberCommands: CommandPlane {
    let node: NodeID
    let incarnation: Incarnation
    private let state: MemberState
    private let rows: RowStore
    private let replica: Replica
    private let router: Router

    init(identity: NodeIdentity, state: MemberState, rows: RowStore, replica: Replica, router: Router) {
        node = identity.node
        incarnation = identity.incarnation
        self.state = state
        self.rows = rows
        self.replica = replica
        self.router = router
    }

    var appliedIndex: LogIndex { state.now.applied.index }
    var isCaughtUpWithStart: Bool {
        let now = state.now
        return now.applied.index >= now.startIndex
    }
    var leader: NodeID? {
        let leader = state.now.leadership.leader
        return leader == noNode ? nil : leader
    }
    var members: Members { state.now.members }
    var isQuarantined: Bool { state.now.quarantine != nil }

    func withRows<R: Sendable>(_ body: (borrowing any RowReader) throws -> R) throws -> R { try body(rows) }

    func waitApplied(_ index: LogIndex, deadline: NIODeadline) async throws(HoldfastError) {
        if appliedIndex >= index { return }
        guard !state.now.isStopped else { throw HoldfastError(.unavailable, "node \(node) is stopping") }
        let replica = self.replica
        let isDone = await withCheckedContinuation { (continuation: CheckedContinuation<Bool, Never>) in
            let once = Once(continuation)
            replica.loop.execute { replica.whenApplied(index) { once.resume(true) } }
            replica.loop.scheduleTask(deadline: deadline) { once.resume(false) }
        }
        guard isDone, appliedIndex >= index else {
            throw HoldfastError(.unavailable, "node \(node) has not applied index \(index) in time")
        }
    }

    func waitForMembers(deadline: NIODeadline) async throws(HoldfastError) {
        let replica = self.replica
        let index = await withCheckedContinuation { (continuation: CheckedContinuation<LogIndex, Never>) in
            replica.loop.execute { continuation.resume(returning: replica.raft.configurationsEnd) }
        }
        try await waitApplied(index, deadline: deadline)
    }

    func propose(_ command: Command, deadline: NIODeadline) async throws(HoldfastError) -> Outcome {
        try await router.proposeUnnumbered(command, deadline: deadline)
    }
}

/// A continuation that the first of several callers resumes.
final class Once<Value: Sendable>: Sendable {
    private let continuation: Mutex<CheckedContinuation<Value, Never>?>

    init(_ continuation: CheckedContinuation<Value, Never>) { self.continuation = Mutex(continuation) }

    func resume(_ value: Value) {
        let taken = continuation.withLock { continuation in
            defer { continuation = nil }
            return continuation
        }
        taken?.resume(returning: value)
    }
}
