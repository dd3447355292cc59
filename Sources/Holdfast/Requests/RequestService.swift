internal import Logging
internal import NIOCore
internal import RaftCore
internal import ReplicaCore
internal import Transport

/// Decodes requests and hands each to the part of the node that answers it; on the control loop.
///
/// `@unchecked Sendable`: every variable is set before the first request and touched only on the control loop.
final class RequestService: @unchecked Sendable {
    let replica: Replica
    let replies: ReplyQueue
    let watches: WatchHub
    let figures: NodeFigures
    let logger: Logger
    /// The parts that answer asynchronously: chunks, status, metrics.
    let aside: any AsideRequests
    /// Why a command of so many bytes that needs room is refused here; nil while there is room.
    var roomRefusal: (Int) -> HoldfastError? = { _ in nil }
    /// Whether this cluster is one of a pair of sites, so that the other may have taken over when a write is to be answered.
    var guardsAnswers: () -> Bool = { false }
    /// Why this site's rows are not the newest there are; nil if they may be.
    var fence: @Sendable () -> HoldfastError? = { nil }
    /// A leader's word on how far logs may be compacted.
    var onLogFloor: (LogIndex) -> Void = { _ in }
    /// A leader offers a state snapshot.
    var onSnapshot: (Message) -> Void = { _ in }
    /// A follower will not install the state snapshot that this leader offered it.
    var onSnapshotRefused: (NodeID, SnapshotRefusal) -> Void = { _, _ in }
    /// Accepted connections over which members send consensus messages.
    private var members: [ObjectIdentifier: ServerConnection] = [:]

    init(replica: Replica, watches: WatchHub, aside: any AsideRequests, figures: NodeFigures, logger: Logger) {
        self.replica = replica
        self.replies = replica.replies
        self.watches = watches
        self.aside = aside
        self.figures = figures
        self.logger = logger
    }

    /// A consensus message of the member at the other end of a connection.
    func receive(_ message: Message, from node: NodeID) {
        guard message.from == node || message.kind == .transferLeadership, message.to == replica.raft.id else {
            logger.warning(
                "consensus message ignored",
                metadata: ["kind": "\(message.kind)", "from": "\(message.from)", "connection-of": "\(node)"])
            return
        }
        // It tells of a state only; consensus hears of it when the state is here.
        if message.kind == .installSnapshot { onSnapshot(message) } else { replica.receive(message) }
    }

    /// A member's consensus connection began, or ended.
    func accepted(_ connection: ServerConnection) { members[ObjectIdentifier(connection)] = connection }
    func ended(_ connection: ServerConnection) { members[ObjectIdentifier(connection)] = nil }

    /// Ends the consensus connections of nodes that were removed: when they dial again they are told.
    func dropMembers(where isRemoved: (NodeID) -> Bool) {
        for connection in members.values {
            if let node = connection.node, isRemoved(node) { connection.close("node \(node) was removed") }
        }
    }

    /// Takes one request; it is answered through `reply`, now or later.
    func handle(_ kind: FrameKind, _ payload: ByteBuffer, from peer: PeerIdentity, reply: Reply) {
        figures.requests.increment()
        var body = payload
        do throws(HoldfastError) {
            let deadline = try RequestHead.decode(&body)
            try dispatch(kind, &body, from: peer, deadline: deadline, reply: reply)
        } catch {
            figures.requestsRefused.increment()
            reply.fail(error)
        }
        // No turn comes any more that would.
        if replica.isDraining { replies.flush() }
    }

    private func dispatch(
        _ kind: FrameKind, _ body: inout ByteBuffer, from peer: PeerIdentity, deadline: NIODeadline, reply: Reply
    ) throws(HoldfastError) {
        switch kind {
        case .command: try command(&body, isMember: peer.role == .member, reply: reply)
        case .transferLeadership: try transfer(&body, reply: reply)
        case .range: try range(&body, deadline: deadline, reply: reply)
        case .models: try models(&body, deadline: deadline, reply: reply)
        case .model: try model(&body, deadline: deadline, reply: reply)
        case .uploads: try uploads(&body, deadline: deadline, reply: reply)
        case .watch: try watch(&body, reply: reply)
        case .stopWatch: try stopWatch(&body, reply: reply)
        case .sealFeatures:
            guard peer.role == .member else {
                throw HoldfastError(.permissionDenied, "only members of the cluster raise its feature version")
            }
            aside.handle(kind, body, deadline: deadline, reply: reply)
        case .changeMembership, .membership, .publish, .clusterStatus, .nodeStatus, .metrics, .chunkMessage,
            .snapshotManifest, .siteVerb, .siteStatus, .sitePoll, .siteChunks, .siteHashes,
            .siteOrphans, .siteEpoch, .siteUploads, .siteVerify, .siteDrill, .siteSeed, .siteRows:
            aside.handle(kind, body, deadline: deadline, reply: reply)
        case .integrity:
            try IntegrityRequest.check(body, isMember: peer.role == .member)
            aside.handle(kind, body, deadline: deadline, reply: reply)
        case .consensus, .logFloor, .snapshotRefused, .success, .failure, .event, .putChunk, .getChunk, .siteChunk,
            .snapshotPart:
            throw HoldfastError(.invalidArgument, "frame kind \(kind) is no request of a request connection")
        }
    }

    // MARK: Writes

    private func command(_ body: inout ByteBuffer, isMember: Bool, reply: Reply) throws(HoldfastError) {
        var bytes = body.readBytes(length: body.readableBytes) ?? []
        let envelope: Envelope
        do throws(DecodeError) {
            envelope = try Envelope(decoding: bytes)
        } catch {
            throw HoldfastError(error, "command")
        }
        switch envelope.command {
        case .raiseFeatures:
            throw HoldfastError(
                .permissionDenied, "the leader alone raises the feature version, when every member is ready")
        case .lineage, .uploadExpire, .publish, .complete, .site:
            guard isMember else {
                throw HoldfastError(.permissionDenied, "this command is for members of the cluster only")
            }
        default: break
        }
        if let refusal = envelope.command.refusal { throw HoldfastError(refusal) }
        if let feature = envelope.command.feature { try replica.require(feature) }
        // Only the leader decides: another node's caller goes to the leader.
        if envelope.command.needsRoom, replica.raft.role == .leader, let refusal = roomRefusal(bytes.count) {
            throw refusal
        }
        if case .site(.fence(let epoch, _)) = envelope.command {
            replica.heardEpoch = max(replica.heardEpoch, epoch)
        }
        Envelope.stamp(WallClock.milliseconds, onto: &bytes)
        let isGuarded = guardsAnswers() && envelope.command.isWrite
        replica.propose(bytes, reply: isGuarded ? guarded(reply) : reply)
    }

    /// Answers a write only if it may still be acknowledged then: another site may have begun a higher epoch meanwhile.
    private func guarded(_ reply: Reply) -> Reply {
        .local { [replica] result in
            switch result {
            case .failure(let error): reply.fail(error)
            case .success(let answer):
                guard replica.mayAcknowledge(replica.heardEpoch) else {
                    return reply.fail(
                        HoldfastError(
                            .outcomeUnknown, "another site has taken over; whether it has the write is not known",
                            details: replica.fenceDetails()))
                }
                reply.succeed { $0.writeImmutableBuffer(answer) }
            }
        }
    }

    private func transfer(_ body: inout ByteBuffer, reply: Reply) throws(HoldfastError) {
        guard let node = body.readInteger(endianness: .little, as: UInt64.self) else {
            throw HoldfastError(.invalidArgument, "malformed request: it names no node")
        }
        replica.transferLeadership(to: node, reply: reply)
    }

    // MARK: Reads

    /// Keys in one answer: with some 30 bytes of revisions and lengths each, 3 MiB beside the 4 MiB of keys and values, and so less
    /// than a frame (8 MiB).
    private static let rangeKeysMax: UInt64 = 100_000

    private func range(_ body: inout ByteBuffer, deadline: NIODeadline, reply: Reply) throws(HoldfastError) {
        let (consistency, query) = try decode(&body, "read") { reader throws(DecodeError) in
            try ReadConsistency.decode(from: &reader) { (reader) throws(DecodeError) in
                try RangeQuery.decode(from: &reader)
            }
        }
        var bounded = query
        if bounded.limit == 0 || bounded.limit > Self.rangeKeysMax { bounded.limit = Self.rangeKeysMax }
        read(consistency, deadline, reply) { [query = bounded] (view) throws(HoldfastError) in
            let result = try Self.query { () throws(QueryError) in
                try History.range(query, at: view.point, rows: view.rows)
            }
            return .written { result.encode(into: &$0) }
        }
    }

    private func models(_ body: inout ByteBuffer, deadline: NIODeadline, reply: Reply) throws(HoldfastError) {
        let (consistency, name) = try decode(&body, "read") { reader throws(DecodeError) in
            try ReadConsistency.decode(from: &reader) { (reader) throws(DecodeError) in try reader.optionalText() }
        }
        read(consistency, deadline, reply) { (view) throws(HoldfastError) in
            let versions = try Self.rows { () throws(RowError) in
                if let name { return try ModelReader.versions(of: name, at: view.point, rows: view.rows) }
                return try ModelReader.list(at: view.point, rows: view.rows)
            }
            return .written { $0.list(versions) }
        }
    }

    private func model(_ body: inout ByteBuffer, deadline: NIODeadline, reply: Reply) throws(HoldfastError) {
        let (consistency, (name, version)) = try decode(&body, "read") { reader throws(DecodeError) in
            try ReadConsistency.decode(from: &reader) { (reader) throws(DecodeError) in
                (try reader.text(), try reader.optionalText())
            }
        }
        read(consistency, deadline, reply) { (view) throws(HoldfastError) in
            let found = try Self.rows { () throws(RowError) in
                try ModelReader.resolve(name: name, version: version, at: view.point, rows: view.rows)
            }
            guard let found else {
                let what = version.map { "\(name)@\($0)" } ?? name
                throw HoldfastError(
                    .notFound, "model '\(what)' is not published; 'holdfast model list' shows what is")
            }
            return .written { found.encode(into: &$0) }
        }
    }

    private func uploads(_ body: inout ByteBuffer, deadline: NIODeadline, reply: Reply) throws(HoldfastError) {
        let (consistency, ()) = try decode(&body, "read") { reader throws(DecodeError) in
            try ReadConsistency.decode(from: &reader) { _ in }
        }
        read(consistency, deadline, reply) { (view) throws(HoldfastError) in
            let uploads = try Self.rows { () throws(RowError) in try ModelReader.uploads(rows: view.rows) }
            return .written { $0.list(uploads) }
        }
    }

    private func read(
        _ consistency: ReadConsistency, _ deadline: NIODeadline, _ reply: Reply,
        _ execute: @escaping @Sendable (borrowing ReadView) throws(HoldfastError) -> ByteBuffer
    ) {
        figures.reads.increment()
        switch consistency {
        case .stale:
            return replica.read(ReadJob(reply: reply, deadline: deadline, execute: execute), consistency: .stale)
        case .atLeast(let revision):
            // Asked again, here or elsewhere, until the caller's deadline.
            let job = ReadJob(reply: reply, deadline: deadline) { view throws(HoldfastError) in
                guard view.point.revision >= revision else {
                    throw HoldfastError(
                        .unavailable, "this node is at revision \(view.point.revision), and \(revision) was asked for",
                        details: ["revision": String(view.point.revision)])
                }
                return try execute(view)
            }
            return replica.read(job, consistency: .stale)
        case .linearizable: break
        }
        // Asked once the read index is applied: a site that has given its role away before the read began knows it by then.
        let job = ReadJob(reply: reply, deadline: deadline) { [fence] view throws(HoldfastError) in
            if let refusal = fence() { throw refusal }
            return try execute(view)
        }
        replica.read(job, consistency: consistency)
    }

    // MARK: Watches

    private func watch(_ body: inout ByteBuffer, reply: Reply) throws(HoldfastError) {
        let request = try decode(&body, "watch") { reader throws(DecodeError) in
            try WatchRequest.decode(from: &reader)
        }
        guard case .connection(let connection, let id) = reply else {
            throw HoldfastError(.invalidArgument, "a watch needs a connection")
        }
        try watches.begin(request, sink: .connection(connection, id: id))
    }

    private func stopWatch(_ body: inout ByteBuffer, reply: Reply) throws(HoldfastError) {
        guard let id = body.readInteger(endianness: .little, as: UInt64.self), case .connection(let from, _) = reply
        else { throw HoldfastError(.invalidArgument, "malformed request: it names no watch") }
        watches.stop(from, id: id)
        reply.succeed { _ in }
    }

    // MARK: Within

    private func decode<Value>(
        _ body: inout ByteBuffer, _ what: String, _ take: (inout ByteReader) throws(DecodeError) -> Value
    ) throws(HoldfastError) -> Value {
        var reader = body.byteReader()
        do throws(DecodeError) {
            let value = try take(&reader)
            try reader.finish()
            return value
        } catch {
            throw HoldfastError(error, what)
        }
    }

    /// Reads rows and turns a failure into an error of the public interface.
    static func rows<Value>(_ body: () throws(RowError) -> Value) throws(HoldfastError) -> Value {
        do throws(RowError) {
            return try body()
        } catch {
            throw HoldfastError(error)
        }
    }

    /// Runs a query and turns its failure into an error of the public interface.
    static func query<Value>(_ body: () throws(QueryError) -> Value) throws(HoldfastError) -> Value {
        do throws(QueryError) {
            return try body()
        } catch {
            switch error {
            case .refused(let refusal): throw HoldfastError(refusal)
            case .rows(let failure): throw HoldfastError(failure)
            }
        }
    }
}

/// Requests that are answered off the control loop.
protocol AsideRequests: Sendable {
    func handle(_ kind: FrameKind, _ body: ByteBuffer, deadline: NIODeadline, reply: Reply)
}
