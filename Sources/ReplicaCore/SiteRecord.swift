/// Where a feed stands: its latest revision and the chain hash after it, which covers everything before.
package struct SitePosition: Sendable, Hashable {
    package var revision: UInt64
    package var hash: Digest

    package init(revision: UInt64, hash: Digest) {
        self.revision = revision
        self.hash = hash
    }

    /// Before the first revision.
    package static let start = SitePosition(revision: 0, hash: .zero)
}

/// A site's name: the lineage of its cluster, of which no two have the same.
package typealias SiteID = Identifier

/// The other site of a pair, as a site knows it.
package struct SitePeer: Sendable, Hashable {
    package var site: SiteID
    /// `HOST:PORT` of its nodes; any of them will do.
    package var endpoints: [String]

    package init(site: SiteID, endpoints: [String]) {
        self.site = site
        self.endpoints = endpoints
    }
}

/// The leave of a primary to take over from it, at exactly one position.
package struct SiteGrant: Sendable, Hashable {
    package var switchover: Identifier
    /// The site that may use it.
    package var site: SiteID
    /// The epoch that it begins with it.
    package var epoch: UInt64
    /// Where both sites stand.
    package var position: SitePosition

    package init(switchover: Identifier, site: SiteID, epoch: UInt64, position: SitePosition) {
        self.switchover = switchover
        self.site = site
        self.epoch = epoch
        self.position = position
    }
}

/// What a site is and which epoch it belongs to: replicated state of its cluster, changed by `SiteCommand`s alone.
///
/// ```
///          enroll                 grant, or shown a higher epoch
///  alone ─────────▶ primary ─────────────────────────────────────▶ fenced
///    │              ▲     ▲                                        │    ▲
///    │        grant │     │ force                            force │    │ rewind
///    │ follow       │     └────────────────────────────────────────┤    │
///    └───────────▶ standby ◀────────────── follow ─────────────────┘ ───┘
/// ```
/// Invariants:
/// 1. `seen >= epoch`. A site writes, and a standby applies, only while they are equal: nobody goes on in an epoch after it has learned
///    of a higher one.
/// 2. A site that holds a grant given away (`switchover.grant`) is fenced; nothing but `follow` or `force` ends that.
/// 3. Epochs that a site begins by itself all have its parity, and those of its peer the other: two sites of a pair never begin the same.
/// 4. A site becomes a standby only at a position that its primary has in its feed, or had before it gave that part of it up.
package struct SiteRecord: Sendable, Hashable {
    package enum Role: UInt8, Sendable, Hashable {
        /// Belongs to no pair: writes, and answers to nobody.
        case alone = 0
        case primary = 1
        case standby = 2
        /// Was a primary or a standby: takes no writes and follows nobody yet.
        case fenced = 3
    }

    /// A planned change of the primary, at the site that gives its role away: begun by a freeze, decided by a grant.
    package struct Switchover: Sendable, Hashable {
        package var id: Identifier
        /// When the freeze was applied: milliseconds since 1970.
        package var begun: UInt64
        /// Nil while it can still be given up.
        package var grant: SiteGrant?
    }

    /// A leave for one other site to join, used once.
    package struct Enrolment: Sendable, Hashable {
        /// SHA-256 of the token.
        package var token: Digest
        /// Milliseconds since 1970.
        package var expires: UInt64
    }

    /// Where an epoch began.
    package struct Branch: Sendable, Hashable {
        package var epoch: UInt64
        package var position: SitePosition
    }

    package internal(set) var role = Role.alone
    /// The epoch that the role belongs to; 0 while alone.
    package internal(set) var epoch: UInt64 = 0
    /// The highest epoch heard of.
    package internal(set) var seen: UInt64 = 0
    /// The parity of the epochs that this site begins.
    package internal(set) var beginsOddEpochs = true
    /// The history that the feed belongs to: the site that was the first primary. Zero while alone.
    package internal(set) var lineage = Lineage.zero
    package internal(set) var peer: SitePeer?
    package internal(set) var switchover: Switchover?
    package internal(set) var enrolment: Enrolment?
    /// The epochs that this site knows the beginning of, ascending; the newest `Limits.siteBranchesMax`.
    package internal(set) var branches: [Branch] = []
    /// The log index of the last rewind: what was said of revisions at lower indexes was said of a history that is undone. 0 for none.
    package internal(set) var rewoundIndex: UInt64 = 0
    /// How fast chunks cross while this site is the standby.
    package internal(set) var pace = SitePace()
    /// The last drill here; nil if there never was one.
    package internal(set) var lastDrill: SiteDrill?

    package init() {}

    /// Whether clients may write now.
    package var isWritable: Bool {
        switch role {
        case .alone: true
        case .primary: switchover == nil && seen == epoch  // Keeps (1).
        case .standby, .fenced: false
        }
    }

    /// Whether a write that was applied here may still be acknowledged: after the site has learned of a higher epoch, or has given its
    /// role away, the write may be one that the other site does not have.
    package var acknowledges: Bool { role == .alone || role == .primary }

    /// Whether a leader that has heard of epochs through `heard` may acknowledge a write: it stops at once, and not only when the fence that
    /// it proposes has come through the log.
    package func mayAcknowledge(heard: UInt64) -> Bool { role == .alone || (role == .primary && heard <= epoch) }

    /// Whether a write that is proposed now may be answered only after another look at the epochs that were heard of: a standby may be a
    /// primary when the write is applied, and no primary any more when it is to be answered.
    package var guardsAnswers: Bool { role != .alone }

    /// The epoch that this site would begin next by itself.
    package var nextOwnEpoch: UInt64 { SiteRecord.epoch(above: seen, odd: beginsOddEpochs) }

    /// The lowest epoch of a parity above one that is known. Keeps (3).
    static func epoch(above seen: UInt64, odd: Bool) -> UInt64 { seen + ((seen % 2 == 1) == odd ? 2 : 1) }

    /// Why clients may not write now, if so.
    package var refusalOfWrites: Refusal? {
        if isWritable { return nil }
        if role == .primary {
            return Refusal(.unavailable, "this site is handing over to the other; the write was not done, try again")
        }
        let place = peer.map { "; the primary is at \($0.endpoints.joined(separator: ","))" } ?? ""
        let what = role == .standby ? "this site is a standby" : "this site is fenced at epoch \(seen)"
        return Refusal(.fenced, "\(what) and takes no writes\(place)")
    }

    mutating func begin(_ epoch: UInt64, at position: SitePosition) {
        self.epoch = epoch
        seen = max(seen, epoch)
        // Whoever paused the link meant the link of that epoch.
        pace.isPaused = false
        // What was undone since is no part of the history.
        branches.removeAll { $0.epoch >= epoch || $0.position.revision > position.revision }
        branches.append(Branch(epoch: epoch, position: position))
        if branches.count > Limits.siteBranchesMax { branches.removeFirst() }
    }
}
