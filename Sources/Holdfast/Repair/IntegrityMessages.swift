internal import NIOCore
internal import RaftCore
internal import ReplicaCore

/// What nodes ask of each other about the integrity of their state, and operators of a node; drawn in
/// `Docs/Reference/WireProtocol.md`.
enum IntegrityRequest: Sendable, Hashable {
    /// What is your chain hash after this revision, once you have applied this index? From the leader. Answer: a hash.
    case feedHash(revision: Revision, appliedAtLeast: LogIndex)
    /// A quorum has this chain hash after that revision: if yours is another, quarantine yourself. From the leader. Answer: done.
    case differs(revision: Revision, appliedAtLeast: LogIndex, right: Digest)

    /// My log was damaged: forget what it acknowledged, confirm that you lead, and tell an index. To the leader. Answer: an index.
    case forget(NodeID)
    /// Have this node fetch its rows anew. From anyone, to any node, which passes it on. Answer: done, once it is rebuilt.
    case rebuild(NodeID)
    /// Have this node scrub, as `rebuild`. Answer: done, when it has begun.
    case scrub(NodeID)
    /// What did this node's last scrub find? As `rebuild`. Answer: a report.
    case scrubReport(NodeID)

    private enum Tag: UInt8 {
        case feedHash = 1
        case differs = 2
        case forget = 3
        case rebuild = 4
        case scrub = 5
        case scrubReport = 6
    }

    /// Refuses what only members may ask.
    static func check(_ body: ByteBuffer, isMember: Bool) throws(HoldfastError) {
        guard !isMember, let tag = body.getInteger(at: body.readerIndex, as: UInt8.self) else { return }
        switch Tag(rawValue: tag) {
        case .feedHash, .differs, .forget:
            throw HoldfastError(.permissionDenied, "this question is for members of the cluster only")
        case .rebuild, .scrub, .scrubReport, nil: break
        }
    }

    func encode(into writer: inout ByteWriter) {
        switch self {
        case .feedHash(let revision, let index):
            writer.byte(Tag.feedHash.rawValue)
            writer.varint(revision)
            writer.varint(index)
        case .differs(let revision, let index, let right):
            writer.byte(Tag.differs.rawValue)
            writer.varint(revision)
            writer.varint(index)
            writer.digest(right)
        case .forget(let node):
            writer.byte(Tag.forget.rawValue)
            writer.varint(node)
        case .rebuild(let node):
            writer.byte(Tag.rebuild.rawValue)
            writer.varint(node)
        case .scrub(let node):
            writer.byte(Tag.scrub.rawValue)
            writer.varint(node)
        case .scrubReport(let node):
            writer.byte(Tag.scrubReport.rawValue)
            writer.varint(node)
        }
    }

    static func decode(from reader: inout ByteReader) throws(DecodeError) -> IntegrityRequest {
        let tag = try reader.byte()
        switch Tag(rawValue: tag) {
        case .feedHash: return .feedHash(revision: try reader.varint(), appliedAtLeast: try reader.varint())
        case .differs:
            return .differs(
                revision: try reader.varint(), appliedAtLeast: try reader.varint(), right: try reader.digest())
        case .forget: return .forget(try reader.varint())
        case .rebuild: return .rebuild(try reader.varint())
        case .scrub: return .scrub(try reader.varint())
        case .scrubReport: return .scrubReport(try reader.varint())
        case nil: throw .unknownTag(what: "integrity request", tag)
        }
    }
}

/// What a node answers.
enum IntegrityAnswer: Sendable, Hashable {
    /// Heard and done.
    case done
    /// The chain hash; zero where the revision was never made here.
    case hash(Digest)
    /// There is nothing to compare: the revision is compacted here, or the rows are quarantined already.
    case nothing
    /// A log index.
    case index(LogIndex)
    /// What a scrub found.
    case scrub(ScrubReport)

    private enum Tag: UInt8 {
        case done = 0
        case hash = 1
        case nothing = 2
        case index = 3
        case scrub = 4
    }

    func encode(into writer: inout ByteWriter) {
        switch self {
        case .done: writer.byte(Tag.done.rawValue)
        case .hash(let digest):
            writer.byte(Tag.hash.rawValue)
            writer.digest(digest)
        case .nothing: writer.byte(Tag.nothing.rawValue)
        case .index(let index):
            writer.byte(Tag.index.rawValue)
            writer.varint(index)
        case .scrub(let report):
            writer.byte(Tag.scrub.rawValue)
            report.encode(into: &writer)
        }
    }

    static func decode(from reader: inout ByteReader) throws(DecodeError) -> IntegrityAnswer {
        let tag = try reader.byte()
        switch Tag(rawValue: tag) {
        case .done: return .done
        case .hash: return .hash(try reader.digest())
        case .nothing: return .nothing
        case .index: return .index(try reader.varint())
        case .scrub: return .scrub(try ScrubReport.decode(from: &reader))
        case nil: throw .unknownTag(what: "integrity answer", tag)
        }
    }
}

/// The other members as the integrity checks see them.
struct IntegrityPeers: Sendable {
    let peers: Peers

    /// Asks a member. A node of an older build refuses the question with `incompatible`.
    func ask(
        _ node: NodeID, _ request: IntegrityRequest, deadline: NIODeadline
    ) async throws(HoldfastError) -> IntegrityAnswer {
        guard let peer = peers.nodes[node] else {
            throw HoldfastError(.unavailable, "node \(node) is not another member of this cluster")
        }
        do throws(CallFailure) {
            let answer = try await peer.call(
                .integrity, .written { request.encode(into: &$0) }, deadline: deadline)
            return try IntegrityPeers.decode(answer)
        } catch {
            throw error.error
        }
    }

    private static func decode(_ payload: ByteBuffer) throws(CallFailure) -> IntegrityAnswer {
        var payload = payload
        var reader = payload.byteReader()
        do throws(DecodeError) {
            let answer = try IntegrityAnswer.decode(from: &reader)
            try reader.finish()
            return answer
        } catch {
            throw CallFailure(
                error: HoldfastError(.incompatible, "the node's answer cannot be read: \(error)"),
                mayHaveHappened: true)
        }
    }
}
