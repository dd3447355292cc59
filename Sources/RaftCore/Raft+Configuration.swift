// Membership changes (thesis §4): one at a time, checked when proposed, in force when applied.
extension Raft {
    /// Why a configuration change may not enter the log now; nil if it may.
    ///
    /// The check is made against the configuration in force, which is not yet that of the log's end; what passes may
    /// still not fit when it is applied.
    func objection(to entry: Entry) -> Refusal? {
        guard let change = ConfigurationChange(entry) else {
            return .invalidConfiguration(.inconsistent("unreadable configuration change"))
        }
        guard !configuration.skipsConfigurationChecks else { return nil }
        if pendingConfigurationIndex > log.applied { return .configurationPending(at: pendingConfigurationIndex) }
        if members.isJoint && !change.steps.isEmpty { return .mustLeaveJoint }
        if !members.isJoint && change.steps.isEmpty { return .notJoint }
        return nil
    }

    /// Puts an applied change in force.
    mutating func apply(_ change: ConfigurationChange) throws(ConfigurationError) -> ConfState {
        switchMembers(to: try members.changed(by: change, lastIndex: log.lastIndex))
        return confState
    }

    /// Takes the configuration of a start or a snapshot.
    mutating func restoreMembers(_ state: ConfState) {
        do {
            switchMembers(to: try members.restored(state, lastIndex: log.lastIndex))
        } catch {
            preconditionFailure("the stored configuration \(state) is invalid: \(error)")
        }
    }

    private mutating func switchMembers(to new: Membership) {
        members = new
        guard role == .leader else { return }
        guard let place = members.place(of: id), !members.progress[place].isLearner else {
            if configuration.stepsDownOnRemoval { becomeFollower(term: term, leader: noNode) }
            return
        }
        guard !members.voters.isEmpty else { return }
        if advanceCommit() {
            // A smaller quorum may hold more.
            broadcastAppend()
        } else {
            // New members need not wait for a heartbeat.
            for place in members.progress.indices where members.progress[place].id != id {
                sendAppend(to: place, evenIfEmpty: false)
            }
        }
        if transferee != noNode && !members.isVoter(transferee) { transferee = noNode }
    }

    /// Proposes to leave a joint configuration that is to be left automatically, once it is applied.
    ///
    /// The proposal fails only while leadership is being transferred; the next applied entry tries again.
    mutating func leaveJointIfDue() {
        guard role == .leader, members.autoLeave, log.applied >= pendingConfigurationIndex else { return }
        _ = acceptProposal([Entry(kind: .configurationChangeV2)])
    }
}
