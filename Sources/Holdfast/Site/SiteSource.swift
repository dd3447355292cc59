internal import Logging
internal import NIOCore
internal import ReplicaCore
internal import Storage
internal import Synchronization

/// Answers the other site: any node of a cluster does.
///
/// Invariant: the position in an answer is one that includes everything which was acknowledged before the poll came: the answer waits for a
/// read round. A node that lags, or a leader that was cut off, gives none.
final class SiteSource: Sendable {
    let stores: SiteStores
    private let logger: Logger
    /// When a standby's word was written into the rows last.
    private let pace = Mutex(AcknowledgementPace())

    /// Orphans that one answer is made of at most.
    private static let orphansMax = 64

    init(stores: SiteStores, logger: Logger) {
        self.stores = stores
        self.logger = logger
    }

    func poll(_ body: ByteBuffer, deadline: NIODeadline) async throws(HoldfastError) -> ByteBuffer {
        let poll = try Store.decode(body) { reader throws(DecodeError) in try SitePoll.decode(from: &reader) }
        try await stores.replica.barrier(deadline: deadline)
        var (view, relation) = try await look(at: poll.report.position)
        guard let own = view.report else {
            throw HoldfastError(.unavailable, "the cluster has no lineage yet; ask again")
        }
        stores.hear(poll.report, as: view.record)
        try Self.admit(poll.report, to: view, own: own)
        var hasChanged = false
        for command in SiteLink.commands(on: poll.report, at: view.record, own: own, relation: relation) {
            if case .acknowledge(let word) = command, !isDue(word, view) { continue }
            do throws(HoldfastError) {
                try await stores.propose(command, deadline: deadline)
            } catch {
                logger.notice("what the other site says was not applied", metadata: ["reason": "\(error.message)"])
            }
            if case .acknowledge = command { continue }
            hasChanged = true
        }
        await meet(poll, view)
        if hasChanged {
            try await stores.replica.barrier(deadline: deadline)
            (view, relation) = try await look(at: poll.report.position)
        }
        let answer = try await answer(poll, view, relation)
        return .written { answer.encode(into: &$0) }
    }

    /// A site has one other. A cluster whose place was taken by a later enrolment is told so instead of being shipped to: both would begin
    /// the same epoch. One that writes, or wrote, below an epoch known here is answered all the same: it is to learn of that.
    private static func admit(
        _ asker: SiteReport, to view: SiteView, own: SiteReport
    ) throws(HoldfastError) {
        guard let peer = view.record.peer, peer.site != asker.site else { return }
        switch asker.role {
        case .alone, .fenced: return
        case .primary where asker.epoch < own.seen: return
        case .primary, .standby:
            throw HoldfastError(
                .preconditionFailed,
                "another cluster was enrolled in place of this one, which is no part of the pair any more")
        }
    }

    func look(
        at position: SitePosition
    ) async throws(HoldfastError) -> (SiteView, SiteFeed.Relation) {
        try await stores.read { rows in
            let view = try SiteView(loading: rows)
            return (view, try SiteFeed.relation(of: position, at: view.state, rows: rows))
        }
    }

    private func answer(
        _ poll: SitePoll, _ view: SiteView, _ relation: SiteFeed.Relation
    ) async throws(HoldfastError) -> SitePollAnswer {
        guard let own = view.report else { throw HoldfastError(.unavailable, "the cluster has no lineage yet") }
        let answer = try await stores.read { rows in
            try SiteAnswer(
                to: poll.report, bytesMax: poll.bytesMax, as: view, own: own, relation: relation, rows: rows)
        }
        return SitePollAnswer(
            answer: answer, endpoints: stores.endpoints, heldBytes: view.progress.heldBytes,
            isPaused: view.record.pace.isPaused)
    }

    private func isDue(_ word: SiteAcknowledgement, _ view: SiteView) -> Bool {
        pace.withLock {
            $0.takes(word, isAwaited: view.record.switchover != nil, now: NIODeadline.now().uptimeNanoseconds)
        }
    }

    /// The other site's nodes may have other addresses than when it was admitted.
    private func meet(_ poll: SitePoll, _ view: SiteView) async {
        guard let peer = view.record.peer, peer.site == poll.report.site, !poll.endpoints.isEmpty,
            peer.endpoints != poll.endpoints
        else { return }
        do throws(HoldfastError) {
            try await stores.propose(.meet(SitePeer(site: peer.site, endpoints: poll.endpoints)))
        } catch {
            logger.notice("the other site's new addresses were not taken", metadata: ["reason": "\(error.message)"])
        }
    }

    /// What is being pushed, for a standby that would have it early.
    func uploads() async throws(HoldfastError) -> ByteBuffer {
        let uploads = try await stores.read { rows in try SiteUploads(loading: rows) }
        return .written { uploads.encode(into: &$0) }
    }

    /// Chunk IDs of an upload, for a standby that is to have them.
    func chunks(_ body: ByteBuffer) async throws(HoldfastError) -> ByteBuffer {
        let request = try Store.decode(body) { reader throws(DecodeError) in
            try SiteChunksRequest.decode(from: &reader)
        }
        let chunks = try await stores.read { rows in
            try ModelReader.chunks(
                of: request.upload, number: request.number, from: request.first, limit: Limits.uploadAddMax / 4,
                rows: rows
            ).map(\.id)
        }
        return .written { writer in
            writer.varint(chunks.count)
            for chunk in chunks { writer.digest(chunk) }
        }
    }

    /// Orphans after one, as many as fit an answer; none at the end.
    func orphans(_ body: ByteBuffer) async throws(HoldfastError) -> ByteBuffer {
        let (rewind, revision) = try Store.decode(body) { reader throws(DecodeError) in
            (try reader.varint(), try reader.varint())
        }
        let found = try await stores.read { rows in
            var bytes = 0
            return try Orphan.list(after: rewind, revision: revision, limit: Self.orphansMax, rows: rows).prefix {
                // The first always fits.
                let fits = bytes < Limits.sitePollBytesMax
                bytes += $0.orphan.entry.bytes.count
                return fits
            }
        }
        return .written { writer in
            writer.varint(found.count)
            for (rewind, orphan) in found {
                writer.varint(rewind)
                orphan.encode(into: &writer)
            }
        }
    }

    /// Somebody has seen an epoch elsewhere.
    func heard(_ body: ByteBuffer) async throws(HoldfastError) -> ByteBuffer {
        let word = try Store.decode(body) { reader throws(DecodeError) in try SiteWord.decode(from: &reader) }
        let record = stores.state.now.site
        guard record.role != .alone, word.lineage == record.lineage, word.epoch > record.seen else {
            return ByteBuffer()
        }
        stores.hear(word.epoch)
        try await stores.propose(.fence(epoch: word.epoch, by: word.site))
        return ByteBuffer()
    }

    /// The chain hashes after some revisions; zero for one that the feed does not have. A member that lags would answer so where the two
    /// sites still agree, and the other one would rewind too far: hence the read round.
    func hashes(_ body: ByteBuffer, deadline: NIODeadline) async throws(HoldfastError) -> ByteBuffer {
        try await stores.replica.barrier(deadline: deadline)
        let revisions = try Store.decode(body) { reader throws(DecodeError) in
            var revisions: [UInt64] = []
            for _ in 0..<(try reader.count(itemBytes: 1)) { revisions.append(try reader.varint()) }
            return revisions
        }
        guard revisions.count <= Limits.siteHashesMax else {
            throw HoldfastError(.invalidArgument, "ask for at most \(Limits.siteHashesMax) hashes at a time")
        }
        let hashes = try await stores.read { rows in
            try revisions.map { try FeedReader.hash(after: $0, rows: rows) ?? .zero }
        }
        return .written { writer in for hash in hashes { writer.digest(hash) } }
    }
}
