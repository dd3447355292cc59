/// Where a standby is brought that the feed does not reach any more.
package struct SeedTarget: Sendable, Hashable {
    package var position: SitePosition
    /// The primary's feed row of it.
    package var feedRow: Bytes

    /// The target at a revision; nil where the feed does not have it (any more).
    package init?<Rows: RowReader & ~Copyable>(at revision: UInt64, rows: borrowing Rows) throws(RowError) {
        guard let row = try FeedReader.row(of: revision, rows: rows) else { return nil }
        position = SitePosition(revision: revision, hash: row.hash)
        feedRow = row.bytes
    }

    private init(position: SitePosition, feedRow: Bytes) {
        self.position = position
        self.feedRow = feedRow
    }

    package func encode(into writer: inout ByteWriter) {
        position.encode(into: &writer)
        writer.string(feedRow)
    }

    package static func decode(from reader: inout ByteReader) throws(DecodeError) -> SeedTarget {
        SeedTarget(position: try SitePosition.decode(from: &reader), feedRow: try reader.string())
    }
}

/// Asks what of the primary's rows, as of a revision, differs from these ranges, which follow each other.
package struct SeedRowsRequest: Sendable, Hashable {
    package var epoch: UInt64
    /// As of there, in the history that this chain hash ends.
    package var target: SitePosition
    /// Where the first range begins.
    package var from: Bytes
    package var leaves: [SeedLeaf]

    /// Asks about the next ranges of a seed, as this site's rows have them.
    package init<Rows: RowReader & ~Copyable, Hash: HashFunction>(
        of seed: SeedRecord, limit: Int = Limits.seedLeavesMax, keysMax: Int = Limits.seedLeafKeysMax,
        rows: borrowing Rows, hash: Hash.Type
    ) throws(RowError) {
        epoch = seed.epoch
        target = seed.target
        from = seed.next
        leaves = try SeedReader.leaves(
            from: seed.next, through: target.revision, limit: limit, keysMax: keysMax, rows: rows, hash: hash)
    }

    private init(epoch: UInt64, target: SitePosition, from: Bytes) {
        self.epoch = epoch
        self.target = target
        self.from = from
        leaves = []
    }

    package func encode(into writer: inout ByteWriter) {
        writer.varint(epoch)
        target.encode(into: &writer)
        writer.string(from)
        writer.varint(leaves.count)
        for leaf in leaves { leaf.encode(into: &writer) }
    }

    package static func decode(from reader: inout ByteReader) throws(DecodeError) -> SeedRowsRequest {
        var request = SeedRowsRequest(
            epoch: try reader.varint(), target: try SitePosition.decode(from: &reader), from: try reader.string())
        for _ in 0..<(try reader.count(itemBytes: 1 + Digest.byteCount)) {
            request.leaves.append(try SeedLeaf.decode(from: &reader))
        }
        guard request.leaves.count <= Limits.seedLeavesMax else { throw .invalid(what: "number of ranges") }
        return request
    }
}

/// What a node of the primary has to say to such a request.
package enum SeedAnswer: Sendable, Hashable {
    /// None where this node has not come so far: the standby asks again.
    case offers([SeedOffer])
    /// The standby follows another epoch than this site's, or this site is no primary.
    case notOfThisEpoch
    /// History as of that position may be gone, or was never made here: the standby needs a later target.
    case noLongerKept

    package init<Rows: RowReader & ~Copyable, Hash: HashFunction>(
        to request: SeedRowsRequest, bytesMax: Int = Limits.seedOffersBytesMax,
        leafBytesMax: Int = Limits.seedLeafBytesMax, rows: borrowing Rows, hash: Hash.Type
    ) throws(RowError) {
        let view = try SiteView(loading: rows)
        let record = view.record
        guard record.role == .primary, record.epoch == request.epoch, record.seen == request.epoch else {
            self = .notOfThisEpoch
            return
        }
        let target = request.target
        guard target.revision <= view.state.revision else {
            self = .offers([])
            return
        }
        // A primary that was set back may have made that revision again, and another one.
        guard view.state.feedFloor <= target.revision,
            try FeedReader.hash(after: target.revision, rows: rows) == target.hash
        else {
            self = .noLongerKept
            return
        }
        self = .offers(
            try SeedReader.offers(
                on: request.leaves, from: request.from, through: target.revision, bytesMax: bytesMax,
                leafBytesMax: leafBytesMax, rows: rows, hash: hash))
    }
}

/// What a site's leader does next about a seed: decided by what is replicated alone, so that any leader goes on where another one stopped.
package enum SeedMove: Sendable, Hashable {
    /// Asks the primary for a target.
    case begin
    /// Compares the next ranges with the primary's.
    case fill(SeedRecord)
    /// Makes what is staged visible.
    case end(SeedRecord)
    /// Removes what was staged and given up.
    case clear(SeedRecord)

    package init(at view: SiteView) {
        guard let seed = view.seed else {
            self = .begin
            return
        }
        self = seed.isGivenUp(by: view.record) ? .clear(seed) : seed.isFilled ? .end(seed) : .fill(seed)
    }
}

extension SiteLink {
    /// Whether a standby is to be seeded, or to go on with it, after this answer of its primary. Of the same epoch it is a prefix of the
    /// primary by what it was shipped.
    package static func seeds(on answer: SiteAnswer, at view: SiteView) -> Bool {
        let (record, other) = (view.record, answer.report)
        return record.role == .standby && other.role == .primary && other.site == record.peer?.site
            && other.epoch == record.epoch && record.seen == record.epoch && other.seen == other.epoch
            && (answer.relation == .belowFloor || view.seed != nil)
    }
}
