@testable import ReplicaCore

/// A whole site as one atomic machine: the real record with its real transitions, over a feed of which only the names of the writes are
/// kept. What is not the site's but the observer's is marked.
struct SmallSite: Hashable {
    /// What the operators and clients may do to a site in one run of the model.
    struct Bounds {
        var writes = 1
        var forces = 0
        var switchovers = 0
        /// How often the source is set back by one write, as by a backup.
        var restores = 0
    }

    static let writesMax = 8

    var place: Int
    var record = SiteRecord()
    /// The writes, by revision.
    var feed: [UInt8] = []
    var orphans: [UInt8] = []
    /// The highest epoch that its leader has heard of.
    var heard: UInt64 = 0
    var used = Used()
    /// The observer's: writes that this site has acknowledged, epochs in which it did, and the highest epoch it was told of.
    var acknowledged: UInt32 = 0
    var epochs: UInt64 = 0
    var learned: UInt64 = 0
    /// The observer's: what the feed was before each write of this site.
    var bases: [[UInt8]] = []
    /// The observer's: a rule was broken in the step that led here.
    var fault: String?

    struct Used: Hashable {
        var writes = 0
        var forces = 0
        var switchovers = 0
        var restores = 0
    }

    var id: SiteID { SiteID(1, UInt64(place)) }
    static func id(_ place: Int) -> SiteID { SiteID(1, UInt64(place)) }

    static func hash(_ feed: ArraySlice<UInt8>) -> Digest {
        feed.isEmpty ? .zero : Digest(feed.reduce(0) { $0 * 32 + UInt64($1) + 1 }, 1, 1, 1)
    }

    var position: SitePosition { SitePosition(revision: UInt64(feed.count), hash: SmallSite.hash(feed[...])) }

    var report: SiteReport {
        SiteReport(
            site: id, role: record.role, epoch: record.epoch, seen: record.seen, lineage: record.lineage,
            position: position)
    }

    func relation(of position: SitePosition) -> SiteFeed.Relation {
        guard position.revision <= UInt64(feed.count) else { return .diverged }
        return SmallSite.hash(feed[..<Int(position.revision)]) == position.hash ? .prefix : .diverged
    }

    // MARK: Steps

    /// Applies a command as the replicated machine does; false if it is refused.
    @discardableResult
    mutating func apply(_ command: SiteCommand) -> Bool {
        switch command {
        case .apply(let shipment):
            guard record.refusal(of: shipment, at: position) == nil else { return false }
            let longer = feed + shipment.entries.flatMap(\.bytes)
            guard SmallSite.hash(longer[...]) == shipment.hash else { return false }
            feed = longer
        case .rewind(let rewind):
            guard record.refusal(of: rewind, at: position) == nil else { return false }
            while feed.count > Int(rewind.revision) { orphans.append(feed.removeLast()) }
            orphans = Array(Set(orphans)).sorted()
        case .acknowledge, .limit, .tick, .dropOrphans, .stage, .meet, .holdForSeed, .seed, .seedStep, .seedEnd,
            .seedClear:
            return true
        default:
            do throws(Refusal) {
                _ = try record.take(command, at: position, own: id, time: 0)
            } catch {
                return false
            }
        }
        return true
    }

    /// A client writes and is told so.
    func writing() -> SmallSite? {
        guard record.isWritable, record.mayAcknowledge(heard: heard) else { return nil }
        var next = self
        let name = UInt8(place * SmallSite.writesMax + used.writes)
        next.used.writes += 1
        next.bases.append(feed)
        next.feed.append(name)
        next.acknowledged |= 1 << UInt32(name)
        next.epochs |= 1 << record.epoch
        if learned > record.epoch { next.fault = "a write in epoch \(record.epoch) after learning of \(learned)" }
        return next
    }

    /// What this site may do by itself, or be told by operators.
    func alone(_ bounds: Bounds) -> [SmallSite] {
        var all: [SmallSite] = []
        func take(_ command: SiteCommand, _ count: (inout Used) -> Void) {
            var next = self
            guard next.apply(command) else { return }
            count(&next.used)
            if next != self { all.append(next) }
        }
        if used.writes < bounds.writes, let next = writing() { all.append(next) }
        if used.forces < bounds.forces { take(.force(seen: record.seen)) { $0.forces += 1 } }
        if used.switchovers < bounds.switchovers {
            take(.freeze(Identifier(UInt64(place), UInt64(used.switchovers)))) { $0.switchovers += 1 }
        }
        if let id = record.switchover?.id { take(.unfreeze(id)) { _ in } }
        if used.restores < bounds.restores, !feed.isEmpty, record.role == .primary {
            var next = self
            next.feed.removeLast()
            next.used.restores += 1
            all.append(next)
        }
        return all
    }

    /// A client tells of an epoch that it has seen elsewhere.
    func told(of epoch: UInt64, by site: SiteID) -> SmallSite {
        var next = self
        next.hear(epoch)
        next.apply(.fence(epoch: epoch, by: site))
        return next
    }

    private mutating func hear(_ epoch: UInt64) {
        heard = max(heard, epoch)
        learned = max(learned, epoch)
    }

    /// A poll arrives: this site afterwards, its answer, and what it has proposed but not applied yet (if it `waits` with that).
    func polled(_ poll: SiteReport, waits: Bool = false) -> (SmallSite, [SmallMessage]) {
        var next = self
        next.hear(poll.seen)
        let relation = relation(of: poll.position)
        let commands = SiteLink.commands(on: poll, at: record, own: report, relation: relation)
        let proposed = next.propose(commands, waits: waits)
        var answer = SiteAnswer(
            report: next.report, asked: poll.position, relation: relation, hash: poll.position.hash,
            grant: next.record.switchover?.grant)
        if relation == .prefix, SiteLink.follows(poll, next.record, next.report) {
            answer.entries = next.feed[Int(poll.position.revision)...].map { FeedEntry(bytes: [$0]) }
            answer.hash = next.position.hash
        }
        return (next, [SmallMessage(to: 1 - place, content: .answer(answer, feed: next.feed))] + proposed)
    }

    /// An answer arrives; with `rejoins` an operator lets the site give up what the other does not have.
    func answered(
        _ answer: SiteAnswer, feed other: [UInt8], rejoins: Bool, waits: Bool = false
    ) -> (SmallSite, [SmallMessage]) {
        var next = self
        next.hear(answer.report.seen)
        var commands = SiteLink.commands(on: answer, at: record, own: report, primaryEndpoints: ["p:1"])
        let common = UInt64(zip(feed, other).prefix { $0 == $1 }.count)
        if rejoins, let rewind = SiteLink.rewind(on: answer, at: record, own: report, common: common) {
            commands.append(rewind)
        }
        let sent = next.propose(commands, waits: waits)
        return (next, sent)
    }

    /// Applies what is proposed, or all but the last: that one waits in the log, or at a leader that was cut off, however long.
    private mutating func propose(_ commands: [SiteCommand], waits: Bool) -> [SmallMessage] {
        for command in waits ? commands.dropLast() : commands[...] { apply(command) }
        guard waits, let last = commands.last else { return [] }
        if case .acknowledge = last { return [] }
        return [SmallMessage(to: place, content: .proposal(last))]
    }
}

/// What is on its way between two small sites.
struct SmallMessage: Hashable {
    enum Content: Hashable {
        case poll(SiteReport)
        /// The feed beside an answer is what hashes of single revisions would tell.
        case answer(SiteAnswer, feed: [UInt8])
        /// Of the site itself.
        case proposal(SiteCommand)
    }

    var to: Int
    var content: Content
}
