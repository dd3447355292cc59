// What the commands do to a site's record. Whether a command fits is decided here alone, by what is replicated: the same on every node.
extension SiteRecord {
    /// What a transition asks of the rest of the store.
    enum Consequence {
        case nothing
        /// Client sessions and open uploads end: they do not cross sites.
        case endSessionsAndUploads
        /// As above, and what this site counts begins anew: nothing that it numbers in this epoch is a number of another epoch.
        case beginEpoch
    }

    /// Carries out a command that changes nothing but the record, at `position`; `own` is this site, `time` in milliseconds since 1970.
    mutating func take(
        _ command: SiteCommand, at position: SitePosition, own: SiteID, time: UInt64
    ) throws(Refusal) -> Consequence {
        switch command {
        case .enroll(let token, let expires): try enroll(token, expires, own, position)
        case .admit(let token, let peer): try admit(token, peer, own, time)
        case .follow(let follow): return try self.follow(follow, at: position, own: own)
        case .freeze(let id): try freeze(id, time)
        case .unfreeze(let id): try unfreeze(id)
        case .grant(let id, let to): try grant(id, to, position)
        case .promote(let grant): return try promote(grant, at: position, own: own)
        case .force(let seen): return try force(seen: seen, at: position)
        case .fence(let epoch, let site): fence(epoch, site, own)
        case .meet(let peer): try meet(peer)
        case .pace(let pace): try self.pace(pace)
        case .drilled(let drill): lastDrill = drill
        case .stage, .apply, .acknowledge, .rewind, .limit, .tick, .dropOrphans, .holdForSeed, .seed, .seedStep,
            .seedEnd, .seedClear:
            preconditionFailure("not a command that changes the record alone")
        }
        return .nothing
    }

    private mutating func enroll(
        _ token: Digest, _ expires: UInt64, _ own: SiteID, _ position: SitePosition
    ) throws(Refusal) {
        switch role {
        case .alone:
            role = .primary
            lineage = own
            beginsOddEpochs = true
            begin(1, at: position)
        case .primary:
            guard isWritable else { throw Refusal(.unavailable, "a switchover is under way; enroll when it is over") }
        case .standby, .fenced:
            throw Refusal(.preconditionFailed, "only a primary enrolls another site, and this one is \(role)")
        }
        enrolment = Enrolment(token: token, expires: expires)
    }

    private mutating func admit(
        _ token: Digest, _ peer: SitePeer, _ own: SiteID, _ time: UInt64
    ) throws(Refusal) {
        guard role == .primary, isWritable else {
            throw refusalOfWrites ?? Refusal(.preconditionFailed, "this site enrolls nobody")
        }
        // A repeated request: the answer to the first one was lost.
        if enrolment == nil, self.peer == peer { return }
        guard let enrolment, enrolment.token == token else {
            throw Refusal(.permissionDenied, "the token is not that of an enrolment, or was used; enroll again")
        }
        guard time <= enrolment.expires else {
            throw Refusal(.permissionDenied, "the token has expired; enroll again")
        }
        guard peer.site != own, peer.site != .zero else {
            throw Refusal(.invalidArgument, "a site cannot follow itself")
        }
        self.enrolment = nil
        self.peer = peer
    }

    private mutating func follow(
        _ follow: SiteFollow, at position: SitePosition, own: SiteID
    ) throws(Refusal) -> Consequence {
        if role == .standby, epoch == follow.epoch, peer?.site == follow.primary.site { return .nothing }
        guard role != .primary else {
            throw Refusal(.preconditionFailed, "this site is a primary; it follows nobody while it is")
        }
        guard follow.primary.site != own else { throw Refusal(.invalidArgument, "a site cannot follow itself") }
        // Keeps (1): a primary of an epoch that is over is none.
        guard follow.epoch > epoch, follow.epoch >= seen else {
            throw Refusal(.preconditionFailed, "epoch \(follow.epoch) is over: \(seen) was heard of")
        }
        // Keeps (4).
        guard follow.position == position else {
            throw Refusal(.preconditionFailed, "this site is no longer at revision \(follow.position.revision)")
        }
        let isOdd = follow.epoch % 2 == 1
        if role == .alone {
            guard position == .start else {
                throw Refusal(
                    .preconditionFailed,
                    "this cluster has \(position.revision) revisions of its own; follow with a new one")
            }
            beginsOddEpochs = !isOdd
        } else {
            guard follow.lineage == lineage else {
                throw Refusal(.incompatible, "the primary's lineage is \(follow.lineage), and this site's \(lineage)")
            }
            // Keeps (3).
            guard isOdd != beginsOddEpochs else {
                throw Refusal(
                    .preconditionFailed, "epoch \(follow.epoch) is one that this site alone can begin: a clone")
            }
        }
        role = .standby
        lineage = follow.lineage
        peer = follow.primary
        switchover = nil
        enrolment = nil
        begin(follow.epoch, at: position)
        // The history is the primary's from here on.
        if !follow.branches.isEmpty { branches = Array(follow.branches.suffix(Limits.siteBranchesMax)) }
        return .endSessionsAndUploads
    }

    private mutating func freeze(_ id: Identifier, _ time: UInt64) throws(Refusal) {
        guard role == .primary, seen == epoch else {
            throw Refusal(.preconditionFailed, "this site is no primary; switch over from the one that is")
        }
        guard peer != nil else { throw Refusal(.preconditionFailed, "no other site was enrolled") }
        if let switchover {
            guard switchover.id == id else { throw Refusal(.alreadyExists, "another switchover is under way") }
            return
        }
        switchover = Switchover(id: id, begun: time, grant: nil)
    }

    private mutating func unfreeze(_ id: Identifier) throws(Refusal) {
        guard let switchover, switchover.id == id else { return }
        // Keeps (2).
        guard role == .primary, switchover.grant == nil else {
            throw Refusal(.preconditionFailed, "the role is granted already; there is no way back but 'site promote'")
        }
        self.switchover = nil
    }

    private mutating func grant(
        _ id: Identifier, _ to: SitePosition, _ position: SitePosition
    ) throws(Refusal) {
        guard role == .primary, seen == epoch, var switchover, switchover.id == id, let peer else {
            throw Refusal(.preconditionFailed, "no such switchover is under way")
        }
        guard to == position else {
            throw Refusal(
                .preconditionFailed, "the standby is at revision \(to.revision), and this site at \(position.revision)")
        }
        let epoch = SiteRecord.epoch(above: seen, odd: !beginsOddEpochs)
        switchover.grant = SiteGrant(switchover: id, site: peer.site, epoch: epoch, position: position)
        self.switchover = switchover
        role = .fenced
        seen = epoch
    }

    private mutating func promote(
        _ grant: SiteGrant, at position: SitePosition, own: SiteID
    ) throws(Refusal) -> Consequence {
        if role == .primary, epoch == grant.epoch { return .nothing }
        guard role == .standby, grant.site == own else {
            throw Refusal(.preconditionFailed, "the grant is not for this site as it is")
        }
        guard grant.epoch > epoch, grant.epoch >= seen, (grant.epoch % 2 == 1) == beginsOddEpochs else {
            throw Refusal(.preconditionFailed, "epoch \(grant.epoch) is over: \(seen) was heard of")
        }
        guard grant.position == position else {
            throw Refusal(
                .preconditionFailed,
                "the grant is for revision \(grant.position.revision), and this site is at \(position.revision)")
        }
        return try beginPrimary(grant.epoch, at: position)
    }

    private mutating func force(seen: UInt64, at position: SitePosition) throws(Refusal) -> Consequence {
        guard role == .standby || role == .fenced else {
            throw Refusal(.preconditionFailed, "this site is \(role); only a standby or a fenced site is promoted")
        }
        guard seen == self.seen else {
            throw Refusal(.preconditionFailed, "epoch \(self.seen) was heard of meanwhile; look again")
        }
        return try beginPrimary(nextOwnEpoch, at: position)
    }

    private mutating func beginPrimary(_ epoch: UInt64, at position: SitePosition) throws(Refusal) -> Consequence {
        guard epoch <= Limits.siteEpochMax else {
            throw Refusal(.resourceExhausted, "epoch \(epoch) is above \(Limits.siteEpochMax)")
        }
        role = .primary
        switchover = nil
        begin(epoch, at: position)
        return .beginEpoch
    }

    /// Learns of an epoch; never fails. Keeps (1).
    private mutating func fence(_ epoch: UInt64, _ site: SiteID, _ own: SiteID) {
        let isConflict = role == .primary && epoch == self.epoch && site != own
        if epoch > seen { seen = epoch }
        guard role == .primary, seen > self.epoch || isConflict else { return }
        role = .fenced
        switchover = nil
    }

    private mutating func meet(_ peer: SitePeer) throws(Refusal) {
        guard self.peer?.site == peer.site else { throw Refusal(.preconditionFailed, "that site is not the peer") }
        self.peer = peer
    }

    private mutating func pace(_ pace: SitePace) throws(Refusal) {
        guard role != .alone else { throw Refusal(.preconditionFailed, "this cluster belongs to no pair of sites") }
        // The standby pulls, and it alone can let go.
        if pace.isPaused, role != .standby {
            // The other one of a fenced site may be the primary.
            let place = role == .primary ? peer.map { " at \($0.endpoints.joined(separator: ","))" } ?? "" : ""
            throw Refusal(
                .preconditionFailed, "this site is \(role), and the standby is who pulls; pause the link there\(place)")
        }
        self.pace = pace
    }

    // MARK: What a standby applies

    /// Why revisions cannot be applied here now, if so. Keeps (1) and the prefix: only what follows directly, of the primary's epoch.
    func refusal(of shipment: SiteShipment, at position: SitePosition) -> Refusal? {
        guard role == .standby else {
            return Refusal(.preconditionFailed, "this site is \(role), and only a standby applies what is shipped")
        }
        guard shipment.epoch == epoch, seen == epoch else {
            return Refusal(
                .fenced, "revisions of epoch \(shipment.epoch) at a standby of \(epoch) that heard of \(seen)")
        }
        guard shipment.after == position else {
            return Refusal(
                .preconditionFailed,
                "revisions after \(shipment.after.revision) at a standby at \(position.revision)")
        }
        return nil
    }

    /// Why the newest revisions cannot be undone now, if so.
    func refusal(of rewind: SiteRewind, at position: SitePosition) -> Refusal? {
        guard role == .standby || role == .fenced else {
            return Refusal(.preconditionFailed, "this site is \(role), and only a fenced site or a standby is rewound")
        }
        guard rewind.from == position, rewind.revision < position.revision else {
            return Refusal(
                .preconditionFailed, "a rewind from \(rewind.from.revision) at a site at \(position.revision)")
        }
        return nil
    }
}
