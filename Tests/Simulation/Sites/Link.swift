internal import RaftCore
internal import ReplicaCore

/// A node of one of two sites.
struct SiteNode {
    var place: Int
    var node: NodeID
}

/// What a node of one site says to a node of the other.
struct LinkMessage {
    enum Content {
        case poll(SiteReport, bytesMax: UInt64)
        case answer(SiteAnswer)
        /// Chunks of a published upload from an ordinal on.
        case list(UploadID, number: UInt64, first: UInt64)
        case listed([ChunkID])
        /// Chain hashes after revisions.
        case hashes([UInt64])
        case hashed([Digest])
        case chunkAsk(ChunkID)
        case chunk(ChunkID)
        /// Where a standby is to be brought that the feed does not reach.
        case targetAsk(SiteReport)
        case target(SeedTarget)
        /// What differs from these ranges.
        case rangesAsk(SeedRowsRequest)
        case ranges(SeedAnswer)
    }

    var from: SiteNode
    var to: SiteNode
    /// The request's number at the node that asks; its answer has the same.
    var number: UInt64
    var content: Content

    /// What the story calls it.
    var text: String {
        switch content {
        case .poll(let report, _): "poll: \(Self.text(report))"
        case .answer(let answer):
            "answer: \(Self.text(answer.report)), \(answer.relation) of \(answer.asked.revision), \(answer.entries.count) entries, floor \(answer.feedFloor)\(answer.grant == nil ? "" : ", grant")"
        case .list(let upload, _, let first): "list upload \(upload.low) from \(first)"
        case .listed(let ids): "\(ids.count) chunks"
        case .hashes(let revisions): "hashes of \(revisions)"
        case .hashed(let hashes): "\(hashes.count) hashes"
        case .chunkAsk(let chunk): "chunk \(chunk.word3)?"
        case .chunk(let chunk): "chunk \(chunk.word3)"
        case .targetAsk(let report): "a seed from \(report.position.revision)?"
        case .target(let target): "seed to \(target.position.revision)"
        case .rangesAsk(let request): "\(request.leaves.count) ranges as of \(request.target.revision)"
        case .ranges(.offers(let offers)):
            "ranges, the same or with so many rows: \(offers.map { $0.rows?.count.description ?? "same" })"
        case .ranges(.notOfThisEpoch): "no ranges of that epoch"
        case .ranges(.noLongerKept): "that is no longer kept"
        }
    }

    private static func text(_ report: SiteReport) -> String {
        "\(report.role) of epoch \(report.epoch), seen \(report.seen), at \(report.position.revision)"
    }
}

/// The weather of the link: nothing on it is dependable.
struct Link {
    /// Out of 1000 messages.
    var lossPerMille = 0
    var duplicationPerMille = 0
    /// Microseconds that are added to a message's way, at most: messages overtake each other.
    var extraDelay: UInt64 = 0
    /// Whether nothing passes to a site.
    var isCut = [false, false]
    /// Nothing arrives before; then all of it does.
    var stalledUntil: Instant = 0

    /// When the copies of a message arrive: none, one or two of them.
    func arrivals(to place: Int, now: Instant, _ climate: SiteClimate, _ dice: inout Dice) -> [Instant] {
        guard !isCut[place], !dice.chance(perMille: lossPerMille) else { return [] }
        let copies = dice.chance(perMille: duplicationPerMille) ? 2 : 1
        return (0..<copies).map { _ in
            let usual = dice.between(climate.latency.low, climate.latency.high)
            return max(now + usual + (extraDelay == 0 ? 0 : dice.between(0, extraDelay)), stalledUntil)
        }
    }
}
