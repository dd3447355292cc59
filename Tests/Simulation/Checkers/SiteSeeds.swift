internal import ReplicaCore

/// A standby that is seeded stays what it is, and can be promoted with it, until it is what the primary was at the target, in one step. What is given up leaves
/// nothing behind before a revision is made.
struct SiteSeeds {
    /// Where each site stood when the seed at hand was begun.
    private var from: [SitePosition?] = [nil, nil]
    /// Where it is to arrive.
    private var target: [SitePosition?] = [nil, nil]

    func isSeeding(_ place: Int) -> Bool { from[place] != nil }

    /// A process was the first of its site to apply a group; `arrivals` are the revisions that seeds have ended at in it.
    mutating func applied(
        _ place: Int, _ applier: Applier, arrivals: [UInt64], rows: SimulatedRows, _ states: SiteStates
    ) -> String? {
        let name = TwoSites.name(of: place)
        let (start, goal) = (from[place], target[place])
        from[place] = applier.seed == nil ? nil : start ?? applier.position
        target[place] = applier.seed?.target
        guard applier.seed != nil || start != nil || !arrivals.isEmpty else { return nil }
        if let seed = applier.seed {
            if states.state(at: seed.target.hash) == nil {
                return "site \(name) is seeded with a revision \(seed.target.revision) that no primary had committed"
            }
            if let start, arrivals.isEmpty, applier.position != start {
                return
                    "site \(name), which is being seeded, has gone from revision \(start.revision) to \(applier.position.revision)"
            }
        }
        if let arrived = arrivals.last, let goal, start != nil, goal.revision > arrived {
            return "site \(name) was seeded to revision \(arrived), below its target \(goal.revision)"
        }
        do throws(QueryError) {
            let served = try SiteStates.served(rows, at: applier.readPoint)
            if served != states.state(at: applier.position.hash) {
                return
                    "site \(name) does not serve what revision \(applier.position.revision) is: \(arrivals.isEmpty ? "it is being seeded" : "it was seeded")"
            }
        } catch {
            return "site \(name) cannot be read: \(error)"
        }
        if applier.seed == nil, let left = rows.newestRevision(above: applier.state.revision) {
            return
                "site \(name) is at revision \(applier.state.revision) without a seed, and holds a row of revision \(left)"
        }
        return nil
    }

    /// The site is what it was before.
    mutating func setBack(_ place: Int) { (from[place], target[place]) = (nil, nil) }
}

extension SimulatedRows {
    /// The revision of a version row above a revision, if there is one: `Docs/Reference/DataFormat.md` says how such a row's key ends.
    fileprivate func newestRevision(above revision: UInt64) -> UInt64? {
        for row in all where row.key.first == UInt8(ascii: "k") {
            let found = ~row.key.suffix(8).reduce(0) { $0 << 8 | UInt64($1) }
            if found > revision { return found }
        }
        return nil
    }
}
