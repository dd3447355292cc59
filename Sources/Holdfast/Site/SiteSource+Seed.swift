internal import NIOCore
internal import ReplicaCore
internal import Storage

// What a standby is seeded from: this site's rows as of one revision. Any node answers, and remembers nothing.
extension SiteSource {
    /// Names the revision that a standby is brought to, and keeps history from there on for it.
    func seed(_ body: ByteBuffer, deadline: NIODeadline) async throws(HoldfastError) -> ByteBuffer {
        let report = try Store.decode(body) { reader throws(DecodeError) in try SiteReport.decode(from: &reader) }
        try await stores.replica.barrier(deadline: deadline)
        // What is held for a standby that the feed still reaches is not let go by a word that comes late.
        guard try await look(at: report.position).1 == .belowFloor else {
            throw HoldfastError(
                .preconditionFailed, "the feed reaches back to revision \(report.position.revision); nothing is seeded")
        }
        guard
            case .done(let revision) = try await stores.propose(
                .holdForSeed(site: report.site, epoch: report.epoch), deadline: deadline)
        else { throw HoldfastError(.incompatible, "the cluster answers something else than where it stands") }
        try await stores.replica.barrier(deadline: deadline)
        let target = try await stores.read { rows -> SeedTarget? in
            guard let row = try FeedReader.row(of: revision, rows: rows) else { return nil }
            return SeedTarget(position: SitePosition(revision: revision, hash: row.hash), feedRow: row.bytes)
        }
        guard let target else {
            throw HoldfastError(.unavailable, "revision \(revision) is no longer in the feed; ask again")
        }
        return .written { target.encode(into: &$0) }
    }

    /// Compares ranges of keys with those of the standby, and gives the rows of those that differ.
    func rows(_ body: ByteBuffer, deadline: NIODeadline) async throws(HoldfastError) -> ByteBuffer {
        let request = try Store.decode(body) { reader throws(DecodeError) in
            try SeedRowsRequest.decode(from: &reader)
        }
        try await stores.replica.barrier(deadline: deadline)
        let (view, offers) = try await stores.read { rows -> (SiteView, [SeedOffer]) in
            let view = try SiteView(loading: rows)
            guard view.state.feedFloor <= request.revision, request.revision <= view.state.revision else {
                return (view, [])
            }
            let offers = try SeedReader.offers(
                on: request.leaves, from: request.from, through: request.revision, rows: rows, hash: SHA256.self)
            return (view, offers)
        }
        guard view.record.role == .primary, view.record.epoch == request.epoch, view.record.seen == request.epoch else {
            throw HoldfastError(.preconditionFailed, "this site is not the primary of epoch \(request.epoch)")
        }
        guard view.state.feedFloor <= request.revision else {
            throw HoldfastError(
                .reseedRequired,
                "history as of revision \(request.revision) is no longer kept: the caps of what is kept were passed")
        }
        return .written { writer in
            writer.varint(offers.count)
            for offer in offers { offer.encode(into: &writer) }
        }
    }
}
