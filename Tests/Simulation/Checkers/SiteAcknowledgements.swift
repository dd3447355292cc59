internal import RaftCore
internal import ReplicaCore

/// What the pair has promised: one site acknowledges writes in an epoch; nobody does after learning of a higher one; what was acknowledged is on a site, or in
/// an orphan row; and what a standby's leader says may be lost, in time, is never less than the truth: the oldest write that was acknowledged at the
/// primary and is not on a quorum of the standby.
struct SiteAcknowledgements {
    struct Write {
        var place: Int
        var position: SitePosition
        var epoch: UInt64
        /// When the answer left.
        var time: Instant
    }

    /// The highest epoch that each process was told of, by site: the node above, and its life.
    private var learned: [[UInt64: UInt64]] = [[:], [:]]
    private var writers: [UInt64: Int] = [:]
    /// In the order of acknowledging.
    private(set) var writes: [Write] = []
    /// By site: what the other one has acknowledged and this one does not have.
    private(set) var missing: [[Write]] = [[], []]

    /// A process was told of an epoch of the pair.
    mutating func learns(_ node: SiteNode, _ life: UInt32, _ epoch: UInt64) {
        let process = node.node << 32 | UInt64(life)
        learned[node.place][process] = max(learned[node.place][process] ?? 0, epoch)
    }

    /// A process whose site is `record` acknowledges a write, or whatever tells of a revision.
    mutating func acknowledges(
        _ node: SiteNode, _ life: UInt32, _ record: SiteRecord, _ revision: UInt64, at time: Instant,
        _ prefix: SitePrefix
    ) -> String? {
        let name = "\(TwoSites.name(of: node.place))\(node.node)"
        if record.role != .alone {
            guard record.role == .primary else {
                return "node \(name) acknowledges a write, and its site is \(record.role)"
            }
            let known = max(record.seen, learned[node.place][node.node << 32 | UInt64(life)] ?? 0)
            guard known <= record.epoch else {
                return "node \(name) acknowledges a write in epoch \(record.epoch) and knows of epoch \(known)"
            }
            let writer = writers[record.epoch, default: node.place]
            writers[record.epoch] = writer
            guard writer == node.place else { return "both sites acknowledge writes in epoch \(record.epoch)" }
        }
        guard revision > 0 else { return nil }
        guard let hash = prefix.hash(revision, node.place) else {
            return "node \(name) acknowledges revision \(revision), which its site does not have"
        }
        let write = Write(
            place: node.place, position: SitePosition(revision: revision, hash: hash), epoch: record.epoch, time: time)
        writes.append(write)
        if !prefix.has(write.position, 1 - node.place) { missing[1 - node.place].append(write) }
        return nil
    }

    /// A site's feed has grown, or has lost its end.
    mutating func feedChanged(_ place: Int, isShorter: Bool, _ prefix: SitePrefix) {
        if isShorter { missing[place] = writes.filter { $0.place != place } }
        missing[place].removeAll { prefix.has($0.position, place) }
    }

    /// After a site was set back: what neither site nor an orphan has any more is lost with what it stood on, and nobody can be blamed.
    mutating func setBack(_ prefix: SitePrefix) {
        writes.removeAll { write in
            !(0..<2).contains { prefix.has(write.position, $0) } && !prefix.orphaned.contains(write.position.hash)
        }
        for place in 0..<2 { feedChanged(place, isShorter: true, prefix) }
    }

    /// A standby's leader says that all is here which was acknowledged before `since`, in nanoseconds, by the primary of an epoch.
    func bounds(_ place: Int, epoch: UInt64, since: UInt64, _ prefix: SitePrefix) -> String? {
        let lost = missing[place].first {
            $0.epoch == epoch && $0.time * 1000 < since && prefix.has($0.position, 1 - place)
        }
        guard let lost else { return nil }
        return
            "the recovery point of site \(TwoSites.name(of: place)) reaches back to \(since / 1000), and revision \(lost.position.revision), acknowledged at \(lost.time), is not here"
    }

    /// At the end every acknowledged write is on a site, or in an orphan row.
    func lost(_ prefix: SitePrefix) -> String? {
        let lost = writes.first { write in
            !(0..<2).contains { prefix.has(write.position, $0) } && !prefix.orphaned.contains(write.position.hash)
        }
        return lost.map { "revision \($0.position.revision), acknowledged in epoch \($0.epoch), is nowhere" }
    }
}
