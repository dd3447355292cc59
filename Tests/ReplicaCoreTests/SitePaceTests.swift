import Testing

@testable import ReplicaCore

@Suite struct SitePaceTests {
    private func at(_ hours: UInt64, _ minutes: UInt64) -> UInt64 {
        (hours * 60 + minutes) * 60_000 + 86_400_000 * 20_000
    }

    @Test func `the first window that a moment lies in counts, and outside of all the plain rate`() {
        let pace = SitePace(
            bytesPerSecond: 10,
            windows: [
                SitePace.Window(from: 22 * 60, below: 6 * 60, bytesPerSecond: nil),
                SitePace.Window(from: 5 * 60, below: 7 * 60, bytesPerSecond: 3),
                SitePace.Window(from: 12 * 60, below: 24 * 60, bytesPerSecond: 4),
            ])
        #expect(pace.rate(at: at(21, 59)) == 4)
        #expect(pace.rate(at: at(22, 0)) == nil)
        #expect(pace.rate(at: at(23, 59)) == nil)
        #expect(pace.rate(at: at(0, 0)) == nil)
        #expect(pace.rate(at: at(5, 59)) == nil, "over midnight, and before the second one")
        #expect(pace.rate(at: at(6, 0)) == 3)
        #expect(pace.rate(at: at(7, 0)) == 10)
        #expect(pace.rate(at: at(11, 59)) == 10)
    }

    @Test func `a pace that nobody can keep to is refused`() {
        #expect(SitePace(bytesPerSecond: 1).refusal == nil)
        #expect(SitePace(bytesPerSecond: 0).refusal != nil)
        let window = SitePace.Window(from: 0, below: 1_440, bytesPerSecond: 1)
        #expect(SitePace(windows: Array(repeating: window, count: Limits.siteWindowsMax)).refusal == nil)
        #expect(SitePace(windows: Array(repeating: window, count: Limits.siteWindowsMax + 1)).refusal != nil)
        #expect(SitePace(windows: [.init(from: 1_440, below: 1, bytesPerSecond: 1)]).refusal != nil)
        #expect(SitePace(windows: [.init(from: 1, below: 1_441, bytesPerSecond: 1)]).refusal != nil)
        #expect(SitePace(windows: [.init(from: 1, below: 2, bytesPerSecond: 0)]).refusal != nil)
    }

    @Test func `over any span no more goes through than one piece and what the rate allows`() {
        var random = SeededRandom(seed: 4_711)
        var bucket = PaceBucket()
        var now: UInt64 = 1_000_000_000
        var sent: [(at: UInt64, bytes: Int)] = []
        for _ in 0..<2_000 {
            let bytes = 1 + random.below(4_000)
            if let wait = bucket.take(4_000, now: now, bytesPerSecond: 10_000) {
                #expect(wait <= 1_000_000_001)
                now += 1 + UInt64(random.below(Int(wait)))
            } else {
                bucket.giveBack(4_000 - bytes)
                sent.append((now, bytes))
            }
        }
        #expect(sent.count > 100)
        for first in sent.indices {
            var bytes = 0
            for last in first..<min(first + 50, sent.count) {
                bytes += sent[last].bytes
                let allowed = Double(sent[last].at - sent[first].at) / 1e9 * 10_000
                // What rounding leaves is less than a byte a piece.
                #expect(Double(bytes - sent[last].bytes) <= allowed + Double(last - first), "seed 4711, from \(first)")
            }
        }
    }

    @Test func `a rate that is lifted lets through at once`() {
        var bucket = PaceBucket()
        #expect(bucket.take(1_000_000, now: 5, bytesPerSecond: 1) == nil, "the first piece never waits")
        #expect(bucket.take(1, now: 6, bytesPerSecond: 1) != nil)
        #expect(bucket.take(1, now: 7, bytesPerSecond: nil) == nil)
        #expect(bucket.take(1, now: 8, bytesPerSecond: 1) == nil)
    }
}
