@testable internal import ReplicaCore
@testable internal import Simulation
internal import Testing

/// Who judges two sites must be judged: every rule of the pair has a lie that it finds, and a truth beside it that it lets pass.
struct SiteCheckerTests {
    /// A primary with `revisions` of its own, and a standby that has applied `followed` of them; nothing was broken on the way.
    private final class Pair {
        var checks = SiteChecks()
        var sites = [Applier.empty, Applier.empty]

        init(revisions: UInt64, followed: UInt64) {
            sites[0].site.role = .primary
            sites[0].site.begin(1, at: .start)
            sites[1].site.role = .standby
            sites[1].site.beginsOddEpochs = false
            sites[1].site.begin(1, at: .start)
            #expect(advance(0, to: revisions) == nil)
            #expect(advance(1, to: followed) == nil)
        }

        /// Another pair that is as this one is.
        init(_ other: Pair) {
            checks = other.checks
            sites = other.sites
        }

        static func hash(_ revision: UInt64, _ branch: UInt64 = 0) -> Digest { Digest(revision, branch, 1, 1) }

        /// A site applies an entry after which it is at a revision; those that it makes on the way are of a branch.
        func advance(
            _ place: Int, to revision: UInt64, branch: UInt64 = 0, from first: UInt64? = nil, rewinds: Bool = false
        ) -> String? {
            var output = ApplyOutput()
            let start = first ?? sites[place].state.revision + 1
            if start <= revision {
                output.chain = (start...revision).map {
                    ApplyOutput.ChainLink(revision: $0, hash: Self.hash($0, branch))
                }
            }
            if rewinds { output.rewound = ApplyOutput.Rewound(revision: revision, publishedRevision: 0) }
            sites[place].state.revision = revision
            sites[place].state.feedHash = revision == 0 ? .zero : Self.hash(revision, branch)
            return apply(place, output)
        }

        /// A site applies an entry that changes what `sites` says already.
        func apply(_ place: Int, _ output: ApplyOutput = ApplyOutput()) -> String? {
            sites[place].state.index += 1
            return checks.applied(place, sites[place].state.index, output, sites[place]).violation
        }

        func acknowledge(_ place: Int, _ revision: UInt64, at time: Instant, life: UInt32 = 1) -> String? {
            checks.acknowledgements.acknowledges(
                SiteNode(place: place, node: 1), life, sites[place].site, revision, at: time, checks.prefix)
        }
    }

    @Test("a standby with a revision that the primary has not committed, or with another one in its place, is found")
    func prefix() {
        var pair = Pair(revisions: 5, followed: 3)
        #expect(pair.advance(1, to: 5) == nil)
        #expect(pair.advance(1, to: 6) != nil, "the primary has five")
        pair = Pair(revisions: 5, followed: 3)
        #expect(pair.advance(1, to: 4, branch: 9) != nil, "another fourth")
    }

    @Test("a standby that is ahead of a primary whose feed has another end is found")
    func standbyOfAnotherFeed() {
        let pair = Pair(revisions: 5, followed: 5)
        #expect(pair.advance(0, to: 4, from: 5, rewinds: true) != nil, "the primary has four, and the standby five")
    }

    @Test("a revision that is applied twice, left out, or lost without a rewind is found")
    func onceInOrder() {
        var pair = Pair(revisions: 5, followed: 3)
        // Applied again: the chain goes on from another revision than it did.
        #expect(pair.advance(1, to: 4, branch: 3) != nil)
        pair = Pair(revisions: 5, followed: 3)
        #expect(pair.advance(1, to: 5, from: 5) != nil, "the fourth was left out")
        pair = Pair(revisions: 5, followed: 3)
        #expect(pair.advance(1, to: 2, from: 3) != nil, "the third is gone, and nothing was rewound")
    }

    @Test("what a rewind undoes without an orphan is found")
    func orphans() throws {
        var prefix = SitePrefix()
        let undone = SitePosition(revision: 1, hash: Pair.hash(1))
        let withoutOrphans = prefix.keeps([undone], SimulatedRows(), 1)
        #expect(withoutOrphans != nil)
        let entry = FeedEntry(revision: 1, effects: [.delete(.user, .key([1]))])
        var rows = SimulatedRows()
        var batch = WriteBatch()
        let orphan = Orphan(epoch: 1, revision: 1, time: 0, entry: entry)
        batch.put(RowKey.orphan(rewind: 7, revision: 1), orphan.encoded())
        try rows.write(batch)
        let ofAnother = prefix.keeps([undone], rows, 1)
        #expect(ofAnother != nil)
        let ofThis = prefix.keeps([SitePosition(revision: 1, hash: entry.quickHash(after: .zero))], rows, 1)
        #expect(ofThis == nil)
    }

    @Test("a rewind of what the other site has is found")
    func rewoundTooFar() {
        let pair = Pair(revisions: 5, followed: 3)
        let shared = SitePosition(revision: 3, hash: Pair.hash(3))
        let violation = pair.checks.prefix.keeps([shared], SimulatedRows(), 1)
        #expect(violation?.contains("which the other one has") == true)
    }

    @Test("an acknowledgement by a site that is no primary, or by a node that knows of a higher epoch, is found")
    func acknowledgedLate() {
        let pair = Pair(revisions: 5, followed: 3)
        #expect(pair.acknowledge(0, 5, at: 10) == nil)
        #expect(pair.acknowledge(1, 3, at: 10) != nil, "a standby")
        pair.checks.acknowledgements.learns(SiteNode(place: 0, node: 1), 1, 2)
        #expect(pair.acknowledge(0, 5, at: 11) != nil, "told of epoch 2")
        #expect(pair.acknowledge(0, 5, at: 11, life: 2) == nil, "another process")
        pair.sites[0].site.seen = 2
        #expect(pair.acknowledge(0, 5, at: 12, life: 2) != nil, "has seen epoch 2")
    }

    @Test("two sites that acknowledge in one epoch are found, and an acknowledgement of what its site does not have")
    func writers() {
        let pair = Pair(revisions: 5, followed: 5)
        #expect(pair.acknowledge(0, 6, at: 10) != nil, "there is no sixth")
        #expect(pair.acknowledge(0, 5, at: 10) == nil)
        pair.sites[1].site.role = .primary
        #expect(pair.acknowledge(1, 5, at: 11) != nil)
    }

    @Test("a recovery point that is better than the truth by a microsecond is found")
    func recoveryPoint() {
        let pair = Pair(revisions: 5, followed: 3)
        for revision in 3...5 { #expect(pair.acknowledge(0, UInt64(revision), at: Instant(100 * revision)) == nil) }
        // The fourth, acknowledged at 400, is the oldest that is not there.
        func bounds(_ since: UInt64) -> String? {
            pair.checks.acknowledgements.bounds(1, epoch: 1, since: since * 1000, pair.checks.prefix)
        }
        #expect(bounds(400) == nil)
        #expect(bounds(401) != nil)
        #expect(pair.advance(1, to: 4) == nil)
        #expect(bounds(500) == nil)
        #expect(bounds(501) != nil)
    }

    @Test("a planned takeover without an acknowledged write, beside a primary, or of nobody's leave is found")
    func switchover() {
        func granted(followed: UInt64, fences: Bool) -> String? {
            let pair = Pair(revisions: 5, followed: followed)
            #expect(pair.acknowledge(0, 5, at: 10) == nil)
            let position = SitePosition(revision: 5, hash: Pair.hash(5))
            let grant = SiteGrant(switchover: .zero, site: TwoSites.id(of: 1), epoch: 2, position: position)
            pair.sites[0].site.switchover = SiteRecord.Switchover(id: .zero, begun: 0, grant: grant)
            if fences {
                pair.sites[0].site.role = .fenced
                pair.sites[0].site.seen = 2
            }
            if let early = pair.apply(0) { return early }
            pair.sites[1].site.role = .primary
            pair.sites[1].site.begin(2, at: SitePosition(revision: followed, hash: Pair.hash(followed)))
            return pair.apply(1)
        }
        #expect(granted(followed: 5, fences: true) == nil)
        #expect(granted(followed: 4, fences: true) != nil, "without the fifth")
        #expect(granted(followed: 5, fences: false) != nil, "two primaries")
        let pair = Pair(revisions: 5, followed: 5)
        pair.sites[1].site.role = .primary
        pair.sites[1].site.begin(2, at: SitePosition(revision: 5, hash: Pair.hash(5)))
        let forced = Pair(pair)
        #expect(pair.apply(1) != nil, "nobody granted or forced it")
        forced.checks.switchovers.forces = 1
        #expect(forced.apply(1) == nil)
    }

    @Test("a write that is on no site and in no orphan is found, but for what went with a disk")
    func nowhere() {
        let pair = Pair(revisions: 5, followed: 3)
        #expect(pair.acknowledge(0, 5, at: 10) == nil)
        #expect(pair.checks.acknowledgements.lost(pair.checks.prefix) == nil)
        let lost = Pair(pair)
        _ = lost.checks.prefix.reaches(
            0, 99, SitePosition(revision: 4, hash: Pair.hash(4)), chain: [], wasRewound: true, lost.sites[0].site)
        #expect(lost.checks.acknowledgements.lost(lost.checks.prefix) != nil)
        let earlier = SitePrefix.History(hashes: (1...4).map { Pair.hash($0) }, reached: 4)
        pair.checks.setBack(0, to: earlier, of: pair.sites[0].site)
        #expect(pair.checks.acknowledgements.lost(pair.checks.prefix) == nil)
    }

    @Test("more kept than the cap, and a feed that begins above what is kept, are found")
    func retention() {
        var progress = SiteProgress()
        var state = AppliedState()
        state.revision = 9
        progress.caps = SiteCaps(bytes: 100, milliseconds: .max)
        progress.hold(from: 3, time: 0)
        progress.bytes = 100
        #expect(SiteRetention.check(progress, state, SiteRecord(), kept: nil) == nil)
        progress.bytes = 101
        #expect(SiteRetention.check(progress, state, SiteRecord(), kept: nil) != nil)
        progress.bytes = 100
        (state.compactRevision, state.feedFloor) = (8, 3)
        #expect(SiteRetention.check(progress, state, SiteRecord(), kept: nil) == nil)
        state.feedFloor = 4
        #expect(SiteRetention.check(progress, state, SiteRecord(), kept: nil) != nil)
        state.compactRevision = 3
        #expect(SiteRetention.check(progress, state, SiteRecord(), kept: nil) != nil)
    }

    @Test("more kept than was counted, and a feed kept for nobody, are found")
    func countedTooLow() {
        var (progress, state, record) = (SiteProgress(), AppliedState(), SiteRecord())
        state.revision = 9
        progress.hold(from: 3, time: 0)
        progress.bytes = 100
        #expect(SiteRetention.check(progress, state, record, kept: 100) == nil)
        #expect(SiteRetention.check(progress, state, record, kept: 101) != nil)
        progress.stopHolding()
        record.role = .primary
        (state.compactRevision, state.feedFloor) = (8, 8)
        #expect(SiteRetention.check(progress, state, record, kept: nil) == nil)
        state.feedFloor = 7
        #expect(SiteRetention.check(progress, state, record, kept: nil) != nil)
    }

    @Test("a seed to what nobody has made, or of a site that was no prefix of it, is found")
    func seededElsewhere() {
        let target = SitePosition(revision: 5, hash: Pair.hash(5))
        let pair = Pair(revisions: 5, followed: 3)
        let arrived = Pair(pair).checks.prefix.arrives(1, at: target)
        #expect(arrived == nil)
        let unknown = Pair(pair).checks.prefix.arrives(1, at: SitePosition(revision: 5, hash: Pair.hash(5, 9)))
        #expect(unknown != nil, "another fifth")
        let parted = Pair(revisions: 5, followed: 3)
        parted.sites[1].site.role = .primary
        parted.sites[1].site.begin(2, at: SitePosition(revision: 3, hash: Pair.hash(3)))
        parted.checks.switchovers.forces = 1
        parted.sites[0].site.role = .fenced
        #expect(parted.apply(0) == nil)
        #expect(parted.advance(1, to: 4, branch: 9) == nil)
        let noPrefix = parted.checks.prefix.arrives(1, at: target)
        #expect(noPrefix?.contains("no prefix") == true)
    }

    @Test(
        "a site that moves, or serves something else, while it is seeded or after, and rows left of a seed, are found")
    func seeded() throws {
        let (first, second) = (
            SitePosition(revision: 1, hash: Pair.hash(1)), SitePosition(revision: 2, hash: Pair.hash(2))
        )
        var states = SiteStates()
        func entry(_ revision: UInt64, _ value: UInt8) -> FeedEntry {
            FeedEntry(revision: revision, effects: [.put(.user, key: [1], value: [value], lease: 0)])
        }
        states.made(1, entry(1, 11), hash: first.hash, after: .zero)
        states.made(2, entry(2, 12), hash: second.hash, after: first.hash)
        func rows(_ values: [UInt64: UInt8]) throws -> SimulatedRows {
            var (rows, batch) = (SimulatedRows(), WriteBatch())
            for (revision, value) in values.sorted(by: { $0.key < $1.key }) {
                var (key, head) = (RowKey.versions(of: [1], in: .user), [UInt8]())
                RowKey.append(revision: revision, to: &key)
                VersionRecord.encodePut(createRevision: 1, version: revision, lease: 0, into: &head)
                batch.put(key, head + [value])
            }
            try rows.write(batch)
            return rows
        }
        func site(at position: SitePosition, seed: SitePosition?) -> Applier {
            var site = Applier.empty
            (site.state.revision, site.state.feedHash) = (position.revision, position.hash)
            site.seed = seed.map { SeedRecord(epoch: 1, target: $0, feedRow: []) }
            return site
        }
        let seeding = site(at: first, seed: second)
        var seeds = SiteSeeds()
        func applied(_ applier: Applier, _ arrivals: [UInt64], _ values: [UInt64: UInt8]) throws -> Bool {
            var next = seeds
            return next.applied(1, applier, arrivals: arrivals, rows: try rows(values), states) == nil
        }
        #expect(try applied(seeding, [], [1: 11, 2: 12]))
        #expect(try !applied(seeding, [], [1: 12, 2: 12]), "not what it was")
        #expect(try !applied(site(at: first, seed: SitePosition(revision: 2, hash: Pair.hash(2, 9))), [], [1: 11]))
        let begun = seeds.applied(1, seeding, arrivals: [], rows: try rows([1: 11, 2: 12]), states)
        #expect(begun == nil && seeds.isSeeding(1))
        #expect(try !applied(site(at: second, seed: second), [], [1: 11, 2: 12]), "it has moved")
        #expect(try applied(site(at: second, seed: nil), [2], [1: 11, 2: 12]))
        #expect(try !applied(site(at: second, seed: nil), [2], [1: 11]), "the second is not there")
        #expect(try applied(site(at: first, seed: nil), [], [1: 11]))
        #expect(try !applied(site(at: first, seed: nil), [], [1: 11, 2: 12]), "a row is left")
    }

    @Test("a version that a rewind has undone is asked for no more, and one whose retiring was undone is again")
    func publishedAndRewound() {
        func version(_ upload: UInt64, published: UInt64, retired: UInt64? = nil) -> ModelVersion {
            ModelVersion(
                name: "m", version: "\(upload)",
                record: ModelRecord(
                    root: .zero, bytes: 1, chunks: 1, files: 1, upload: UploadID(0, upload), uploadNumber: upload,
                    time: 0, isRetired: retired != nil),
                publishedRevision: published, modRevision: retired ?? published)
        }
        let members = Members(voters: [1])
        let chunk = ChunkID(0, 0, 0, 1)
        var checker = PublishedChunks()
        checker.publish(version(1, published: 4), chunks: [chunk])
        #expect(checker.check(members) { _, _ in false } != nil)
        checker.rewind(through: 4)
        #expect(checker.check(members) { _, _ in false } != nil)
        checker.rewind(through: 3)
        #expect(checker.check(members) { _, _ in false } == nil)
        checker.publish(version(2, published: 4), chunks: [chunk])
        checker.retire(version(2, published: 4, retired: 6))
        #expect(checker.check(members) { _, _ in false } == nil)
        checker.rewind(through: 5)
        #expect(checker.check(members) { _, _ in false } != nil)
    }
}

extension Applier {
    /// Of a cluster that has applied nothing.
    fileprivate static var empty: Applier {
        do throws(RowError) {
            return try Applier(loading: SimulatedRows())
        } catch {
            preconditionFailure("empty rows cannot be read: \(error)")
        }
    }
}
