internal import NIOCore
internal import ReplicaCore

/// The kinds of frames that nodes and clients exchange; drawn in `Docs/Reference/WireProtocol.md`.
///
/// Every request is answered by one `success` or `failure` with its id; a watch is answered by any number of `event`
/// frames and then a `failure`.
package enum FrameKind: UInt8, Sendable, CaseIterable {
    // Consensus connections.
    case consensus = 16
    /// The index through which the leader has every member's word: logs may be compacted up to there.
    case logFloor = 20
    /// A follower's word on a state snapshot that it was offered: it did not come to be installed.
    case snapshotRefused = 21

    // Answers.
    case success = 17
    case failure = 18
    case event = 19

    // Requests to the leader.
    case command = 32
    case publish = 33
    case transferLeadership = 34
    case changeMembership = 35

    // The members, as any node has applied them.
    case membership = 36

    // State snapshots: the manifest of a checkpoint, and bytes of its files on bulk connections.
    case snapshotManifest = 24
    case snapshotPart = 59

    // Reads, from any node.
    case range = 40
    case models = 41
    case model = 42
    case uploads = 43
    case watch = 44
    case stopWatch = 45

    // About the cluster and this node.
    case clusterStatus = 48
    case nodeStatus = 49
    case metrics = 50
    /// Questions and orders about the integrity of a node: see `IntegrityRequest`.
    case integrity = 51

    // Of members to each other.
    /// Seal your directory at a feature version: the leader is about to raise the cluster's.
    case sealFeatures = 54

    // Of sites: an operator's verbs and questions to the leader, and what one site asks of any node of the other.
    case siteVerb = 70
    case siteStatus = 71
    case sitePoll = 72
    case siteChunks = 73
    case siteHashes = 74
    case siteOrphans = 75
    /// An epoch that a client has seen, told to a node that may not have heard of it.
    case siteEpoch = 76
    /// What is being pushed at the primary: see `SiteUploads`.
    case siteUploads = 77
    /// A chunk for the other site, compressed where that saves anything: see `LinkChunk`.
    case siteChunk = 80
    /// A step of holding this site against the other one, and the trial of a standby.
    case siteVerify = 81
    case siteDrill = 82
    /// Of a standby that the feed does not reach any more: what it is to become, and rows of that.
    case siteSeed = 88
    case siteRows = 89

    // Chunk messages on request connections, chunk bytes on bulk connections.
    case chunkMessage = 56
    case putChunk = 57
    case getChunk = 58
}

/// The wire form of an error: code, message, details.
enum ErrorCodec {
    static func encode(_ error: HoldfastError, into buffer: inout ByteBuffer) {
        buffer.writeInteger(ErrorCode(rawValue: error.code.rawValue)?.tag ?? 0)
        writeText(error.message, into: &buffer)
        buffer.writeInteger(UInt16(error.details.count), endianness: .little)
        for (name, value) in error.details.sorted(by: { $0.key < $1.key }) {
            writeText(name, into: &buffer)
            writeText(value, into: &buffer)
        }
    }

    static func decode(_ payload: ByteBuffer) -> HoldfastError {
        var rest = payload
        guard
            let tag = rest.readInteger(as: UInt8.self), let known = ErrorCode(tag: tag),
            let code = HoldfastError.Code(rawValue: known.rawValue), let message = readText(&rest),
            let count = rest.readInteger(endianness: .little, as: UInt16.self)
        else { return HoldfastError(.incompatible, "the node answered with an error that this version cannot read") }
        var details: [String: String] = [:]
        for _ in 0..<count {
            guard let name = readText(&rest), let value = readText(&rest) else { break }
            details[name] = value
        }
        return HoldfastError(code, message, details: details)
    }

    private static func writeText(_ text: String, into buffer: inout ByteBuffer) {
        let kept = text.utf8.prefix(Int(UInt16.max))
        buffer.writeInteger(UInt16(kept.count), endianness: .little)
        buffer.writeBytes(kept)
    }

    private static func readText(_ buffer: inout ByteBuffer) -> String? {
        guard let count = buffer.readInteger(endianness: .little, as: UInt16.self) else { return nil }
        return buffer.readString(length: Int(count))
    }
}

extension HoldfastError {
    /// A refusal of the state machine in the words of the public interface.
    init(_ refusal: ReplicaCore.Refusal) {
        self.init(
            Code(rawValue: refusal.code.rawValue) ?? .unavailable, refusal.message,
            details: refusal.code == .compacted ? ["earliest": String(refusal.earliestRevision)] : [:])
    }

    /// A refusal with facts that programs may use.
    init(_ refusal: ReplicaCore.Refusal, details: [String: String]) {
        self.init(refusal)
        self.details.merge(details) { _, new in new }
    }

    /// What the caller is told when this node's rows cannot be read.
    init(_ error: RowError) {
        self.init(error.isCorruption ? .corrupted : .unavailable, "rows cannot be read: \(error.message)")
    }

    /// What the caller is told about bytes that are not a request.
    init(_ error: DecodeError, _ what: String) {
        self.init(.invalidArgument, "malformed \(what): \(error)")
    }
}
