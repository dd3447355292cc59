/// What changes a site's part in a pair, and what a standby applies: commands of the log like all others, proposed by the leader alone.
package enum SiteCommand: Sendable, Hashable {
    /// Lets one other site join by a token whose SHA-256 this is, until `expires` (milliseconds since 1970). A site alone becomes the
    /// primary of a pair to be.
    case enroll(token: Digest, expires: UInt64)
    /// Uses the token up: this is the other site.
    case admit(token: Digest, SitePeer)
    /// Follow a primary, which has this site's position in its feed.
    case follow(SiteFollow)
    /// Names chunks of a version that the primary has published, so that members may take them.
    case stage(SiteStage)
    /// Revisions of the primary.
    case apply(SiteShipment)
    /// The standby has everything through a position, durably.
    case acknowledge(SiteAcknowledgement)
    /// No more writes: the role is to be handed over.
    case freeze(Identifier)
    /// Gives a switchover up; too late once it is granted.
    case unfreeze(Identifier)
    /// Gives the role to the peer, which stands exactly here. There is no way back but `force`.
    case grant(switchover: Identifier, to: SitePosition)
    /// Take over with the primary's leave.
    case promote(SiteGrant)
    /// Take over without it, above all epochs that were heard of; nothing happens if meanwhile others were.
    case force(seen: UInt64)
    /// There is an epoch as high as this, begun by a site.
    case fence(epoch: UInt64, by: SiteID)
    /// Undo the newest revisions, down to one, and keep what they did as orphans.
    case rewind(SiteRewind)
    /// Where the peer's nodes are now.
    case meet(SitePeer)
    /// What the feed may keep for a standby that does not keep up.
    case limit(SiteCaps)
    /// Time has passed: the caps are looked at.
    case tick
    /// Forget the orphans of one rewind.
    case dropOrphans(rewind: UInt64)
    /// How fast chunks may cross, and whether anything may.
    case pace(SitePace)
    /// What came of a drill.
    case drilled(SiteDrill)
    /// Keep history as of now, and the feed from here on, for the standby of an epoch, which is to be seeded.
    case holdForSeed(site: SiteID, epoch: UInt64)
    /// Become what the primary was at a revision, in steps, or at a later one than before.
    case seed(SeedHead)
    /// Ranges of keys become what the primary holds of them.
    case seedStep(SeedStep)
    /// All ranges are: the site is at the seed's revision.
    case seedEnd(revision: UInt64)
    /// Remove what a seed that was given up has staged in a range of rows.
    case seedClear(from: Bytes, below: Bytes)
}

/// Whom to follow, and from where.
package struct SiteFollow: Sendable, Hashable {
    package var primary: SitePeer
    package var lineage: Lineage
    package var epoch: UInt64
    /// Where this site stands; the primary has it in its feed, or had.
    package var position: SitePosition
    /// Where the epochs of the primary's feed began, as it knows them.
    package var branches: [SiteRecord.Branch]

    package init(
        primary: SitePeer, lineage: Lineage, epoch: UInt64, position: SitePosition, branches: [SiteRecord.Branch] = []
    ) {
        self.primary = primary
        self.lineage = lineage
        self.epoch = epoch
        self.position = position
        self.branches = branches
    }
}

/// Chunks of an upload of the primary at ordinals `first`…, under the ID and number that it has there: the version's row names both.
package struct SiteStage: Sendable, Hashable {
    package var upload: UploadID
    package var number: UInt64
    package var name: String
    package var version: String
    package var first: UInt64
    package var ids: [ChunkID]

    package init(upload: UploadID, number: UInt64, name: String, version: String, first: UInt64, ids: [ChunkID]) {
        self.upload = upload
        self.number = number
        self.name = name
        self.version = version
        self.first = first
        self.ids = ids
    }
}

/// Whole revisions of the primary that follow each other.
package struct SiteShipment: Sendable, Hashable {
    package var epoch: UInt64
    /// Where the standby stands before it.
    package var after: SitePosition
    /// One for each revision, in order.
    package var entries: [FeedEntry]
    /// The chain hash after the last one.
    package var hash: Digest
    /// Nodes that hold every chunk of every version that the entries publish.
    package var durableOn: [Publication.Receipt]
    /// How far the primary has given up its history, and its feed.
    package var compactRevision: UInt64
    package var feedFloor: UInt64

    package init(
        epoch: UInt64, after: SitePosition, entries: [FeedEntry], hash: Digest,
        durableOn: [Publication.Receipt] = [], compactRevision: UInt64 = 0, feedFloor: UInt64 = 0
    ) {
        self.epoch = epoch
        self.after = after
        self.entries = entries
        self.hash = hash
        self.durableOn = durableOn
        self.compactRevision = compactRevision
        self.feedFloor = feedFloor
    }
}

/// A standby's word on how far it is.
package struct SiteAcknowledgement: Sendable, Hashable {
    package var site: SiteID
    package var epoch: UInt64
    package var position: SitePosition

    package init(site: SiteID, epoch: UInt64, position: SitePosition) {
        self.site = site
        self.epoch = epoch
        self.position = position
    }
}

/// A step of a rewind.
package struct SiteRewind: Sendable, Hashable {
    /// Where the site stands before it.
    package var from: SitePosition
    /// The revision to arrive at; below `from`.
    package var revision: UInt64

    package init(from: SitePosition, revision: UInt64) {
        self.from = from
        self.revision = revision
    }
}

/// What a primary keeps of its feed for a standby that does not keep up; the first cap that is passed ends it.
package struct SiteCaps: Sendable, Hashable {
    package var bytes: UInt64
    package var milliseconds: UInt64

    package init(bytes: UInt64, milliseconds: UInt64) {
        self.bytes = bytes
        self.milliseconds = milliseconds
    }

    /// 16 GiB, and a week.
    package static let initial = SiteCaps(bytes: 16 << 30, milliseconds: 7 * 24 * 3_600 * 1_000)
}

extension Command {
    /// Whether this changes what the feed is about, or is on its way to it: what only a site that writes may do.
    package var isWrite: Bool {
        switch self {
        case .put, .delete, .transaction, .compact, .uploadBegin, .uploadAdd, .uploadAbort, .publish, .retire: true
        case .openSession, .closeSession, .lineage, .uploadExpire, .complete, .raiseFeatures, .site: false
        }
    }
}
