import Testing

@testable import ReplicaCore

@Suite struct CommonRevisionTests {
    /// Hashes of a feed that is another one above `common`, from its floor through its end.
    private func hash(_ revision: UInt64, common: UInt64, end: UInt64, branch: UInt64) -> Digest {
        revision > end ? .zero : Digest(revision, revision > common ? branch : 0, 1, 1)
    }

    private func search(common: UInt64, floor: UInt64, ours: UInt64, theirs: UInt64) -> (found: UInt64?, rounds: Int) {
        var search = CommonRevision(floor: floor, end: min(ours, theirs))
        var rounds = 0
        while !search.probes.isEmpty, rounds < 100 {
            let probes = search.probes
            #expect(probes.count <= Limits.siteHashesMax)
            search.compare(
                probes.map { hash($0, common: common, end: ours, branch: 1) },
                probes.map { hash($0, common: common, end: theirs, branch: 2) })
            rounds += 1
        }
        return (search.found, rounds)
    }

    @Test func `the highest revision that two feeds share is found wherever it is`() {
        var random = SeededRandom(seed: 11)
        for round in 0..<2_000 {
            let ours = UInt64(random.below(round < 1_000 ? 12 : 300_000))
            let theirs = UInt64(random.below(round < 1_000 ? 12 : 300_000))
            let common = UInt64(random.below(Int(min(ours, theirs)) + 1))
            let found = search(common: common, floor: 0, ours: ours, theirs: theirs)
            #expect(found.found == common, "seed 11 round \(round)")
            #expect(found.rounds <= 4)
        }
    }

    @Test func `feeds that differ where the later one of them begins share nothing that can be found`() {
        #expect(search(common: 5, floor: 7, ours: 20, theirs: 30).found == nil)
        #expect(search(common: 7, floor: 7, ours: 20, theirs: 30).found == 7)
        #expect(search(common: 9, floor: 7, ours: 20, theirs: 30).found == 9)
        // One ends before the other begins.
        #expect(search(common: 9, floor: 21, ours: 20, theirs: 30).found == nil)
    }

    @Test func `a revision that a feed no longer has is no difference`() {
        var seeded = CommonRevision(floor: 7, end: 20)
        seeded.compare([.zero], [hash(7, common: 9, end: 20, branch: 2)])
        #expect(seeded.probes.isEmpty)
        #expect(seeded.found == nil)
        #expect(!seeded.isVoid)
        var search = CommonRevision(floor: 7, end: 20)
        search.compare([hash(7, common: 9, end: 20, branch: 1)], [hash(7, common: 9, end: 20, branch: 2)])
        let probes = search.probes
        #expect(probes.first == 8)
        // Compacted meanwhile.
        search.compare(probes.map { hash($0, common: 9, end: 20, branch: 1) }, probes.map { _ in Digest.zero })
        #expect(search.isVoid)
        #expect(search.found == nil)
        #expect(search.probes.isEmpty)
    }

    @Test func `a standby's word is written once a second, and at once where a switchover waits for it`() {
        var pace = AcknowledgementPace()
        func word(_ revision: UInt64) -> SiteAcknowledgement {
            SiteAcknowledgement(
                site: .zero, epoch: 1, position: SitePosition(revision: revision, hash: Digest(revision, 0, 0, 0)))
        }
        let second = AcknowledgementPace.pause
        let takes = [
            pace.takes(word(0), isAwaited: true, now: 0),
            pace.takes(word(1), isAwaited: false, now: 5 * second),
            pace.takes(word(1), isAwaited: true, now: 9 * second),
            pace.takes(word(2), isAwaited: false, now: 6 * second - 1),
            pace.takes(word(2), isAwaited: true, now: 6 * second - 1),
            pace.takes(word(3), isAwaited: false, now: 7 * second - 1),
        ]
        #expect(takes == [false, true, false, false, true, true])
    }
}
