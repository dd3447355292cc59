import Testing

@testable import ReplicaCore

@Suite struct RecoveryPointTests {
    @Test func `it is unknown until an answer of this leader's own poll is durable`() {
        var point = RecoveryPoint()
        #expect(point.nanoseconds(now: 100) == nil)
        point.answered(sent: 10, revision: 5, durable: 4)
        #expect(point.nanoseconds(now: 100) == nil)
        point.advanced(durable: 5)
        #expect(point.nanoseconds(now: 100) == 90)
        point.answered(sent: 60, revision: 5, durable: 5)
        #expect(point.nanoseconds(now: 100) == 40)
        point.reset()
        #expect(point.nanoseconds(now: 100) == nil)
    }

    @Test func `only the primary of the standby's own epoch bounds what may be lost, and only of a feed that it is in`()
    {
        func bounds(
            _ role: SiteRecord.Role = .primary, epoch: UInt64 = 3, seen: UInt64 = 3,
            _ relation: SiteFeed.Relation = .prefix, at own: SiteRecord.Role = .standby
        ) -> Bool {
            var record = SiteRecord()
            (record.role, record.epoch, record.seen) = (own, 3, 3)
            let report = SiteReport(
                site: SiteID(1, 1), role: role, epoch: epoch, seen: seen, lineage: SiteID(1, 1),
                position: SitePosition(revision: 9, hash: Digest(9, 0, 0, 0)))
            let answer = SiteAnswer(report: report, asked: .start, relation: relation, hash: .zero)
            return SiteLink.bounds(answer, at: record)
        }
        #expect(bounds())
        #expect(!bounds(.fenced) && !bounds(.standby), "it acknowledges nothing, and another one may")
        #expect(!bounds(seen: 4), "another one is the primary")
        #expect(!bounds(epoch: 5, seen: 5), "what this site lacks may be of another history")
        #expect(!bounds(.primary, epoch: 3, seen: 3, .diverged) && !bounds(.primary, epoch: 3, seen: 3, .belowFloor))
        #expect(!bounds(at: .fenced) && !bounds(at: .primary))
    }

    /// A primary that acknowledges, polls that are lost, late and answered in any order, a standby that lags: at every instant the kill
    /// of the primary loses nothing that was acknowledged before what is reported.
    @Test(arguments: UInt64(0)..<200) func `it is never better than the truth, at any instant of a kill`(seed: UInt64) {
        var random = SeededRandom(seed: seed)
        var point = RecoveryPoint()
        /// When each revision was acknowledged, from revision 1 on.
        var acknowledged: [UInt64] = []
        var durable: UInt64 = 0
        var polls: [UInt64] = []
        var answers: [(sent: UInt64, revision: UInt64)] = []
        var known = 0
        for now in UInt64(1)...400 {
            switch random.below(6) {
            case 0, 1: acknowledged.append(now)
            case 2: polls.append(now)
            case 3 where !polls.isEmpty:
                let sent = polls.remove(at: random.below(polls.count))
                if !random.chance(1, in: 4) { answers.append((sent, UInt64(acknowledged.count))) }
            case 4 where !answers.isEmpty:
                let place = random.below(answers.count)
                let answer = answers[place]
                if !random.chance(1, in: 5) { answers.remove(at: place) }
                point.answered(sent: answer.sent, revision: answer.revision, durable: durable)
            case 5:
                let most = answers.map(\.revision).max() ?? durable
                if most > durable { durable += 1 + UInt64(random.below(Int(most - durable))) }
                point.advanced(durable: durable)
            default: break
            }
            if random.chance(1, in: 100) { point.reset() }
            guard let reported = point.nanoseconds(now: now) else { continue }
            known += 1
            // The oldest write that would be lost now.
            let lost = acknowledged.dropFirst(Int(durable)).first
            let truth = lost.map { now - $0 } ?? 0
            #expect(reported >= truth, "seed \(seed) now \(now)")
        }
        #expect(known > 0 || seed > 0)
    }
}
