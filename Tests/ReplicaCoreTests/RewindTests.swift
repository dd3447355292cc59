import Testing

@testable import ReplicaCore

@Suite struct RewindTests {
    /// The standby was promoted by force, and the old primary had more; both then wrote.
    private func diverged(seed: UInt64 = 0) throws -> SitePair {
        var pair = try SitePair()
        for number in 0..<5 { _ = try pair.sites[0].put("key-\(number)", "common") }
        try pair.settle()
        var traffic = KeyTraffic(random: SeededRandom(seed: seed))
        for _ in 0..<40 { try pair.sites[0].run(traffic.command()) }
        try pair.sites[1].run(.force(seen: 1))
        _ = try pair.sites[1].put("key-1", "new")
        try pair.poll(1)
        return pair
    }

    private func rewind(_ pair: inout SitePair, site: Int = 0) throws {
        let common = try pair.common()
        while pair.sites[site].position.revision > common {
            let from = pair.sites[site].position
            let outcome = try pair.sites[site].run(.rewind(SiteRewind(from: from, revision: common)))
            guard outcome.refusal == nil else {
                Issue.record("\(outcome)")
                return
            }
        }
    }

    @Test(arguments: UInt64(0)..<8)
    func `a rewound site has the rows of the common prefix, and then those of the new primary`(seed: UInt64) throws {
        var pair = try diverged(seed: seed)
        let old = pair.sites[0]
        #expect(old.record.role == .fenced && old.position.revision > 5)
        try rewind(&pair)
        #expect(pair.sites[0].position.revision == 5)
        #expect(pair.sites[0].record.rewoundIndex == pair.sites[0].replica.applier.state.index)
        #expect(old.record.rewoundIndex == 0)
        #expect(
            pair.sites[0].shared
                == pair.sites[1].shared.filter { row in
                    row.key[0] == UInt8(ascii: "f")
                        ? row.key.withUnsafeBytes { $0.bigEndianWord(at: 1) } <= 5
                        : row.key.withUnsafeBytes { RowKey.revision(of: $0) } <= 5
                })
        try pair.settle()
        #expect(pair.sites[0].record.role == .standby && pair.sites[0].record.epoch == 2)
        #expect(pair.sites[0].shared == pair.sites[1].shared, "seed \(seed)")
        for site in pair.sites { try site.checkGroupings(seed: seed) }
    }

    @Test(arguments: UInt64(0)..<4) func `every revision that is undone is an orphan, in the feed's own bytes`(
        seed: UInt64
    ) throws {
        var pair = try diverged(seed: seed)
        let old = pair.sites[0]
        let entries = try SiteFeed.entries(
            from: 6, entriesMax: 1_000, bytesMax: .max, at: old.replica.point, rows: old.replica.rows)
        #expect(UInt64(entries.count) == old.position.revision - 5)
        try rewind(&pair)
        let orphans = try Orphan.list(limit: 1_000, rows: pair.sites[0].replica.rows).map(\.orphan)
            .sorted { $0.revision < $1.revision }
        #expect(orphans.map(\.entry) == entries && orphans.allSatisfy { $0.epoch == 1 })
        // They stay while the site follows, until they are dropped.
        try pair.settle()
        #expect(try Orphan.list(limit: 1_000, rows: pair.sites[0].replica.rows).count == entries.count)
        let last = try #require(try Orphan.list(limit: 1_000, rows: pair.sites[0].replica.rows).last)
        try pair.sites[0].run(.dropOrphans(rewind: last.rewind))
        #expect(try Orphan.list(limit: 1_000, rows: pair.sites[0].replica.rows).isEmpty)
        try pair.sites[0].checkGroupings(seed: seed)
    }

    @Test func `a rewind goes on in bounded steps from where the one before has stopped`() throws {
        var pair = try diverged()
        var writes: UInt64 = 0
        pair = try SitePair()
        _ = try pair.sites[0].put("a", "0")
        try pair.settle()
        while writes < 2 * Limits.rewindRevisionsMax {
            _ = try pair.sites[0].put("a", "\(writes)")
            writes += 1
        }
        try pair.sites[1].run(.force(seen: 1))
        _ = try pair.sites[1].put("a", "new")
        try pair.poll(1)
        let from = pair.sites[0].position
        try pair.sites[0].run(.rewind(SiteRewind(from: from, revision: 1)))
        #expect(pair.sites[0].position.revision == from.revision - Limits.rewindRevisionsMax)
        #expect(
            try pair.sites[0].run(.rewind(SiteRewind(from: from, revision: 1))).refusal?.code == .preconditionFailed)
        try rewind(&pair)
        #expect(try pair.sites[0].get("a") == "0")
    }

    @Test func `a primary is never rewound, and nobody below the feed floor`() throws {
        var pair = try diverged()
        let primary = pair.sites[1].position
        #expect(
            try pair.sites[1].run(.rewind(SiteRewind(from: primary, revision: 1))).refusal?.code == .preconditionFailed)
        #expect(pair.sites[1].position == primary)
        var early = try SitePair()
        for number in 0..<6 { _ = try early.sites[0].put("key", "\(number)") }
        try early.settle()
        try early.sites[0].run(.compact(revision: 5))
        try early.poll(1)
        #expect(early.sites[0].replica.applier.state.feedFloor == 5)
        try early.sites[0].replica.sweep()
        _ = try early.sites[0].put("key", "more")
        try early.sites[1].run(.force(seen: 1))
        try early.poll(1)
        let from = early.sites[0].position
        #expect(try early.sites[0].run(.rewind(SiteRewind(from: from, revision: 4))).refusal?.code == .reseedRequired)
        #expect(try early.sites[0].run(.rewind(SiteRewind(from: from, revision: 6))).refusal == nil)
        #expect(try early.sites[0].get("key") == "5")
        #expect(early.sites[0].replica.applier.state.compactRevision == 5)
    }

    @Test func `a site gives nothing up but for the primary of the highest epoch, and for a feed that lacks it`() {
        let here = SitePosition(revision: 9, hash: Digest(9, 0, 0, 0))
        func rewind(
            _ role: SiteRecord.Role = .primary, epoch: UInt64 = 4, seen: UInt64? = nil, lineage: Lineage = SiteID(1, 1),
            asked: SitePosition? = nil, relation: SiteFeed.Relation = .diverged, common: UInt64 = 5,
            own: SiteRecord.Role = .fenced, ownEpoch: UInt64 = 1, ownSeen: UInt64 = 4
        ) -> SiteCommand? {
            var record = SiteRecord()
            (record.role, record.epoch, record.seen, record.lineage) = (own, ownEpoch, ownSeen, SiteID(1, 1))
            let there = SitePosition(revision: 20, hash: Digest(20, 0, 0, 0))
            let report = SiteReport(
                site: SiteID(2, 2), role: role, epoch: epoch, seen: seen ?? epoch, lineage: lineage, position: there)
            let mine = SiteReport(
                site: SiteID(1, 1), role: own, epoch: ownEpoch, seen: ownSeen, lineage: SiteID(1, 1), position: here)
            let answer = SiteAnswer(report: report, asked: asked ?? here, relation: relation, hash: .zero)
            return SiteLink.rewind(on: answer, at: record, own: mine, common: common)
        }
        #expect(rewind() == .rewind(SiteRewind(from: here, revision: 5)))
        #expect(rewind(relation: .belowFloor) != nil)
        #expect(rewind(epoch: 2) == nil, "a primary of an epoch that is over")
        #expect(rewind(.fenced) == nil && rewind(.standby) == nil && rewind(seen: 6) == nil)
        #expect(rewind(epoch: 4, ownEpoch: 4) == nil, "a fenced site of that very epoch")
        #expect(rewind(epoch: 4, own: .standby, ownEpoch: 4) != nil, "a standby whose primary was set back")
        #expect(rewind(lineage: SiteID(5, 5)) == nil, "another history")
        #expect(rewind(asked: .start) == nil, "an answer about another position")
        #expect(rewind(relation: .prefix) == nil && rewind(common: 9) == nil, "the other one has it all")
    }

    @Test func `the chunks of an orphaned version stay until its orphan is dropped`() throws {
        var pair = try SitePair()
        _ = try pair.sites[0].put("a", "1")
        try pair.settle()
        let chunks = (1...3).map { Digest($0, 0, 0, 0) }
        let upload = UploadID(4, 4)
        try pair.sites[0].publish("m", upload: upload, chunks: chunks)
        try pair.sites[0].run(.complete(node: 1, incarnation: Incarnation(1, 0), through: 2))
        try pair.sites[1].run(.force(seen: 1))
        try pair.poll(1)
        try rewind(&pair)
        #expect(try ModelReader.list(at: pair.sites[0].replica.point, rows: pair.sites[0].replica.rows).isEmpty)
        #expect(pair.sites[0].replica.applier.completeness.map(\.through) == [1], "it says nothing of the new branch")
        try pair.settle()
        try pair.sites[0].replica.sweep()
        for chunk in chunks {
            #expect(try Pins.isPinned(chunk, at: pair.sites[0].replica.point, rows: pair.sites[0].replica.rows))
        }
        // The same upload again, at the new primary: another number, and nothing mixes.
        let model = try #require(try pair.sites[1].publish("m", upload: upload, chunks: [chunks[0]]).model)
        #expect(
            try pair.sites[0].run(
                .stage(
                    SiteStage(
                        upload: upload, number: model.record.uploadNumber, name: "m", version: "1", first: 0,
                        ids: [chunks[0]]))
            ).refusal == nil)
        try pair.settle()
        #expect(pair.sites[0].shared == pair.sites[1].shared)
        let last = try #require(try Orphan.list(limit: 10, rows: pair.sites[0].replica.rows).last)
        try pair.sites[0].run(.dropOrphans(rewind: last.rewind))
        let pinned = try chunks.map {
            try Pins.isPinned($0, at: pair.sites[0].replica.point, rows: pair.sites[0].replica.rows)
        }
        #expect(pinned == [true, false, false])
        try pair.sites[0].checkGroupings(seed: 1)
    }

    @Test func `what a node said of the history that was undone is no word on the one that came after`() throws {
        var pair = try diverged(seed: 3)
        let before = pair.sites[0].position.revision
        let life = Incarnation(1, 0)
        let word = Command.complete(node: 1, incarnation: life, through: before)
        #expect(try pair.sites[0].run(word).refusal == nil)
        try rewind(&pair)
        while pair.sites[1].position.revision <= before { _ = try pair.sites[1].put("more", "1") }
        try pair.settle()
        #expect(pair.sites[0].position.revision > before)
        // Proposed before the rewind, and late.
        #expect(try pair.sites[0].run(word).refusal?.code == .unavailable)
        #expect(pair.sites[0].replica.applier.completeness.map(\.through) == [5])
        let rewound = pair.sites[0].record.rewoundIndex
        let now = Command.complete(node: 1, incarnation: life, through: before, rewound: rewound)
        #expect(try pair.sites[0].run(now).refusal == nil)
        #expect(pair.sites[0].replica.applier.completeness.map(\.through) == [before])
    }
}
