internal import RaftCore
internal import ReplicaCore

// Phase two: everything is healed, and the two sites must come to agree.
extension TwoSites {
    func calmDown() {
        note { "CALM after \(self.faults) faults" }
        isCalm = true
        calmSince = now
        link = Link()
        for world in worlds { world.heal() }
        for number in customers.indices { worlds[0].schedule(.wake(number), after: dice.between(1, 100_000)) }
        schedule(.verdict, after: 3_000_000)
    }

    /// Looks whether the sites have come to rest; in the end they must have.
    func judge() {
        guard let objection = objection() else {
            report(checks.acknowledgements.lost(checks.prefix))
            note { "REST: both sites agree" }
            return end()
        }
        guard now < calmSince + climate.calmLength else { return fail("no progress: \(objection)") }
        schedule(.verdict, after: 500_000)
    }

    /// Whether nothing brings the two together any more, and rightly so: what the other one has alone lies below its own feed, or disks were set back and it
    /// is no prefix of the primary that could be seeded.
    private func isBeyondFollowing(_ first: Applier, _ second: Applier) -> Bool {
        guard let primary = [first, second].first(where: { $0.site.role == .primary }),
            let other = [first, second].first(where: { $0.site.role != .primary })
        else { return false }
        // Rows are staged of revisions that the primary has lost with its disks: older ones are not taken in their place.
        if other.seed != nil, checks.prefix.wasSetBack { return true }
        guard checks.prefix.common < other.state.revision else { return false }
        let common = checks.prefix.common
        return common < other.state.feedFloor || checks.prefix.wasSetBack && common < primary.state.feedFloor
    }

    /// Why the sites are not at rest; nil if they are.
    private func objection() -> String? {
        // A standby that asks for a seed again and again, and is refused, keeps its primary from coming to rest.
        if checks.prefix.wasSetBack, now > calmSince + climate.calmLength / 2, let first = leader(of: 0)?.applier,
            let second = leader(of: 1)?.applier, isBeyondFollowing(first, second)
        {
            tally.beyondFollowing = 1
            return nil
        }
        for (place, world) in worlds.enumerated() {
            if let objection = world.objection { return "site \(Self.name(of: place)): \(objection)" }
        }
        guard let first = leader(of: 0)?.applier, let second = leader(of: 1)?.applier else {
            return "a site has no leader"
        }
        let roles = [first.site.role, second.site.role]
        if isBeyondFollowing(first, second) {
            tally.beyondFollowing = 1
            return nil
        }
        guard roles == [.primary, .standby] || roles == [.standby, .primary] else {
            return "the sites are \(roles[0]) and \(roles[1])"
        }
        if first.site.epoch != second.site.epoch { return "epochs \(first.site.epoch) and \(second.site.epoch)" }
        if first.site.switchover != nil || second.site.switchover != nil { return "a switchover is under way" }
        if first.seed != nil || second.seed != nil { return "a site is being seeded" }
        if first.position != second.position {
            return "site A is at revision \(first.position.revision), site B at \(second.position.revision)"
        }
        return nil
    }
}
