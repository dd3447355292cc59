internal import RaftCore
internal import ReplicaCore

/// Every replica has the same configuration after an index, each follows from the one before by a step that keeps their quorums overlapping, and no node ID
/// comes back.
struct Configurations {
    private var outcomes: [LogIndex: ConfigurationOutcome] = [:]
    private var last: LogIndex = 0
    private var retired: Set<NodeID> = []
    /// The configuration of the highest index that anybody applied; nil while it is the first.
    private(set) var newest: Members?

    /// A replica applied a configuration entry.
    mutating func applied(_ node: NodeID, _ outcome: ConfigurationOutcome) -> String? {
        if let first = outcomes[outcome.index] {
            let isSame = first.members == outcome.members && (first.refusal == nil) == (outcome.refusal == nil)
            return isSame ? nil : "node \(node) has another configuration at \(outcome.index) than others"
        }
        outcomes[outcome.index] = outcome
        guard outcome.index > last else { return nil }
        last = outcome.index
        defer { newest = outcome.members }
        guard let old = newest else { return nil }
        for member in old.everyone where !outcome.members.contains(member) { retired.insert(member) }
        for member in outcome.members.everyone where retired.contains(member) {
            return "node \(member) was removed and comes back at \(outcome.index)"
        }
        return overlap(old, outcome.members)
            ? nil : "the configuration at \(outcome.index) shares no quorum with the one before"
    }

    /// Any two quorums meet: at most one voter differs, or one of the two holds the other as a half.
    private func overlap(_ old: Members, _ new: Members) -> Bool {
        if old.isJoint || new.isJoint {
            return new.voters == old.voters || new.outgoingVoters == old.voters
        }
        let gone = old.voters.filter { !new.voters.contains($0) }.count
        let come = new.voters.filter { !old.voters.contains($0) }.count
        return gone + come <= 1
    }
}
