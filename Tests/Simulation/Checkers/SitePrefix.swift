internal import RaftCore
internal import ReplicaCore

/// The standby is its primary's prefix at every instant, has nothing that a primary had not committed, and each revision once; what a rewind takes out of a
/// feed is in an orphan row from the same entry on.
///
/// Chain hashes speak for whole histories: a site that has one that was made has all that was made before it, once and in order.
struct SitePrefix {
    /// A site's feed: the chain hash after each revision, from 1.
    struct History {
        var hashes: [Digest] = []
        /// The log index that the site has applied through.
        var reached: LogIndex = 0
    }

    private var histories = [History(), History()]
    /// The hashes after revisions that a site has made itself.
    private var made: Set<Digest> = []
    /// The hash before each revision that was made, by the hash after it.
    private var previous: [Digest: Digest] = [:]
    /// Revisions that a rewind has moved into orphan rows.
    private(set) var orphaned: Set<Digest> = []
    /// Through which epochs a primary may have made two histories, because a site was set back: what was shipped of the first may still arrive, and be in logs.
    private var doubtfulThrough: UInt64 = 0
    /// A site was set back at some time.
    private(set) var wasSetBack = false

    func reached(_ place: Int) -> LogIndex { histories[place].reached }
    func history(of place: Int) -> History { histories[place] }

    /// Whether a site's feed has a position.
    func has(_ position: SitePosition, _ place: Int) -> Bool { hash(position.revision, place) == position.hash }

    /// The highest revision through which both feeds are the same.
    var common: UInt64 {
        UInt64(zip(histories[0].hashes, histories[1].hashes).prefix { $0 == $1 }.count)
    }

    /// The hash after a revision of a site's feed; nil where it does not reach.
    func hash(_ revision: UInt64, _ place: Int) -> Digest? {
        guard revision > 0 else { return .zero }
        return revision <= histories[place].hashes.count ? histories[place].hashes[Int(revision) - 1] : nil
    }

    /// A site was seeded to a position: what a primary has made up to there, of which the site has the beginning.
    mutating func arrives(_ place: Int, at target: SitePosition) -> String? {
        let name = TwoSites.name(of: place)
        guard made.contains(target.hash) else {
            return "site \(name) was seeded with a revision \(target.revision) that no primary had committed"
        }
        var path: [Digest] = []
        var hash = target.hash
        while UInt64(path.count) < target.revision {
            let revision = target.revision - UInt64(path.count)
            if self.hash(revision, place) == hash { break }
            path.append(hash)
            hash = previous[hash] ?? .zero
        }
        let shared = Int(target.revision) - path.count
        if shared < histories[place].hashes.count, !wasSetBack {
            return "site \(name) was seeded to revision \(target.revision), and what it had was no prefix of that"
        }
        histories[place].hashes.removeLast(histories[place].hashes.count - shared)
        histories[place].hashes += path.reversed()
        return nil
    }

    /// A site has applied through an index and stands at a position; `chain` names the revisions made on the way.
    mutating func reaches(
        _ place: Int, _ index: LogIndex, _ position: SitePosition, chain: [ApplyOutput.ChainLink], wasRewound: Bool,
        _ record: SiteRecord
    ) -> SiteChange {
        histories[place].reached = index
        var newest: [UInt64: Digest] = [:]
        var kept = min(UInt64(histories[place].hashes.count), position.revision)
        for link in chain {
            newest[link.revision] = link.hash
            if link.revision <= kept, hash(link.revision, place) != link.hash { kept = link.revision - 1 }
        }
        var change = SiteChange()
        while histories[place].hashes.count > kept {
            let revision = UInt64(histories[place].hashes.count)
            change.undone.append(SitePosition(revision: revision, hash: histories[place].hashes.removeLast()))
        }
        let name = TwoSites.name(of: place)
        if !change.undone.isEmpty, !wasRewound {
            change.violation = "site \(name) has lost revision \(kept + 1) without a rewind"
        }
        while histories[place].hashes.count < position.revision {
            let revision = UInt64(histories[place].hashes.count) + 1
            guard let hash = newest[revision] else {
                change.violation = "site \(name) is at revision \(position.revision) and has never made \(revision)"
                return change
            }
            let before = histories[place].hashes.last ?? .zero
            if previous[hash] == nil { previous[hash] = before }
            change.added.append((SitePosition(revision: revision, hash: hash), before))
            histories[place].hashes.append(hash)
            if record.writes(revision) {
                made.insert(hash)
            } else if !made.contains(hash) {
                change.violation = "site \(name) has applied a revision \(revision) that no primary had committed"
            }
        }
        if !has(position, place) {
            change.violation = "site \(name) is at revision \(position.revision) with another hash than it made it with"
        }
        return change
    }

    /// A standby's feed is the beginning of its primary's; `floors` are those of their feeds.
    func check(_ records: [SiteRecord], floors: [UInt64]) -> String? {
        for standby in 0..<2 {
            let (record, other) = (records[standby], records[1 - standby])
            guard record.role == .standby, other.epoch == record.epoch, other.role == .primary || other.role == .fenced,
                record.epoch > doubtfulThrough
            else { continue }
            let last = SitePosition(
                revision: UInt64(histories[standby].hashes.count), hash: histories[standby].hashes.last ?? .zero)
            // Disks that were set back, and a primary without the feed that would tell.
            if wasSetBack, last.revision < floors[1 - standby] { continue }
            if !has(last, 1 - standby) {
                return "the standby, at revision \(last.revision), is not a prefix of its primary"
            }
        }
        return nil
    }

    /// What a rewind has undone is in orphan rows, and is nothing that the other site has, too.
    mutating func keeps(_ undone: [SitePosition], _ rows: SimulatedRows, _ place: Int) -> String? {
        do throws(RowError) {
            let orphans = try Orphan.list(limit: .max, rows: rows)
            for position in undone {
                if !wasSetBack, has(position, 1 - place) {
                    return
                        "site \(TwoSites.name(of: place)) has undone revision \(position.revision), which the other one has"
                }
                // The last undone, lowest, follows on what the feed still has.
                let before =
                    undone.first { $0.revision + 1 == position.revision }?.hash ?? hash(position.revision - 1, place)
                let isKept = orphans.contains { _, orphan in
                    orphan.revision == position.revision
                        && before.map { orphan.entry.quickHash(after: $0) } == position.hash
                }
                if !isKept {
                    return
                        "site \(TwoSites.name(of: place)) has undone revision \(position.revision), and no orphan has it"
                }
                orphaned.insert(position.hash)
            }
            return nil
        } catch {
            return "orphans cannot be read: \(error.message)"
        }
    }

    mutating func setBack(_ place: Int, to history: History, epoch: UInt64) {
        histories[place] = history
        doubtfulThrough = max(doubtfulThrough, epoch)
        wasSetBack = true
    }
}

extension SiteRecord {
    /// Whether the site has made a revision itself, and not applied it from the other: epochs tell by their parity who began them.
    func writes(_ revision: UInt64) -> Bool {
        guard let branch = branches.last(where: { $0.position.revision < revision }) else { return beginsOddEpochs }
        return (branch.epoch % 2 == 1) == beginsOddEpochs
    }
}

extension FeedEntry {
    /// The chain hash after this entry, of the hash that the simulator puts in the place of SHA-256.
    func quickHash(after previous: Digest) -> Digest {
        var hashed: [UInt8] = previous.bytes
        hashed.append(contentsOf: bytes)
        var function = QuickHash()
        hashed.withUnsafeBytes { function.update($0) }
        return function.finish()
    }
}
