import Testing

@testable import ReplicaCore

// What a leader does about a seed, without the network: the standby asks, the primary's rows answer.
extension SitePair {
    /// The primary gives up the feed before its latest revision: the standby is behind it.
    mutating func giveUpFeed(of place: Int = 0) throws {
        let revision = sites[place].position.revision
        #expect(try sites[place].run(.compact(revision: revision)).refusal == nil)
        try sites[place].run(.limit(SiteCaps(bytes: 1, milliseconds: 1)))
        try sites[place].run(.limit(.initial))
        #expect(sites[place].replica.applier.state.feedFloor == revision)
        try sites[place].replica.sweep()
    }

    func seed(at place: Int = 1) -> SeedRecord? { sites[place].replica.applier.seed }

    /// The head of a seed as the primary gives it now.
    mutating func seedHead(of place: Int = 1) throws -> SeedHead {
        let primary = 1 - place
        let record = sites[place].record
        let held = try sites[primary].run(.holdForSeed(site: sites[place].id, epoch: record.epoch))
        #expect(held.refusal == nil)
        let target = sites[primary].position
        let row = try #require(try sites[primary].replica.rows.get(RowKey.feed(target.revision)))
        return SeedHead(epoch: record.epoch, from: sites[place].position, target: target, feedRow: row[...])
    }

    /// The next steps of a seed that is under way.
    func seedSteps(at place: Int = 1, leaves: Int = 2, keysMax: Int = 4, bytesMax: Int = 100, leafBytesMax: Int? = nil)
        throws -> [SeedStep]
    {
        let seed = try #require(self.seed(at: place))
        let revision = seed.target.revision
        let own = sites[place].replica.rows
        let asked = try SeedReader.leaves(
            from: seed.next, through: revision, limit: leaves, keysMax: keysMax, rows: own, hash: QuickHash.self)
        let offers = try SeedReader.offers(
            on: asked, from: seed.next, through: revision, bytesMax: bytesMax,
            leafBytesMax: leafBytesMax ?? (revision % 2 == 0 ? 60 : 150),
            rows: sites[1 - place].replica.rows,
            hash: QuickHash.self)
        var spans: [SeedSpan] = []
        for offer in offers {
            spans.append(
                try SeedReader.span(
                    for: offer, from: spans.last?.leaf.below ?? seed.next, through: revision, rows: own))
        }
        return SeedStep.steps(of: spans, from: seed.next, revision: revision, bytesMax: 300).map { step in
            var step = step
            step.durableOn = receipts.map { Publication.Receipt(node: $0, incarnation: Incarnation($0, 0)) }
            return step
        }
    }

    /// One thing that a leader does next; false once the seed is over. Throws what is refused, so that no test goes round for ever.
    mutating func seedOnce(at place: Int = 1) throws -> Bool {
        guard let seed = self.seed(at: place) else {
            let head = try seedHead(of: place)
            try #require(try sites[place].run(.seed(head)).refusal == nil)
            return true
        }
        if seed.isFilled {
            try #require(try sites[place].run(.seedEnd(revision: seed.target.revision)).refusal == nil)
            return false
        }
        for step in try seedSteps(at: place) { try #require(try sites[place].run(.seedStep(step)).refusal == nil) }
        return true
    }

    /// Removes a seed that was given up.
    mutating func clearSeed(at place: Int = 1, rowsMax: Int = 3) throws {
        while let seed = self.seed(at: place) {
            let bound = try Applier.clearBound(of: seed, rowsMax: rowsMax, rows: sites[place].replica.rows)
            let outcome = try sites[place].run(.seedClear(from: seed.clearsFrom, below: bound))
            guard outcome.refusal == nil else {
                Issue.record("\(outcome)")
                return
            }
        }
    }
}

extension TestSite {
    /// Everything that a read can find, at the latest revision.
    var visible: [KeyValue] {
        get throws {
            var all: [KeyValue] = []
            for space in [Keyspace.user, .system] {
                all += try replica.range(RangeQuery(.from([]), space: space)).kvs
            }
            return all
        }
    }
}
