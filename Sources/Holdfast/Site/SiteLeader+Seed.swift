internal import Logging
internal import NIOCore
internal import ReplicaCore
internal import Storage

// A standby that the feed does not reach any more is brought to the primary's state as of one revision: see `SeedRecord`.
//
// ```
//  no seed ─▶ target from the primary ─▶ seed
//  filling ─▶ hash ranges of what is here ─▶ the primary compares ─▶ rows of those that differ
//                 └─ chunks of the versions in them, as for a shipment ─▶ seedStep
//  filled ──▶ seedEnd
// ```
// All that is remembered is replicated: whoever leads next goes on where the seed is.
extension SiteLeader {
    /// Goes on with a seed for about a second; true where there is more to do at once.
    func seedOn(_ view: SiteView, own: SiteReport, from peer: SitePeer) async throws(HoldfastError) -> Bool {
        let end = NIODeadline.now() + .seconds(1)
        var view = view
        while NIODeadline.now() < end, stores.leads, !Task.isCancelled {
            switch SeedMove(at: view) {
            case .begin: try await beginSeed(view, own, peer)
            case .clear: return true
            case .end(let seed):
                try await stores.propose(.seedEnd(revision: seed.target.revision))
                logger.notice(
                    "this site was seeded",
                    metadata: [
                        "revision": "\(seed.target.revision)", "rows": "\(seed.rows)", "bytes": "\(seed.bytes)",
                    ])
                return true
            case .fill(let seed):
                do throws(HoldfastError) {
                    try await fill(seed, from: peer)
                } catch {
                    guard error.code == .reseedRequired else { throw error }
                    // The primary cannot keep that history any longer; what is here already is not asked for again.
                    try await beginSeed(view, own, peer)
                }
            }
            view = try await stores.view()
        }
        return true
    }

    private func beginSeed(_ view: SiteView, _ own: SiteReport, _ peer: SitePeer) async throws(HoldfastError) {
        let body = try await plane.router(to: peer.endpoints).send(
            .siteSeed, .written { own.encode(into: &$0) }, to: .any, deadline: .now() + Self.seedPatience)
        let target = try Store.decode(body) { reader throws(DecodeError) in try SeedTarget.decode(from: &reader) }
        try await stores.propose(
            .seed(
                SeedHead(
                    epoch: view.record.epoch, from: view.position, target: target.position, feedRow: target.feedRow)))
        logger.notice("this site is being seeded", metadata: ["revision": "\(target.position.revision)"])
    }

    private func fill(_ seed: SeedRecord, from peer: SitePeer) async throws(HoldfastError) {
        let revision = seed.target.revision
        let request = try await stores.read { rows in
            try SeedRowsRequest(of: seed, rows: rows, hash: SHA256.self)
        }
        let body = try await plane.router(to: peer.endpoints).send(
            .siteRows, .written { request.encode(into: &$0) }, to: .any, deadline: .now() + Self.seedPatience)
        let offers = try Store.decode(body) { reader throws(DecodeError) in
            var offers: [SeedOffer] = []
            for _ in 0..<(try reader.count(itemBytes: 2 + Digest.byteCount)) {
                offers.append(try SeedOffer.decode(from: &reader))
            }
            return offers
        }
        guard !offers.isEmpty else { throw HoldfastError(.unavailable, "the primary's node is behind; ask again") }
        let spans = try await stores.read { rows in
            try SeedReader.spans(for: offers, from: seed.next, through: revision, rows: rows)
        }
        for var step in SeedStep.steps(of: spans, from: seed.next, revision: revision) {
            try stores.requireLeader()
            step.durableOn = try await bringAll(of: step, from: peer)
            try await stores.propose(.seedStep(step))
        }
    }

    /// Makes the chunks of every version that a step publishes durable here, and names those who vouch for all of them.
    private func bringAll(
        of step: SeedStep, from peer: SitePeer
    ) async throws(HoldfastError) -> [Publication.Receipt] {
        var publishes: [SiteShipment.Publish] = []
        do throws(DecodeError) {
            for span in step.spans { publishes += try span.publishes() }
        } catch {
            throw HoldfastError(.corrupted, "a version of the primary cannot be read: \(error)")
        }
        var durableOn: [Publication.Receipt]?
        for publish in publishes {
            let receipts = try await hearing { () throws(HoldfastError) in try await bring(publish, from: peer) }
            durableOn = durableOn?.filter(receipts.contains) ?? receipts
        }
        return durableOn ?? []
    }

    /// Removes what a seed has staged that this site gave up: it makes no revision before.
    func clearSeed() async throws(HoldfastError) {
        while stores.leads, !Task.isCancelled {
            guard case .clear(let seed) = SeedMove(at: try await stores.view()) else { return }
            let below = try await stores.read { rows in try Applier.clearBound(of: seed, rows: rows) }
            try await stores.propose(.seedClear(from: seed.clearsFrom, below: below))
        }
    }
}
