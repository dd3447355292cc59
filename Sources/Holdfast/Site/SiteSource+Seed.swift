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
        guard let target = try await stores.read({ rows in try SeedTarget(at: revision, rows: rows) }) else {
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
        let answer = try await stores.read { rows in
            try SeedAnswer(to: request, rows: rows, hash: SHA256.self)
        }
        switch answer {
        case .notOfThisEpoch:
            throw HoldfastError(.preconditionFailed, "this site is not the primary of epoch \(request.epoch)")
        case .noLongerKept:
            throw HoldfastError(
                .reseedRequired,
                "history as of revision \(request.target.revision) is no longer kept: the caps of what is kept were passed"
            )
        case .offers(let offers):
            return .written { writer in
                writer.varint(offers.count)
                for offer in offers { offer.encode(into: &writer) }
            }
        }
    }
}
