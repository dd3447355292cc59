/// A cluster's part in a pair of sites, as its leader knows it.
public struct SiteStatus: Sendable, Equatable {
    /// What a site is.
    public enum Role: String, Sendable, CaseIterable {
        /// Belongs to no pair.
        case alone
        /// Takes writes; the other site follows.
        case primary
        /// Follows, and takes no writes.
        case standby
        /// Was a primary, and neither writes nor follows.
        case fenced
    }

    /// How the other site is reached.
    public enum Link: String, Sendable, CaseIterable {
        /// There is no other site.
        case none
        /// The last poll was answered.
        case connected
        /// The last poll was answered, and an operator has paused the link.
        case paused
        /// It does not answer.
        case unreachable
        /// The two have different histories: `rejoin` is needed.
        case diverged
        /// The primary's feed no longer reaches back to where this site is.
        case reseedRequired
        /// Because of that, this site is being brought to what the primary is: until that is over it stays what it was.
        case seeding
    }

    /// How far a seed is.
    public struct Seeding: Sendable, Equatable {
        /// The primary's revision that this site arrives at.
        public var revision: Revision
        /// Rows written so far.
        public var rows: UInt64
        /// Their bytes.
        public var bytes: UInt64
        /// Ranges of keys that are the same on both sites.
        public var sameRanges: UInt64
        /// Ranges of keys that differed.
        public var changedRanges: UInt64
    }

    /// What this site is.
    public var role: Role
    /// The epoch that the role belongs to; 0 while alone.
    public var epoch: UInt64
    /// 32 hex digits; empty while alone.
    public var lineage: String
    /// How the other site is reached.
    public var link: Link
    /// The latest revision here.
    public var revision: Revision
    /// As the other site said last; nil if it never did.
    public var peerRevision: Revision?
    /// Revisions that the standby lacks, as far as is known.
    public var missingEntries: UInt64?
    /// About so many bytes of the feed, chunks not counted; nil where the primary keeps nothing for the standby any more.
    public var missingBytes: UInt64?
    /// On a standby: what may be lost if the primary went now, in time; nil if that is not known.
    public var recoveryPointSeconds: Double?
    /// On a primary: bytes that may be written before a standby that does not move must be seeded anew; nil if nothing is kept for it.
    public var retentionHeadroomBytes: UInt64?
    /// On a standby whose primary's feed does not reach back to it: what it is being brought to; nil otherwise.
    public var seeding: Seeding?
    /// Where the other site is, `HOST:PORT` each.
    public var peer: [String]
    /// A switchover is under way here.
    public var isFrozen: Bool
    /// The highest epoch heard of.
    public var epochSeen: UInt64 = 0
    /// The last drill here; nil if there never was one.
    public var lastDrill: SiteDrillResult?
    /// How fast chunks cross while this site is the standby.
    public var pace = LinkPace()
    /// What of it is in force now, in bytes a second; nil for as fast as it goes.
    public var rateBytesPerSecond: UInt64?

    /// What keeps an isolated primary from writing.
    public var fencing: String { "epochs: an isolated primary learns of another only when it hears of it" }
}
