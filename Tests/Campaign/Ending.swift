internal import Holdfast

/// What must be true once every fault is taken back: writes succeed, replicas become equal, and each has everything.
struct Ending {
    let nodes: Nodes
    let world: World
    let marker: String
    let violations: Violations

    /// The last write of all; watches end with it.
    func write() async throws {
        do {
            // The first one may meet what the faults left behind; the marker itself must be written once.
            _ = try? await nodes.any.store.withTimeout(milliseconds: 40_000).put("campaign/settled", Array("1".utf8))
            try await nodes.any.store.withTimeout(milliseconds: 40_000).put(Key(marker), Array("end".utf8))
        } catch {
            violations.add("progress", "the last write failed within 40 s: \(error)")
        }
    }

    /// Every member says the same revision and the same hash of all history, and holds every published byte.
    func awaitEqualReplicas() async throws {
        let end = ContinuousClock.now + .seconds(90)
        while true {
            try await world.supervise()
            let members = await world.members.count
            let status = try? await nodes.any.store.withTimeout(milliseconds: 3_000).status()
            if let status, status.nodes.count == members,
                status.nodes.allSatisfy({ node in
                    node.role != .unreachable && node.complete && !node.quarantined
                        && node.revision == status.revision && node.feedHash == status.nodes[0].feedHash
                        && !node.feedHash.isEmpty
                })
            {
                Console.say(
                    "all \(members) replicas are at revision \(status.revision), hash \(status.nodes[0].feedHash)")
                return
            }
            guard ContinuousClock.now < end else {
                violations.add("equal replicas", "not within 90 s: \(status.map { "\($0)" } ?? "no status")")
                return
            }
            try await Task.sleep(for: .milliseconds(200))
        }
    }

    /// Every node has the keys that the feed leaves, read linearizably and from what it has applied.
    func compareKeys(_ judgement: Judgement) async throws {
        for place in await world.members {
            for consistency in [ReadConsistency.linearizable, .stale] {
                let name = "place \(place + 1) (\(consistency))"
                do {
                    judgement.keys(of: name, try await keys(nodes.pinned[place].store, consistency))
                } catch {
                    violations.add("final state", "\(name) cannot be read: \(error)")
                }
            }
        }
    }

    private func keys(_ store: Store, _ consistency: ReadConsistency) async throws(HoldfastError) -> [FeedEntry] {
        var found: [FeedEntry] = []
        var from = Key([0])
        while true {
            let page = try await store.list(
                .range(from: from, below: Key([0xff])), limit: 2_000, consistency: consistency)
            found += page.keys.map { FeedEntry($0) }
            guard page.more, let last = page.keys.last else { return found }
            from = Key(last.key.bytes + [0])
        }
    }

    /// The revisions at which models were published.
    func publishedRevisions() async throws -> Set<Revision> {
        do {
            return Set(try await nodes.any.store.models().map(\.revision))
        } catch {
            violations.add("final state", "the models cannot be listed: \(error)")
            return []
        }
    }
}
