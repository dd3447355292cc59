/// The configuration in force, what is known of each member, and the votes of the current election.
///
/// Invariants, checked after each change:
/// 1. Every voter, outgoing voter, learner and next learner has a progress, in ascending order of ids.
/// 2. A learner is no voter of either half.
/// 3. A next learner is an outgoing voter and not yet a learner.
/// 4. Without outgoing voters there are no next learners and no automatic leave.
package struct Membership: Sendable {
    /// Voters of the incoming configuration, ascending like the other lists.
    package private(set) var voters: [NodeID] = []
    /// Voters of the outgoing configuration, or none.
    package private(set) var votersOutgoing: [NodeID] = []
    package private(set) var learners: [NodeID] = []
    package private(set) var learnersNext: [NodeID] = []
    package private(set) var autoLeave = false
    /// One for every member, ascending by id.
    package internal(set) var progress: [Progress] = []
    private var votes: [(node: NodeID, granted: Bool)] = []

    let inflights: Inflights
    private let usesSessions: Bool
    private var lastSession: UInt64 = 0

    /// An empty membership.
    package init(_ configuration: RaftConfiguration) {
        inflights = Inflights(
            messagesMax: configuration.inflightMessagesMax, bytesMax: configuration.inflightBytesMax)
        usesSessions = configuration.usesSessions
    }

    /// The configuration in the form that is stored.
    package var confState: ConfState {
        ConfState(
            voters: voters, votersOutgoing: votersOutgoing, learners: learners, learnersNext: learnersNext,
            autoLeave: autoLeave)
    }

    /// Whether two configurations decide together.
    package var isJoint: Bool { !votersOutgoing.isEmpty }

    /// Whether one voter decides alone.
    var isSingleton: Bool { voters.count == 1 && votersOutgoing.isEmpty }

    /// Whether the node votes in either half.
    package func isVoter(_ node: NodeID) -> Bool { voters.contains(node) || votersOutgoing.contains(node) }

    /// The voters of both halves, ascending, once each.
    var allVoters: [NodeID] {
        isJoint ? (voters + votersOutgoing.filter { !voters.contains($0) }).sorted() : voters
    }

    /// Where the node's progress is.
    func place(of node: NodeID) -> Int? {
        for place in progress.indices where progress[place].id == node { return place }
        return nil
    }

    /// The highest index that a quorum holds.
    var committed: LogIndex {
        Quorum.committed(voters, votersOutgoing) { node in place(of: node).map { progress[$0].match } }
    }

    /// Whether a quorum answered since the last check.
    var quorumIsActive: Bool {
        let result = Quorum.vote(voters, votersOutgoing) { node in
            place(of: node).flatMap { progress[$0].isLearner ? nil : progress[$0].recentActive }
        }
        return result == .won
    }

    /// The newest tick of the leader such that a quorum answered a heartbeat sent at or after it; 0 if there is none.
    func lastHeardByQuorum(selfID: NodeID, now: UInt64) -> UInt64 {
        let heard = Quorum.committed(voters, votersOutgoing) { node in
            node == selfID ? now : place(of: node).map { progress[$0].heardAt }
        }
        return min(heard, now)
    }

    /// Starts a new election.
    mutating func resetVotes() {
        votes.removeAll(keepingCapacity: true)
    }

    /// Counts a vote, the first of each node, and tells the outcome so far.
    mutating func record(vote granted: Bool, from node: NodeID) -> VoteResult {
        if !votes.contains(where: { $0.node == node }) { votes.append((node, granted)) }
        let votes = votes
        return Quorum.vote(voters, votersOutgoing) { voter in votes.first { $0.node == voter }?.granted }
    }

    /// Forgets what was known of every log, as at each change of term or role.
    mutating func resetProgress(lastIndex: LogIndex, selfID: NodeID) {
        for place in progress.indices {
            let old = progress[place]
            progress[place] = Progress(
                id: old.id, match: old.id == selfID ? lastIndex : 0, next: lastIndex + 1, inflights: inflights,
                isLearner: old.isLearner, recentActive: false, session: old.session)
        }
    }
}

// Configuration changes: each answers a new membership and leaves the old one as it was when it throws.
extension Membership {
    /// The membership after `change`, by whichever of the three ways it asks for.
    package func changed(
        by change: ConfigurationChange, lastIndex: LogIndex
    ) throws(ConfigurationError) -> Membership {
        if change.leavesJoint { return try leftJoint() }
        if change.entersJoint {
            return try enteredJoint(change.steps, autoLeave: change.autoLeaves, lastIndex: lastIndex)
        }
        return try simplyChanged(change.steps, lastIndex: lastIndex)
    }

    /// Applies steps that together change at most one voter (thesis §4.1).
    package func simplyChanged(
        _ steps: [ConfigurationChange.Step], lastIndex: LogIndex
    ) throws(ConfigurationError) -> Membership {
        guard !isJoint else { throw .simpleInJoint }
        var changed = self
        try changed.take(steps, lastIndex: lastIndex)
        let difference =
            voters.count { !changed.voters.contains($0) } + changed.voters.count { !voters.contains($0) }
        guard difference <= 1 else { throw .severalVotersChanged }
        try changed.check()
        return changed
    }

    /// Keeps the present voters as the outgoing half and applies the steps to the incoming one (thesis §4.3).
    package func enteredJoint(
        _ steps: [ConfigurationChange.Step], autoLeave: Bool, lastIndex: LogIndex
    ) throws(ConfigurationError) -> Membership {
        guard !isJoint else { throw .alreadyJoint }
        guard !voters.isEmpty else { throw .noVoters }
        var changed = self
        changed.votersOutgoing = voters
        try changed.take(steps, lastIndex: lastIndex)
        changed.autoLeave = autoLeave
        try changed.check()
        return changed
    }

    /// Drops the outgoing half; next learners become learners.
    package func leftJoint() throws(ConfigurationError) -> Membership {
        guard isJoint else { throw .notJoint }
        var changed = self
        for node in learnersNext {
            changed.learners.insertSorted(node)
            if let place = changed.place(of: node) { changed.progress[place].isLearner = true }
        }
        changed.learnersNext = []
        changed.votersOutgoing = []
        changed.autoLeave = false
        for node in votersOutgoing where !changed.voters.contains(node) && !changed.learners.contains(node) {
            changed.progress.removeAll { $0.id == node }
        }
        try changed.check()
        return changed
    }

    /// The membership that `state` describes, with nothing known of any log.
    func restored(_ state: ConfState, lastIndex: LogIndex) throws(ConfigurationError) -> Membership {
        var restored = self
        restored.progress = []
        restored.resetVotes()
        restored.voters = state.voters.sorted()
        restored.votersOutgoing = state.votersOutgoing.sorted()
        restored.learners = state.learners.sorted()
        restored.learnersNext = state.learnersNext.sorted()
        restored.autoLeave = state.autoLeave
        for node in state.members {
            restored.join(node, asLearner: state.learners.contains(node), lastIndex: lastIndex)
        }
        guard !restored.voters.isEmpty || restored.progress.isEmpty else { throw .removedAllVoters }
        try restored.check()
        return restored
    }

    private mutating func take(
        _ steps: [ConfigurationChange.Step], lastIndex: LogIndex
    ) throws(ConfigurationError) {
        for step in steps where step.node != noNode {
            switch step.kind {
            case .addVoter: makeVoter(step.node, lastIndex: lastIndex)
            case .addLearner: makeLearner(step.node, lastIndex: lastIndex)
            case .remove: remove(step.node)
            case .update: break
            }
        }
        guard !voters.isEmpty else { throw .removedAllVoters }
    }

    private mutating func makeVoter(_ node: NodeID, lastIndex: LogIndex) {
        if let place = place(of: node) {
            progress[place].isLearner = false
            learners.removeAll { $0 == node }
            learnersNext.removeAll { $0 == node }
        } else {
            join(node, asLearner: false, lastIndex: lastIndex)
        }
        voters.insertSorted(node)
    }

    /// An outgoing voter becomes a learner only when the joint configuration is left, to keep (2).
    private mutating func makeLearner(_ node: NodeID, lastIndex: LogIndex) {
        guard let place = place(of: node) else {
            learners.insertSorted(node)
            join(node, asLearner: true, lastIndex: lastIndex)
            return
        }
        guard !progress[place].isLearner else { return }
        voters.removeAll { $0 == node }
        if votersOutgoing.contains(node) {
            learnersNext.insertSorted(node)
        } else {
            progress[place].isLearner = true
            learners.insertSorted(node)
        }
    }

    /// An outgoing voter keeps its progress until the joint configuration is left.
    private mutating func remove(_ node: NodeID) {
        voters.removeAll { $0 == node }
        learners.removeAll { $0 == node }
        learnersNext.removeAll { $0 == node }
        if !votersOutgoing.contains(node) { progress.removeAll { $0.id == node } }
    }

    /// A new member counts as active, else the next check of the quorum could depose a leader that just added it.
    private mutating func join(_ node: NodeID, asLearner: Bool, lastIndex: LogIndex) {
        let joined = Progress(
            id: node, next: max(lastIndex, 1), inflights: inflights, isLearner: asLearner, recentActive: true,
            session: newSession())
        progress.insert(joined, at: progress.firstIndex { $0.id > node } ?? progress.endIndex)
    }

    /// A number that no dealings with a member had before; 0 when sessions are off.
    mutating func newSession() -> UInt64 {
        lastSession += 1
        return usesSessions ? lastSession : 0
    }

    private func check() throws(ConfigurationError) {
        for node in voters + votersOutgoing + learners + learnersNext where place(of: node) == nil {
            throw .inconsistent("no progress for \(node)")  // Keeps (1).
        }
        for node in learners {
            guard !isVoter(node) else { throw .inconsistent("\(node) is voter and learner") }  // Keeps (2).
            guard let place = place(of: node), progress[place].isLearner else {
                throw .inconsistent("\(node) is in learners, but not marked as one")
            }
        }
        for node in learnersNext {  // Keeps (3).
            guard votersOutgoing.contains(node) else {
                throw .inconsistent("\(node) would be a learner, but never voted")
            }
            guard let place = place(of: node), !progress[place].isLearner else {
                throw .inconsistent("\(node) is to become a learner and is one already")
            }
        }
        guard isJoint || (learnersNext.isEmpty && !autoLeave) else {
            throw .inconsistent("not joint, but to be left")  // Keeps (4).
        }
    }
}

extension [NodeID] {
    /// Inserts into an ascending list unless it is there.
    fileprivate mutating func insertSorted(_ node: NodeID) {
        let place = firstIndex { $0 >= node } ?? endIndex
        if place == endIndex || self[place] != node { insert(node, at: place) }
    }
}
