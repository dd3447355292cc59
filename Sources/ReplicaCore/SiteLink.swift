/// What a site says of itself to the other one, and to whoever asks.
package struct SiteReport: Sendable, Hashable {
    package var site: SiteID
    package var role: SiteRecord.Role
    package var epoch: UInt64
    package var seen: UInt64
    package var lineage: Lineage
    package var position: SitePosition

    package init(
        site: SiteID, role: SiteRecord.Role, epoch: UInt64, seen: UInt64, lineage: Lineage, position: SitePosition
    ) {
        self.site = site
        self.role = role
        self.epoch = epoch
        self.seen = seen
        self.lineage = lineage
        self.position = position
    }
}

/// The answer to a poll: the other site's report, and what it has for the one that asked.
package struct SiteAnswer: Sendable, Hashable {
    package var report: SiteReport
    /// The position that the poll told: what follows is about it.
    package var asked: SitePosition
    /// How that position stands to the feed here.
    package var relation: SiteFeed.Relation
    /// Revisions behind it, if the one that asked follows this site, and may be shipped to.
    package var entries: [FeedEntry]
    /// The chain hash after the last entry; that of `asked` without one.
    package var hash: Digest
    package var compactRevision: UInt64
    package var feedFloor: UInt64
    package var grant: SiteGrant?
    /// Where the epochs of the feed here began.
    package var branches: [SiteRecord.Branch]

    package init(
        report: SiteReport, asked: SitePosition, relation: SiteFeed.Relation, entries: [FeedEntry] = [], hash: Digest,
        compactRevision: UInt64 = 0, feedFloor: UInt64 = 0, grant: SiteGrant? = nil,
        branches: [SiteRecord.Branch] = []
    ) {
        self.report = report
        self.asked = asked
        self.relation = relation
        self.entries = entries
        self.hash = hash
        self.compactRevision = compactRevision
        self.feedFloor = feedFloor
        self.grant = grant
        self.branches = branches
    }

    /// How far the site that asked and the one that answers share their history, by where their epochs began; nil if that does not say.
    package func common(with record: SiteRecord) -> SiteRecord.Common? {
        SiteRecord.common(record.branches, through: asked.revision, branches, through: report.position.revision)
    }

    /// Whether everything of the site that asked is in the feed here, or was before it was given up.
    package func holds(all record: SiteRecord) -> Bool {
        switch relation {
        case .prefix: true
        case .diverged: false
        case .belowFloor: common(with: record)?.revision == asked.revision
        }
    }
}

/// The rules of the link: what a site's leader proposes when it hears from the other site. Every site of a pair polls the other, whatever
/// its role, and a poll and its answer are all that they say to each other: the rest follows from them.
///
/// ```
///  standby                                     primary
///     │── poll{report: where I stand} ───────────▶│ acknowledge; frozen and the standby stands here: grant
///     │◀── answer{report, entries, grant?} ───────│
///     │ apply, promote
///  fenced                                      primary of a higher epoch
///     │── poll ──────────────────────────────────▶│
///     │◀── answer{relation: prefix} ──────────────│
///     │ follow: nothing was lost; where it says `diverged`, `site rejoin` rewinds first
///  standby                                     primary whose feed begins above it
///     │── poll ──────────────────────────────────▶│
///     │◀── answer{relation: belowFloor} ──────────│
///     │ seed: see `SeedRecord`
/// ```
/// Messages may be lost, late and repeated: a proposal says at which position and epoch it was meant, and apply compares.
package enum SiteLink {
    /// What to propose at a poll of another site. `relation` is how the poll's position stands to the feed here.
    package static func commands(
        on poll: SiteReport, at record: SiteRecord, own: SiteReport, relation: SiteFeed.Relation
    ) -> [SiteCommand] {
        var commands = learned(from: poll, record, own)
        guard commands.isEmpty, follows(poll, record, own), relation == .prefix else { return commands }
        commands.append(
            .acknowledge(SiteAcknowledgement(site: poll.site, epoch: poll.epoch, position: poll.position)))
        if record.role == .primary, let switchover = record.switchover, switchover.grant == nil,
            poll.position == own.position
        {
            commands.append(.grant(switchover: switchover.id, to: poll.position))
        }
        return commands
    }

    /// Whether the one that polls may be shipped to: the standby of this site, in the epoch whose feed this site has.
    package static func follows(_ poll: SiteReport, _ record: SiteRecord, _ own: SiteReport) -> Bool {
        poll.role == .standby && poll.epoch == record.epoch && poll.site == record.peer?.site
            && record.role == .primary && record.seen == record.epoch
    }

    /// What to propose at an answer. Revisions that publish a version wait until its chunks are on a quorum here: `durableOn` then
    /// names it.
    package static func commands(
        on answer: SiteAnswer, at record: SiteRecord, own: SiteReport, primaryEndpoints: [String]
    ) -> [SiteCommand] {
        let other = answer.report
        var commands = learned(from: other, record, own)
        if let grant = answer.grant, record.role == .standby, grant.site == own.site, grant.position == own.position {
            return commands + [.promote(grant)]
        }
        guard other.role == .primary, other.seen == other.epoch, answer.asked == own.position else { return commands }
        if other.epoch > record.epoch, record.role == .standby || record.role == .fenced || record.role == .alone,
            answer.holds(all: record)
        {
            commands.append(
                .follow(
                    SiteFollow(
                        primary: SitePeer(site: other.site, endpoints: primaryEndpoints), lineage: other.lineage,
                        epoch: other.epoch, position: answer.asked, branches: answer.branches)))
        }
        if record.role == .standby, other.epoch == record.epoch, record.peer?.site == other.site,
            !answer.entries.isEmpty
        {
            commands.append(
                .apply(
                    SiteShipment(
                        epoch: other.epoch, after: answer.asked, entries: answer.entries, hash: answer.hash,
                        compactRevision: answer.compactRevision, feedFloor: answer.feedFloor)))
        }
        return commands
    }

    /// What `site rejoin` proposes where this site has revisions that the primary of a later epoch does not: they become orphans, down to
    /// `common`, the highest revision after which both have the same hash. A step at a time, until the primary says `prefix`.
    package static func rewind(
        on answer: SiteAnswer, at record: SiteRecord, own: SiteReport, common: UInt64
    ) -> SiteCommand? {
        let other = answer.report
        guard other.role == .primary, other.seen == other.epoch, other.lineage == record.lineage,
            other.epoch >= record.seen, other.epoch > record.epoch || record.role == .standby,
            answer.asked == own.position, answer.relation != .prefix, common < own.position.revision
        else { return nil }
        return .rewind(SiteRewind(from: own.position, revision: common))
    }

    /// Whether an answer bounds what may be lost at the standby that asked: only the primary of its very epoch, whose feed it is in, says so.
    package static func bounds(_ answer: SiteAnswer, at record: SiteRecord) -> Bool {
        let other = answer.report
        return record.role == .standby && other.role == .primary && other.epoch == record.epoch
            && other.seen == other.epoch && answer.relation == .prefix
    }

    /// A site that hears of a higher epoch, or of a primary of its own, takes note before anything else.
    private static func learned(from other: SiteReport, _ record: SiteRecord, _ own: SiteReport) -> [SiteCommand] {
        guard record.role != .alone, other.lineage == record.lineage else { return [] }
        if other.seen > record.seen { return [.fence(epoch: other.seen, by: other.site)] }
        if other.role == .primary, record.role == .primary, other.epoch == record.epoch, other.site != own.site {
            return [.fence(epoch: other.epoch, by: other.site)]
        }
        return []
    }
}
