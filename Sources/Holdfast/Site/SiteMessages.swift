internal import NIOCore
internal import ReplicaCore

/// The first word of one site to the other, and all later ones: who I am and where I stand, and how much of the feed I would take.
struct SitePoll: Sendable {
    var report: SiteReport
    /// Bytes of entries that the sender takes; 0 for none.
    var bytesMax: UInt64
    /// Where the sender's nodes are.
    var endpoints: [String]

    func encode(into writer: inout ByteWriter) {
        report.encode(into: &writer)
        writer.varint(bytesMax)
        writer.texts(endpoints)
    }

    static func decode(from reader: inout ByteReader) throws(DecodeError) -> SitePoll {
        SitePoll(
            report: try SiteReport.decode(from: &reader), bytesMax: try reader.varint(), endpoints: try reader.texts())
    }
}

/// The answer to a poll, with where the nodes of the one that answers are.
struct SitePollAnswer: Sendable {
    var answer: SiteAnswer
    var endpoints: [String]
    /// Bytes of the feed that are kept for the standby: about what it lacks.
    var heldBytes: UInt64
    /// An operator has paused the link at the site that answers.
    var isPaused = false

    func encode(into writer: inout ByteWriter) {
        answer.encode(into: &writer)
        writer.texts(endpoints)
        writer.varint(heldBytes)
        writer.bool(isPaused)
    }

    static func decode(from reader: inout ByteReader) throws(DecodeError) -> SitePollAnswer {
        SitePollAnswer(
            answer: try SiteAnswer.decode(from: &reader), endpoints: try reader.texts(), heldBytes: try reader.varint(),
            isPaused: try reader.bool())
    }
}

/// Asks for the chunk IDs of an upload from an ordinal on; answered with IDs, none at the end.
struct SiteChunksRequest: Sendable {
    var upload: UploadID
    var number: UInt64
    var first: UInt64

    func encode(into writer: inout ByteWriter) {
        writer.identifier(upload)
        writer.varint(number)
        writer.varint(first)
    }

    static func decode(from reader: inout ByteReader) throws(DecodeError) -> SiteChunksRequest {
        SiteChunksRequest(upload: try reader.identifier(), number: try reader.varint(), first: try reader.varint())
    }

    static func decodeAnswer(_ reader: inout ByteReader) throws(DecodeError) -> [ChunkID] {
        var ids: [ChunkID] = []
        for _ in 0..<(try reader.count(itemBytes: Digest.byteCount)) { ids.append(try reader.digest()) }
        return ids
    }
}

/// The highest epoch that somebody has seen of a pair of sites, and who began it.
struct SiteWord: Sendable, Hashable {
    var epoch: UInt64
    var lineage: Lineage
    var site: SiteID

    init(epoch: UInt64, lineage: Lineage, site: SiteID) {
        self.epoch = epoch
        self.lineage = lineage
        self.site = site
    }

    /// What a site of a pair knows itself; nil for one that is alone.
    init?(_ record: SiteRecord, own: SiteID?) {
        guard record.role != .alone, let own else { return nil }
        // Of each parity only one of the two begins epochs.
        let isOwn = (record.seen % 2 == 1) == record.beginsOddEpochs
        self.init(epoch: record.seen, lineage: record.lineage, site: isOwn ? own : record.peer?.site ?? own)
    }

    func encode(into writer: inout ByteWriter) {
        writer.varint(epoch)
        writer.identifier(lineage)
        writer.identifier(site)
    }

    static func decode(from reader: inout ByteReader) throws(DecodeError) -> SiteWord {
        SiteWord(epoch: try reader.varint(), lineage: try reader.identifier(), site: try reader.identifier())
    }
}

/// What an operator, or the other site in an operator's name, asks of a site's leader.
enum SiteVerb: Sendable {
    case enroll(milliseconds: UInt64)
    case follow(endpoints: [String], token: String)
    /// A site that has the token introduces itself.
    case admit(token: String, SitePeer)
    case switchOver
    /// Nil accepts a loss that nobody knows.
    case promote(acceptedMilliseconds: UInt64?)
    case rejoin
    case dropOrphans(through: UInt64)
    case limit(SiteCaps)
    case pause(Bool)
    /// Whether the link is paused stays as it is.
    case pace(SitePace)

    func encode(into writer: inout ByteWriter) {
        switch self {
        case .enroll(let milliseconds):
            writer.byte(1)
            writer.varint(milliseconds)
        case .follow(let endpoints, let token):
            writer.byte(2)
            writer.texts(endpoints)
            writer.text(token)
        case .admit(let token, let peer):
            writer.byte(3)
            writer.text(token)
            peer.encode(into: &writer)
        case .switchOver: writer.byte(4)
        case .promote(let accepted):
            writer.byte(5)
            writer.bool(accepted != nil)
            if let accepted { writer.varint(accepted) }
        case .rejoin: writer.byte(6)
        case .dropOrphans(let rewind):
            writer.byte(7)
            writer.varint(rewind)
        case .limit(let caps):
            writer.byte(8)
            caps.encode(into: &writer)
        case .pause(let isPaused):
            writer.byte(32)
            writer.bool(isPaused)
        case .pace(let pace):
            writer.byte(33)
            pace.encode(into: &writer)
        }
    }

    static func decode(from reader: inout ByteReader) throws(DecodeError) -> SiteVerb {
        switch try reader.byte() {
        case 1: .enroll(milliseconds: try reader.varint())
        case 2: .follow(endpoints: try reader.texts(), token: try reader.text())
        case 3: .admit(token: try reader.text(), try SitePeer.decode(from: &reader))
        case 4: .switchOver
        case 5: .promote(acceptedMilliseconds: try reader.bool() ? try reader.varint() : nil)
        case 6: .rejoin
        case 7: .dropOrphans(through: try reader.varint())
        case 8: .limit(try SiteCaps.decode(from: &reader))
        case 32: .pause(try reader.bool())
        case 33: .pace(try SitePace.decode(from: &reader))
        case let tag: throw .unknownTag(what: "site verb", tag)
        }
    }
}

extension ByteWriter {
    mutating func texts(_ texts: [String]) {
        varint(texts.count)
        for text in texts { self.text(text) }
    }
}

extension ByteReader {
    mutating func texts() throws(DecodeError) -> [String] {
        var texts: [String] = []
        for _ in 0..<(try count(itemBytes: 1)) { texts.append(try text()) }
        return texts
    }
}
