import Foundation
import RaftCore
import Storage
import Testing

/// Every byte of small logs is damaged in turn. What was acknowledged must come back whole or be reported, never less and never other.
@Suite struct LogDamageTests {
    /// The files of a log after `body`, with every header in the ring.
    static func files(
        options: LogOptions = smallOptions(), _ body: (RunningLog) throws -> Void
    ) throws -> [String: [UInt8]] {
        let directory = try TestDirectory()
        try LogStore.format(directory: directory.path, identity: 99, options: options)
        let log = try RunningLog(directory.path, options: options)
        try body(log)
        log.store.close()
        return try directory.files()
    }

    /// Damages every used byte and some of the rest; `allowed` says which verdicts will do.
    static func damageEverywhere(
        _ files: [String: [UInt8]], only: (String) -> Bool = { _ in true }, kinds: Int = 5,
        allowed: (LogImage.Verdict) -> Bool
    ) -> (tried: Int, reported: Int) {
        let image = LogImage(files: files)
        var tried = 0
        var reported = 0
        for name in files.keys.sorted() where only(name) {
            let used = image.usedBytes(name)
            for position in 0..<(files[name]?.count ?? 0) where position < used + 64 || position % 61 == 0 {
                for damage in Damage.all(at: position).prefix(kinds) {
                    var damaged = image
                    guard var bytes = files[name] else { continue }
                    damage.apply(to: &bytes, at: position)
                    guard bytes != files[name] else { continue }
                    damaged.files[name] = bytes
                    let verdict = damaged.verdict
                    tried += 1
                    if verdict == .corrupted { reported += 1 }
                    guard allowed(verdict) else {
                        Issue.record("\(damage) at \(position) of \(name): \(verdict)")
                        return (tried, reported)
                    }
                }
            }
        }
        return (tried, reported)
    }

    @Test func `any one damaged byte of an acknowledged log leaves it whole or is reported`() throws {
        let written = entries(1...6, term: 1, bytes: 30) + entries(7...9, term: 2, bytes: 11)
        let files = try Self.files { log in
            try log.persist(Array(written[..<2]), hardState: HardState(term: 1, vote: 3, commit: 0))
            try log.persist(Array(written[2..<6]))
            try log.persist(Array(written[6...]), hardState: HardState(term: 2, vote: 1, commit: 4))
        }
        let whole = LogImage.Verdict.entries(written, HardState(term: 2, vote: 1, commit: 4))
        #expect(LogImage(files: files).verdict == whole)
        let (tried, reported) = Self.damageEverywhere(files) { verdict in verdict == whole || verdict == .corrupted }
        #expect(tried > 4000)
        #expect(reported > 1500)
    }

    @Test func `damage on either side of a segment's end is reported, in recycled segments too`() throws {
        let files = try Self.files { log in
            try log.persist(entries(1...20, term: 1, bytes: 600), hardState: HardState(term: 1, vote: 1, commit: 0))
            try log.persist([], hardState: HardState(term: 1, vote: 1, commit: 18))
            log.store.submit(.compact(through: 18))
            try log.persist(entries(21...21, term: 1, bytes: 600))
            try log.persist(entries(22...24, term: 1, bytes: 600))
            // Lands in a segment that is full of older frames.
            try log.persist(entries(25...25, term: 1, bytes: 600))
            try log.persist(entries(26...27, term: 1, bytes: 20))
        }
        guard case .entries(let kept, _) = LogImage(files: files).verdict else {
            Issue.record("the undamaged log is bad")
            return
        }
        #expect(kept.first?.index ?? 1 > 10)
        #expect(kept.last?.index == 27)
        let names = files.keys.filter { $0.hasPrefix("segment-") }
        #expect(names.count >= 3)
        let whole = LogImage(files: files).verdict
        let (_, reported) = Self.damageEverywhere(files, only: { $0.hasPrefix("s") }, kinds: 3) { verdict in
            verdict == whole || verdict == .corrupted
        }
        #expect(reported > 3000)
    }

    @Test func `after a conflict no damage brings a replaced entry back`() throws {
        let written = entries(1...3, term: 1, bytes: 20) + entries(4...6, term: 2, bytes: 24)
        let files = try Self.files { log in
            try log.persist(entries(1...8, term: 1, bytes: 20), hardState: HardState(term: 1, vote: 1, commit: 2))
            try log.persist(Array(written[3...]), hardState: HardState(term: 2, vote: 1, commit: 4))
        }
        let whole = LogImage(files: files).verdict
        #expect(whole == .entries(written, HardState(term: 2, vote: 1, commit: 4)))
        let (_, reported) = Self.damageEverywhere(files) { verdict in verdict == whole || verdict == .corrupted }
        #expect(reported > 1000)
    }

    @Test func `before a header is in the ring, damage loses the last batch at most`() throws {
        let first = entries(1...4, term: 1, bytes: 20)
        let second = entries(5...6, term: 1, bytes: 20)
        let third = entries(7...8, term: 1, bytes: 20)
        var files = try Self.files { log in
            try log.persist(first, hardState: HardState(term: 1, vote: 1, commit: 0))
            try log.persist(second)
            try log.persist(third)
        }
        // As a crash leaves it between the write of the frames and the first entry into the ring.
        files["headers"] = [UInt8](repeating: 0, count: files["headers"]?.count ?? 0)
        let state = HardState(term: 1, vote: 1, commit: 0)
        let whole = LogImage.Verdict.entries(first + second + third, state)
        #expect(LogImage(files: files).verdict == whole)
        var torn = 0
        let (_, reported) = Self.damageEverywhere(files, only: { $0.hasPrefix("seg") }) { verdict in
            if verdict == whole || verdict == .corrupted { return true }
            guard case .entries(let found, state) = verdict, found.count >= 6 else { return false }
            torn += 1
            return Array((first + second + third)[..<found.count]) == found
        }
        #expect(torn > 100)
        #expect(reported > 1000)
    }

    @Test func `both copies of the hard state or of the start are needed for a loss`() throws {
        let written = entries(1...3, term: 1)
        let files = try Self.files { log in
            try log.persist(written, hardState: HardState(term: 9, vote: 2, commit: 0))
        }
        let whole = LogImage.Verdict.entries(written, HardState(term: 9, vote: 2, commit: 0))
        let (tried, reported) = Self.damageEverywhere(
            files, only: { $0.hasPrefix("hardstate") || $0.hasPrefix("start") }
        ) { $0 == whole }
        #expect(tried > 1000)
        #expect(reported == 0)

        var lost = files
        lost["hardstate-1"]?[40] ^= 1
        lost["hardstate-2"]?[20] ^= 1
        #expect(LogImage(files: lost).verdict == .hardStateLost)
        lost = files
        lost["start-1"]?[40] ^= 1
        lost["start-2"]?[20] ^= 1
        #expect(LogImage(files: lost).verdict == .corrupted)
    }

    @Test func `frames of another log are not taken for this one's`() throws {
        let files = try Self.files { log in try log.persist(entries(1...3, term: 1)) }
        let other = try TestDirectory()
        try LogStore.format(directory: other.path, identity: 100, options: smallOptions())
        var mixed = try other.files()
        mixed["segment-000001"] = files["segment-000001"]
        mixed["headers"] = files["headers"]
        #expect(LogImage(files: mixed).verdict == .entries([], HardState()))
    }
}
