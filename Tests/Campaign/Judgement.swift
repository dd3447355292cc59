internal import Foundation
internal import Holdfast
internal import Linearizability

/// Compares what was recorded with what the store promises, once everything has ended.
struct Judgement {
    let recorder: Recorder
    let feed: Feed
    let violations: Violations

    /// The history is linearizable, read back from its file.
    func linearizability(of file: String) throws {
        try recorder.check()
        let text = try String(contentsOfFile: file, encoding: .utf8)
        let calls = try Call.pair(try HistoryLine.decode(text))
        let report = HistoryChecker().check(calls)
        Console.say("linearizability: \(report.calls) operations on \(report.components) groups of keys")
        for finding in report.findings {
            let keys = finding.keys.joined(separator: " ")
            switch finding.verdict {
            case .violation(let text): violations.add("linearizability", "\(keys): \(text)")
            case .undecided(let text): violations.add("linearizability undecided", "\(keys): \(text)")
            case .linearizable: break
            }
        }
    }

    /// Revisions respect real time over all keys: what began after another ended learned no lower one, and a write a higher one.
    func revisionOrder() {
        let learned = recorder.learned
        let ends = learned.sorted { $0.end < $1.end }
        var place = 0
        var floor: Revision = 0
        var owners: Set<Revision> = []
        for operation in learned.sorted(by: { $0.begin < $1.begin }) {
            while place < ends.count, ends[place].end < operation.begin {
                floor = max(floor, ends[place].revision)
                place += 1
            }
            if operation.revision < floor || (operation.isWrite && operation.revision == floor) {
                violations.add(
                    "revision order",
                    "events \(operation.begin) to \(operation.end) learned revision \(operation.revision), but \(floor) was known before"
                )
            }
            if operation.isWrite, !owners.insert(operation.revision).inserted {
                violations.add("revision order", "revision \(operation.revision) was given to two writes")
            }
        }
    }

    /// Every acknowledged write and everything that was read is in the feed, with its value.
    func feedHoldsAll() {
        let entries = feed.entries
        for (what, items) in [("acknowledged write", recorder.written), ("read value", recorder.seen)] {
            for item in items where !(entries[item.revision]?.contains(item) ?? false) {
                let standing = entries[item.revision].map { "\($0)" } ?? "nothing"
                violations.add("\(what) in the feed", "\(item) is not in the feed; it has \(standing) there")
            }
        }
    }

    /// No watch left a revision out, and revisions have no gap but those that publishing models explains.
    func watchesAreWhole(published: Set<Revision>, last: Revision) {
        let entries = feed.entries
        let all = entries.keys.sorted()
        for watch in feed.delivered {
            guard let end = watch.revisions.last else { continue }
            let had = Set(watch.revisions)
            for revision in all where revision >= watch.from && revision <= end && !had.contains(revision) {
                violations.add("watch gap", "\(watch.name) from \(watch.from) left out revision \(revision)")
            }
        }
        guard last > 0 else { return }
        for revision in 1...last where entries[revision] == nil && !published.contains(revision) {
            violations.add("revision gap", "no watch had revision \(revision), and no model was published there")
        }
    }

    /// The keys as the feed leaves them.
    func finalKeys() -> [String: FeedEntry] {
        var keys: [String: FeedEntry] = [:]
        for (_, group) in feed.entries.sorted(by: { $0.key < $1.key }) {
            for entry in group { keys[entry.key] = entry.value == nil ? nil : entry }
        }
        return keys
    }

    /// A node's keys are exactly those that the feed leaves.
    func keys(of node: String, _ found: [FeedEntry]) {
        let expected = finalKeys()
        let standing = Dictionary(found.map { ($0.key, $0) }) { first, _ in first }
        for (key, entry) in expected.sorted(by: { $0.key < $1.key }) where standing[key] != entry {
            violations.add(
                "final state", "\(node) has \(standing[key].map { "\($0)" } ?? "nothing") for \(key), the feed \(entry)"
            )
        }
        for entry in found where expected[entry.key] == nil {
            violations.add("final state", "\(node) has \(entry), which the feed does not have")
        }
    }
}
