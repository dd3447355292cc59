import Testing

@testable import ReplicaCore

@Suite struct SeedTests {
    /// A standby that is some revisions behind, and a primary that has given up the feed between.
    private func behind(seed: UInt64, writes: Int = 60) throws -> SitePair {
        var pair = try SitePair()
        var traffic = KeyTraffic(random: SeededRandom(seed: seed))
        if seed % 3 > 0 {
            for _ in 0..<writes { try pair.sites[0].run(traffic.command()) }
            try pair.poll(1)
        }
        for _ in 0..<writes { try pair.sites[0].run(traffic.command()) }
        _ = try pair.sites[0].put("last", "1")
        _ = try pair.sites[0].put("last", "2")
        try pair.giveUpFeed()
        #expect(try pair.sites[0].relation(of: pair.sites[1].position) == .belowFloor)
        return pair
    }

    /// Both have the same rows once both have given up the same history.
    private func checkSame(_ pair: SitePair, _ comment: Comment) throws {
        var pair = pair
        try pair.settle()
        #expect(pair.sites[0].position == pair.sites[1].position, comment)
        let revision = pair.sites[0].position.revision
        try pair.sites[0].run(.compact(revision: revision))
        try pair.sites[0].run(.limit(SiteCaps(bytes: 1 << 30, milliseconds: 1 << 40)))
        _ = try pair.sites[0].put("after", "1")
        try pair.settle()
        for place in 0..<2 { try pair.sites[place].replica.sweep() }
        #expect(try pair.sites[0].visible == pair.sites[1].visible, comment)
        let (here, there) = (pair.sites[0].replica.applier.state, pair.sites[1].replica.applier.state)
        #expect(here.compactRevision == there.compactRevision && here.feedHash == there.feedHash, comment)
        let versions = { (site: TestSite) in site.shared.filter { $0.key[0] == UInt8(ascii: "k") } }
        #expect(versions(pair.sites[0]) == versions(pair.sites[1]), comment)
    }

    @Test(arguments: UInt64(0)..<24)
    func `a standby that is behind the feed becomes what the primary is, and follows`(seed: UInt64) throws {
        var pair = try behind(seed: seed)
        var traffic = KeyTraffic(random: SeededRandom(seed: seed &+ 1_000))
        let before = pair.sites[1]
        var others = 0
        while try pair.seedOnce() {
            // The primary writes on, and the standby is what it was.
            try pair.sites[0].run(traffic.command())
            #expect(pair.sites[1].position == before.position)
            #expect(try pair.sites[1].visible == before.visible, "seed \(seed)")
            others += 1
        }
        #expect(others >= 2)
        #expect(pair.seed() == nil)
        let state = pair.sites[1].replica.applier.state
        #expect(state.revision == state.feedFloor && state.revision == state.compactRevision)
        #expect(try pair.sites[0].relation(of: pair.sites[1].position) == .prefix)
        #expect(pair.sites[1].replica.output.rewound?.revision == state.revision, "watches end")
        try checkSame(pair, "seed \(seed)")
        try pair.settle()
        try pair.sites[1].checkGroupings(seed: seed)
    }

    @Test(arguments: UInt64(0)..<12)
    func `a seed that the primary cannot finish goes on to a later revision`(seed: UInt64) throws {
        var pair = try behind(seed: seed)
        var traffic = KeyTraffic(random: SeededRandom(seed: seed &+ 2_000))
        for _ in 0..<3 {
            for _ in 0...2 where pair.seed()?.isFilled != true { _ = try pair.seedOnce() }
            for _ in 0..<20 { try pair.sites[0].run(traffic.command()) }
            _ = try pair.sites[0].put("later", "\(traffic.random.next())")
            let target = try #require(pair.seed()).target.revision
            try pair.giveUpFeed()
            #expect(pair.sites[0].replica.applier.state.feedFloor > target)
            let head = try pair.seedHead()
            #expect(try pair.sites[1].run(.seed(head)).refusal == nil)
            #expect(pair.seed()?.next == SeedRecord.start)
        }
        while try pair.seedOnce() {}
        try checkSame(pair, "seed \(seed)")
        try pair.sites[1].checkGroupings(seed: seed)
    }

    @Test func `only ranges that differ cross, and only what they lack is written`() throws {
        var pair = try SitePair()
        for number in 0..<400 { _ = try pair.sites[0].put("key-\(1_000 + number)", "value") }
        for _ in 0..<5 { try pair.poll(1) }
        #expect(pair.sites[1].position == pair.sites[0].position)
        for number in [17, 18, 200] { _ = try pair.sites[0].put("key-\(1_000 + number)", "new") }
        try pair.sites[0].run(.delete(.key("key-1300".asBytes)))
        try pair.giveUpFeed()
        _ = try pair.seedOnce()
        while pair.seed()?.isFilled != true {
            for step in try pair.seedSteps(leafBytesMax: 1_000) {
                #expect(try pair.sites[1].run(.seedStep(step)).refusal == nil)
            }
        }
        let record = try #require(pair.seed())
        #expect(record.rows == 4 && record.changedRanges == 3 && record.sameRanges > 90)
        #expect(try pair.seedOnce() == false)
        #expect(try pair.sites[1].get("key-1017") == "new")
        #expect(try pair.sites[1].get("key-1300") == nil)
    }

    @Test(arguments: UInt64(0)..<12)
    func `a site that is promoted in the middle of a seed is what it was, and writes once the seed is removed`(
        seed: UInt64
    ) throws {
        var pair = try behind(seed: seed)
        let before = pair.sites[1]
        for _ in 0...(1 + Int(seed) % 5) where pair.seed()?.isFilled != true { _ = try pair.seedOnce() }
        #expect(pair.seed() != nil)
        #expect(try pair.sites[1].run(.force(seen: 1)).refusal == nil)
        #expect(try pair.sites[1].put("early", "1").refusal?.code == .unavailable)
        try pair.clearSeed()
        #expect(pair.sites[1].shared == before.shared, "seed \(seed)")
        #expect(try pair.sites[1].put("late", "1").refusal == nil)
        #expect(pair.sites[1].position.revision == before.position.revision + 1)
        #expect(try pair.sites[1].visible.count == before.visible.count + 1)
        try pair.sites[1].checkGroupings(seed: seed)
    }

    @Test func `nothing else is applied or undone while there is a seed, and it is not removed while it goes on`()
        throws
    {
        var pair = try behind(seed: 1)
        _ = try pair.seedOnce()
        _ = try pair.seedOnce()
        let position = pair.sites[1].position
        let shipment = SiteShipment(
            epoch: 1, after: position, entries: [FeedEntry(revision: position.revision + 1, effects: [])], hash: .zero)
        #expect(try pair.sites[1].run(.apply(shipment)).refusal?.code == .unavailable)
        let rewind = SiteRewind(from: position, revision: position.revision - 1)
        #expect(try pair.sites[1].run(.rewind(rewind)).refusal?.code == .unavailable)
        let cleared = try pair.sites[1].run(.seedClear(from: SeedRecord.start, below: SeedRecord.end))
        #expect(cleared.refusal?.code == .preconditionFailed)
    }

    @Test func `commands of a seed that come late, twice or from elsewhere do nothing`() throws {
        var pair = try behind(seed: 2)
        let head = try pair.seedHead()
        #expect(try pair.sites[1].run(.seedEnd(revision: head.target.revision)).refusal?.code == .preconditionFailed)
        #expect(try pair.sites[1].run(.seed(head)).refusal == nil)
        #expect(try pair.sites[1].run(.seed(head)).refusal?.code == .preconditionFailed)
        #expect(try pair.sites[1].run(.seedEnd(revision: head.target.revision)).refusal?.code == .preconditionFailed)
        let steps = try pair.seedSteps()
        let first = try #require(steps.first)
        #expect(try pair.sites[1].run(.seedStep(first)).refusal == nil)
        #expect(pair.seed()?.next == first.spans.last?.leaf.below && pair.seed()?.isFilled == false)
        #expect(try pair.sites[1].run(.seedEnd(revision: head.target.revision)).refusal?.code == .preconditionFailed)
        #expect(try pair.sites[1].run(.seedStep(first)).refusal?.code == .preconditionFailed)
        while try pair.seedOnce() {}
        let position = pair.sites[1].position
        #expect(try pair.sites[1].run(.seed(head)).refusal?.code == .preconditionFailed)
        #expect(try pair.sites[1].run(.seedEnd(revision: head.target.revision)).refusal?.code == .preconditionFailed)
        #expect(try pair.sites[1].run(.seedStep(first)).refusal?.code == .preconditionFailed)
        #expect(pair.sites[1].position == position)
        try checkSame(pair, "late commands")
    }

    @Test func `a step changes nothing at or below the site's revision, and only to what the hash covers`() throws {
        var pair = try behind(seed: 4)
        #expect(try pair.sites[1].run(.seed(try pair.seedHead())).refusal == nil)
        // A row that the hash covers, at the site's own revision and just above it.
        let revision = pair.sites[1].position.revision
        let target = try #require(pair.seed()).target.revision
        let own = try ErasedRows.with(pair.sites[1].replica.rows) { rows in
            try SeedReader.content(from: SeedRecord.start, below: SeedRecord.end, through: target, rows: rows).rows
        }
        let cases: [(above: UInt64, code: ErrorCode?)] = [(0, .corrupted), (1, nil)]
        for (above, code) in cases {
            var key = RowKey.versions(of: "only there".asBytes, in: .user)
            RowKey.append(revision: revision + above, to: &key)
            let row = SeedRow(key: key[...], value: [1, 0, 1, 1, 0, 9])
            let held = (own + [row]).sorted { $0.key.lexicographicallyPrecedes($1.key) }
            let leaf = SeedLeaf(
                below: SeedRecord.end, hash: SeedReader.hash(of: held, SeedReader.digest(QuickHash.self)))
            let step = SeedStep(
                revision: target, from: SeedRecord.start, spans: [SeedSpan(leaf: leaf, rows: [row], removed: [])])
            var other = pair
            #expect(try other.sites[1].run(.seedStep(step)).refusal?.code == code)
        }
        var step = try #require(
            try pair.seedSteps(leaves: 200, bytesMax: 1 << 20).first { $0.spans.contains { !$0.rows.isEmpty } })
        // Everything before it, so that this one is next.
        for other in try pair.seedSteps(leaves: 200, bytesMax: 1 << 20) {
            if other == step { break }
            #expect(try pair.sites[1].run(.seedStep(other)).refusal == nil)
        }
        let place = try #require(step.spans.firstIndex { !$0.rows.isEmpty })
        let good = step
        step.spans[place].rows.removeLast()
        #expect(try pair.sites[1].run(.seedStep(step)).refusal?.code == .corrupted)
        step = good
        step.spans[place].leaf.hash.word0 ^= 1
        #expect(try pair.sites[1].run(.seedStep(step)).refusal?.code == .corrupted)
        step = good
        var key = Array(step.spans[place].rows[0].versions)
        RowKey.append(revision: pair.sites[1].position.revision, to: &key)
        step.spans[place].rows[0].key = key[...]
        #expect(try pair.sites[1].run(.seedStep(step)).refusal?.code == .corrupted)
        step = good
        step.spans[place].removed = [RowKey.versions(of: "not here".asBytes, in: .user)[...]]
        #expect(try pair.sites[1].run(.seedStep(step)).refusal?.code == .corrupted)
        #expect(try pair.sites[1].run(.seedStep(good)).refusal == nil)
    }

    @Test func `a version is staged only with a quorum of its chunks, and its chunks stay`() throws {
        var pair = try SitePair()
        _ = try pair.sites[0].put("a", "1")
        try pair.settle()
        let chunks = (1...3).map { Digest($0, 0, 0, 0) }
        let model = try #require(try pair.sites[0].publish("m", upload: UploadID(4, 4), chunks: chunks).model)
        try pair.sites[0].publish("gone", upload: UploadID(5, 5), chunks: [Digest(9, 0, 0, 0)])
        try pair.sites[0].run(.retire(name: "gone", version: "1"))
        _ = try pair.sites[0].put("b", "1")
        try pair.giveUpFeed()
        #expect(try pair.sites[1].run(.seed(try pair.seedHead())).refusal == nil)
        let steps = try pair.seedSteps(leaves: 100, bytesMax: 1 << 20)
        let step = try #require(try steps.first { try $0.spans.contains { try !$0.publishes().isEmpty } })
        for other in steps.prefix(while: { $0 != step }) {
            #expect(try pair.sites[1].run(.seedStep(other)).refusal == nil)
        }
        #expect(try pair.sites[1].run(.seedStep(step)).refusal?.code == .preconditionFailed, "nothing is staged")
        try pair.stage(model, chunks: chunks)
        var alone = step
        alone.durableOn.removeLast()
        #expect(try pair.sites[1].run(.seedStep(alone)).refusal?.code == .unavailable)
        #expect(try pair.sites[1].run(.seedStep(step)).refusal == nil)
        let pinned = { (site: TestSite) in
            try chunks.map { try Pins.isPinned($0, at: site.replica.point, rows: site.replica.rows) }
        }
        try pair.sites[1].replica.sweep()
        #expect(try pinned(pair.sites[1]) == [true, true, true])
        #expect(try ModelReader.list(at: pair.sites[1].replica.point, rows: pair.sites[1].replica.rows).isEmpty)
        // Voters do not change under versions that are not visible yet.
        let alone3 = MembershipChange([MembershipChange.Step(.remove, 1)], addresses: [])
        #expect(try pair.sites[1].replica.configure(alone3)?.code == .unavailable)
        var given = pair
        #expect(try given.sites[1].run(.force(seen: 1)).refusal == nil)
        try given.clearSeed()
        try given.sites[1].replica.sweep()
        #expect(try pinned(given.sites[1]) == [false, false, false])
        #expect(try given.sites[1].publish("m", upload: UploadID(4, 4), chunks: chunks).model != nil)
        while try pair.seedOnce() {}
        try pair.sites[1].replica.sweep()
        #expect(try pinned(pair.sites[1]) == [true, true, true])
        let models = try ModelReader.list(at: pair.sites[1].replica.point, rows: pair.sites[1].replica.rows)
        #expect(models.filter { !$0.record.isRetired } == [model])
        #expect(pair.sites[1].replica.output.rewound?.publishedRevision == model.publishedRevision)
        try checkSame(pair, "models")
    }

    @Test func `what a site serves keeps its chunks through a seed that has others under the same name`() throws {
        var pair = try SitePair()
        _ = try pair.sites[0].put("a", "1")
        try pair.settle()
        let earlier = pair.sites[0]
        let (served, other) = (Digest(1, 0, 0, 0), Digest(2, 0, 0, 0))
        let model = try #require(try pair.sites[0].publish("m", upload: UploadID(4, 4), chunks: [served]).model)
        try pair.stage(model, chunks: [served])
        try pair.settle()
        #expect(pair.sites[1].position == pair.sites[0].position)
        // The primary is set back in place, publishes another version under that name, and gives up the feed that would tell.
        pair.sites[0] = earlier
        for number in 2...3 { _ = try pair.sites[0].put("a", "\(number)") }
        let second = try #require(try pair.sites[0].publish("m", upload: UploadID(5, 5), chunks: [other]).model)
        try pair.giveUpFeed()
        try pair.stage(second, chunks: [other])
        let pinned = { (site: TestSite) in
            try [served, other].map { try Pins.isPinned($0, at: site.replica.point, rows: site.replica.rows) }
        }
        let before = pair.sites[1].position
        var isStaged = false
        while try pair.seedOnce() {
            try pair.sites[1].replica.sweep()
            let site = pair.sites[1]
            guard site.position == before else { continue }
            #expect(try pinned(site) == [true, true])
            isStaged =
                try isStaged
                || ErasedRows.with(site.replica.rows) { rows throws(RowError) in
                    try ModelReader.version("m", "1", at: .max, rows: rows)?.record.upload == UploadID(5, 5)
                }
        }
        #expect(isStaged && pair.sites[1].position == pair.sites[0].position)
        try pair.sites[1].replica.sweep()
        #expect(try pinned(pair.sites[1]) == [false, true])
    }

    @Test func `a primary that was set back gives no rows for a target of the history that it lost`() throws {
        var pair = try behind(seed: 3)
        let earlier = pair.sites[0]
        _ = try pair.sites[0].put("lost", "1")
        _ = try pair.seedOnce()
        let seed = try #require(pair.seed())
        func answer(_ site: TestSite) throws -> SeedAnswer {
            try SeedAnswer(
                to: SeedRowsRequest(of: seed, rows: pair.sites[1].replica.rows, hash: QuickHash.self),
                rows: site.replica.rows, hash: QuickHash.self)
        }
        let offered = try answer(pair.sites[0])
        #expect(offered != .noLongerKept && offered != .notOfThisEpoch && offered != .offers([]))
        pair.sites[0] = earlier
        #expect(try answer(pair.sites[0]) == .offers([]), "it has not come so far again")
        _ = try pair.sites[0].put("other", "1")
        #expect(pair.sites[0].position.revision == seed.target.revision)
        #expect(try answer(pair.sites[0]) == .noLongerKept)
    }

    @Test func `a row below one that is staged of its key is refused`() throws {
        var pair = try behind(seed: 3)
        let earlier = pair.sites[0]
        for _ in 0..<3 { _ = try pair.sites[0].put("last", "lost") }
        while pair.seed()?.isFilled != true { _ = try pair.seedOnce() }
        let before = pair.sites[1].shared
        // Another history from here on, in which the key was not written again.
        pair.sites[0] = earlier
        for number in 0..<9 { _ = try pair.sites[0].put("other", "\(number)") }
        try pair.giveUpFeed()
        #expect(try pair.sites[1].run(.seed(try pair.seedHead())).refusal == nil)
        var refusals: [ErrorCode] = []
        for step in try pair.seedSteps(leaves: 64, keysMax: 512, bytesMax: 1 << 20) {
            refusals += try pair.sites[1].run(.seedStep(step)).refusal.map { [$0.code] } ?? []
        }
        #expect(refusals == [.corrupted])
        #expect(pair.sites[1].shared == before)
    }

    @Test func `the primary keeps for a seed no more than its caps`() throws {
        var pair = try behind(seed: 5)
        let head = try pair.seedHead()
        #expect(pair.sites[0].replica.applier.siteProgress.hold == head.target.revision)
        _ = try pair.sites[0].put("more", "1")
        try pair.sites[0].run(.compact(revision: head.target.revision + 1))
        #expect(pair.sites[0].replica.applier.state.feedFloor == head.target.revision)
        try pair.sites[0].run(.limit(SiteCaps(bytes: 1, milliseconds: 1_000)))
        #expect(pair.sites[0].replica.applier.state.feedFloor == head.target.revision + 1)
        let other = try pair.sites[0].run(.holdForSeed(site: SiteID(9, 9), epoch: 1))
        #expect(other.refusal?.code == .preconditionFailed)
    }

    @Test func `a site follows a later primary only with nothing that its feed never had`() throws {
        // Behind the feed of the new primary, with and without revisions of its own.
        for hasMore in [false, true] {
            var pair = try SitePair()
            for number in 0..<10 { _ = try pair.sites[0].put("key-\(number)", "1") }
            try pair.settle()
            if hasMore { _ = try pair.sites[0].put("mine", "1") }
            #expect(try pair.sites[1].run(.force(seen: 1)).refusal == nil)
            for number in 0..<10 { _ = try pair.sites[1].put("new-\(number)", "1") }
            try pair.giveUpFeed(of: 1)
            try pair.poll(0)
            try pair.poll(0)
            #expect(try pair.sites[1].relation(of: pair.sites[0].position) == .belowFloor)
            #expect(pair.sites[0].record.role == (hasMore ? .fenced : .standby))
            if hasMore {
                let (_, answer) = try pair.deliver(try pair.sites[0].report, to: 1)
                let common = try #require(answer.common(with: pair.sites[0].record))
                #expect(common.revision == 10)
                #expect(try FeedReader.hash(after: 10, rows: pair.sites[0].replica.rows) == common.hash)
                let rewind = SiteLink.rewind(
                    on: answer, at: pair.sites[0].record, own: try pair.sites[0].report, common: common.revision)
                #expect(try pair.sites[0].run(try #require(rewind)).refusal == nil)
                #expect(try Orphan.list(limit: 9, rows: pair.sites[0].replica.rows).count == 1)
                try pair.poll(0)
                #expect(pair.sites[0].record.role == .standby)
            }
            while try pair.seedOnce(at: 0) {}
            #expect(pair.sites[0].position == pair.sites[1].position)
            #expect(try pair.sites[0].visible == pair.sites[1].visible)
        }
    }

    @Test func `what histories share ends where one of them goes over to another epoch`() {
        let at = { (epoch: UInt64, revision: UInt64) in
            SiteRecord.Branch(epoch: epoch, position: SitePosition(revision: revision, hash: Digest(revision, 0, 0, 1)))
        }
        let common = { SiteRecord.common($0, through: $1, $2, through: $3) }
        #expect(common([at(1, 5)], 300, [at(1, 5), at(2, 200)], 900)?.revision == 200)
        #expect(common([at(1, 5)], 300, [at(1, 5), at(2, 200)], 900)?.hash == Digest(200, 0, 0, 1))
        #expect(common([at(1, 5)], 150, [at(1, 5), at(2, 200)], 900)?.revision == 150)
        #expect(common([at(1, 5), at(3, 100)], 300, [at(1, 5), at(2, 200)], 900)?.revision == 100)
        #expect(common([at(2, 50)], 300, [at(1, 80)], 900)?.revision == 50, "before the first epoch one wrote alone")
        #expect(common([], 0, [at(1, 80)], 900)?.revision == 0)
        #expect(common([at(1, 5), at(2, 200)], 900, [at(1, 5), at(2, 200)], 800)?.revision == 800)
        let many = (0..<UInt64(Limits.siteBranchesMax)).map { at($0 + 7, $0) }
        #expect(common([at(1, 5)], 300, many, 900) == nil)
    }

    @Test(arguments: UInt64(0)..<20) func `parts of a range hold together what the range holds, however they are cut`(
        seed: UInt64
    ) throws {
        var site = try TestSite(1)
        var traffic = KeyTraffic(random: SeededRandom(seed: seed))
        for _ in 0..<120 { try site.run(traffic.command()) }
        let rows = site.replica.rows
        for revision in stride(from: UInt64(1), through: site.position.revision, by: 7) {
            try ErasedRows.with(rows) { rows in
                let whole = try SeedReader.content(
                    from: SeedRecord.start, below: SeedRecord.end, through: revision, rows: rows)
                #expect(whole.below == SeedRecord.end)
                let put = whole.rows.filter { $0.value != VersionRecord.tombstone[...] }
                let kvs = try History.range(
                    RangeQuery(.from([]), revision: revision), at: site.replica.point, rows: rows
                ).kvs
                #expect(put.map(\.revision) == kvs.map(\.modRevision), "seed \(seed) revision \(revision)")
                for (keysMax, bytesMax) in [(1, Int.max), (3, 100), (Int.max, 1), (Int.max, 60)] {
                    var next = SeedRecord.start
                    var parts: [SeedRow] = []
                    while next != SeedRecord.end {
                        let part = try SeedReader.content(
                            from: next, below: SeedRecord.end, through: revision, keysMax: keysMax, bytesMax: bytesMax,
                            rows: rows)
                        #expect(next.lexicographicallyPrecedes(part.below) && RowKey.isBound(part.below))
                        parts += part.rows
                        next = part.below
                    }
                    #expect(parts == whole.rows, "seed \(seed) revision \(revision) keys \(keysMax)")
                }
            }
        }
    }
}
