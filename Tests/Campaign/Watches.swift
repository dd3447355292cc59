internal import Holdfast
internal import Processes
internal import Synchronization

/// The watches of a campaign: one at every place and one that goes wherever it is answered, from the first revision to the last; and
/// short ones that begin anywhere.
final class Watches: Sendable {
    private let feed: Feed
    private let nodes: Nodes
    private let marker: String
    private let violations: Violations
    private let seed: UInt64
    /// The places whose watch has come to the marker; -1 is the one that goes anywhere.
    private let ended = Mutex<Set<Int>>([])

    init(feed: Feed, nodes: Nodes, marker: String, violations: Violations, seed: UInt64) {
        self.feed = feed
        self.nodes = nodes
        self.marker = marker
        self.violations = violations
        self.seed = seed
    }

    /// Follows every change until the marker comes or it is cancelled.
    func run() async {
        await withTaskGroup(of: Void.self) { group in
            group.addTask { await self.follow(-1, self.nodes.any.store) }
            for (place, node) in nodes.pinned.enumerated() {
                group.addTask { await self.follow(place, node.store) }
            }
        }
    }

    private func follow(_ place: Int, _ store: Store) async {
        let name = place < 0 ? "the watch at any node" : "the watch at place \(place + 1)"
        do throws(HoldfastError) {
            try await feed.follow(name, store, from: 1, until: .key(marker))
            if !Task.isCancelled { ended.withLock { _ = $0.insert(place) } }
        } catch {
            violations.add("watch ended", "\(name) ended with \(error)")
        }
    }

    /// Watches from anywhere for a while, again and again, until it is cancelled.
    func watchShortly() async {
        var numbers = SeededNumbers(seed: seed &+ 99)
        var count = 0
        while !Task.isCancelled {
            try? await Task.sleep(for: .milliseconds(Int.random(in: 300...2_000, using: &numbers)))
            let highest = feed.highest
            guard highest > 10 else { continue }
            let store = nodes.one(&numbers)
            count += 1
            let name = "short watch \(count)"
            let from = Revision.random(in: 1...highest, using: &numbers)
            let last = from + Revision.random(in: 1...200, using: &numbers)
            let feed = self.feed
            let violations = self.violations
            // A watch at a node that is down waits for it; the next one is for another.
            await withTaskGroup(of: Void.self) { group in
                group.addTask {
                    do throws(HoldfastError) {
                        try await feed.follow(name, store, from: from, until: .beyond(last))
                    } catch {
                        violations.add("watch ended", "\(name) ended with \(error)")
                    }
                }
                group.addTask { try? await Task.sleep(for: .seconds(4)) }
                await group.next()
                group.cancelAll()
            }
        }
    }

    /// Waits until the watches at these places, and the one that goes anywhere, have come to the marker.
    func finish(at places: [Int], seconds: Int) async {
        let end = ContinuousClock.now + .seconds(seconds)
        while true {
            let missing = ([-1] + places).filter { place in !ended.withLock { $0.contains(place) } }
            if missing.isEmpty { return }
            guard ContinuousClock.now < end else {
                violations.add(
                    "watch progress", "within \(seconds) s, these watches did not come to the last change: \(missing)")
                return
            }
            try? await Task.sleep(for: .milliseconds(20))
        }
    }
}
