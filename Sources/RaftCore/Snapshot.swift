/// The membership as it is stored: in a state snapshot, beside the applied index, and at the start of a replica.
package struct ConfState: Sendable, Equatable {
    /// Voters of the incoming configuration.
    package var voters: [NodeID]
    /// Voters of the outgoing configuration; empty unless joint (thesis §4.3).
    package var votersOutgoing: [NodeID]
    package var learners: [NodeID]
    /// Outgoing voters that become learners when the joint configuration is left.
    package var learnersNext: [NodeID]
    /// Whether the leader leaves the joint configuration by itself.
    package var autoLeave: Bool

    package init(
        voters: [NodeID] = [], votersOutgoing: [NodeID] = [], learners: [NodeID] = [], learnersNext: [NodeID] = [],
        autoLeave: Bool = false
    ) {
        self.voters = voters
        self.votersOutgoing = votersOutgoing
        self.learners = learners
        self.learnersNext = learnersNext
        self.autoLeave = autoLeave
    }

    /// Whether two configurations decide together.
    package var isJoint: Bool { !votersOutgoing.isEmpty }

    /// Every voter of either half and every learner, ascending, once each.
    package var members: [NodeID] {
        var all = voters
        for id in votersOutgoing + learners + learnersNext where !all.contains(id) { all.append(id) }
        return all.sorted()
    }
}

/// A state snapshot: the state that all entries through `index` make, with the membership at that point.
///
/// Immutable and shared by reference, so that a message carries it in one word.
package final class Snapshot: Sendable, Equatable {
    package let index: LogIndex
    package let term: Term
    package let configuration: ConfState
    /// What the layer above needs to fetch or install the state; opaque here.
    package let data: [UInt8]

    package init(index: LogIndex, term: Term, configuration: ConfState, data: [UInt8] = []) {
        self.index = index
        self.term = term
        self.configuration = configuration
        self.data = data
    }

    /// The last entry that the state includes.
    package var id: EntryID { EntryID(term: term, index: index) }

    package static func == (left: Snapshot, right: Snapshot) -> Bool {
        left === right
            || left.index == right.index && left.term == right.term && left.configuration == right.configuration
                && left.data == right.data
    }
}
