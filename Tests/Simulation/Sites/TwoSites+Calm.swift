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

    /// Whether the feed of the primary no longer reaches back to what the two agree on, and rightly so: what was kept for the other was capped, or is
    /// gone with a disk that was set back. Only another seed could help then.
    private func isBeyondFollowing(_ first: Applier, _ second: Applier) -> Bool {
        guard checks.prefix.wasSetBack || wasCapped,
            let primary = [first, second].first(where: { $0.site.role == .primary }),
            let other = [first, second].first(where: { $0.site.role != .primary })
        else { return false }
        return checks.prefix.common < max(primary.state.feedFloor, other.state.feedFloor)
    }

    /// Why the sites are not at rest; nil if they are.
    private func objection() -> String? {
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
        if first.position != second.position {
            return "site A is at revision \(first.position.revision), site B at \(second.position.revision)"
        }
        return nil
    }
}
