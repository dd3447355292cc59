internal import RaftCore
internal import ReplicaCore

// Phase two: everything is healed, and the cluster must come to rest in one state, with every request answered.
extension World {
    /// Events, and kinds of fault, that a world has at least.
    package static let eventsMin = 10_000
    package static let kindsMin = 3

    func calmDown() {
        guard events >= Self.eventsMin, kindsSeen.nonzeroBitCount >= Self.kindsMin || faultsMax < .max else {
            return schedule(.calm, after: 2_000_000)
        }
        heal()
        schedule(.operate, after: 1_000_000)
        schedule(.verdict, after: 2_000_000)
        for number in customers.indices { schedule(.wake(number), after: dice.between(1, 100_000)) }
    }

    /// Ends every fault and lets every node run.
    func heal() {
        calmSince = now
        note { "CALM after \(self.faults) faults" }
        isCalm = true
        network.mend()
        network.lossPerMille = 0
        network.duplicationPerMille = 0
        network.extraDelay = 0
        for node in nodes {
            node.stalledUntil = 0
            node.disk.isFull = false
            node.disk.callsUntilFailure = nil
            node.pausedUntil = min(node.pausedUntil, now)
            node.tickScale = 1000
            if !node.isRunning, !node.isGone, !node.isSetBack {
                schedule(.start(node.id, node.life), after: dice.between(1, 500_000))
            }
        }
    }

    /// Looks whether the world has come to rest; in the end it must have.
    func judge() {
        let objection = objection
        guard let objection else {
            note { "REST: all members agree" }
            return end()
        }
        guard now < calmSince + climate.calmLength else { return fail("no progress: \(objection)") }
        schedule(.verdict, after: 500_000)
    }

    /// Why the world is not at rest; nil if it is.
    var objection: String? {
        for (number, customer) in customers.enumerated() where !customer.isIdle {
            return "customer \(number) waits: \(customer.wish)"
        }
        let members = newestMembers
        if members.isJoint { return "the configuration is joint" }
        if let gone = members.everyone.first(where: { node($0).isGone }) { return "node \(gone) is lost and a member" }
        if !members.learners.isEmpty { return "nodes \(members.learners) are learners" }
        var processes: [Process] = []
        for member in members.everyone {
            guard let process = node(member).process else { return "node \(member) is not running" }
            processes.append(process)
        }
        guard let leader = processes.first(where: { $0.raft.role == .leader }) else { return "nobody leads" }
        let last = leader.raft.lastIndex
        for process in processes {
            if process.raft.withholdsVotes { return "node \(process.id) has no vote" }
            if process.appliedIndex < last {
                return "node \(process.id) has applied \(process.appliedIndex) of \(last)"
            }
            if process.stateHash != leader.stateHash { return "the states of \(process.id) and \(leader.id) differ" }
            if !process.rows.hasSameAnswers(as: leader.rows) {
                return "the rows of nodes \(process.id) and \(leader.id) differ"
            }
            for model in process.models() where !model.record.isRetired {
                for chunk in process.list(model.record.upload, model.record.uploadNumber, from: 0, limit: .max)
                where !node(process.id).chunks.holds(chunk.id) {
                    return "node \(process.id) lacks chunk \(chunk.id.word3) of \(model.name)@\(model.version)"
                }
            }
        }
        return checks.committed.last == last ? nil : "of \(last) entries \(checks.committed.last) are committed"
    }
}

extension SimulatedRows {
    /// Whether every row that both must have is the same; sweeps may have come further on one of them.
    func hasSameAnswers(as other: SimulatedRows) -> Bool { stateHash == other.stateHash }
}
