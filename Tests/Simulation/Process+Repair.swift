internal import RaftCore
internal import ReplicaCore
internal import Storage

// A log that was damaged and begun anew: how its node gets its vote back. The steps are those of the product's repair.
//
//   a leader forgets what the old log acknowledged, confirms by a read that it leads, and names an index
//   ─▶ everything through it is here, durable and committed ─▶ the mark is gone ─▶ votes count
extension Process {
    /// A leader forgets a member's acknowledgements; the index of a read that begins now is its answer.
    func forget(_ member: NodeID) {
        guard raft.role == .leader else { return }
        step(.progressForgotten(of: member))
        reads.gathered.append(ReadRequest(ticket: .nobody, key: [], forgotten: (member, raft.term)))
        turn()
    }

    /// The read of `forget` is ready: it counts only if this node has led all the time, since another leader has forgotten nothing.
    func forgotten(_ member: NodeID, in term: Term) {
        guard raft.role == .leader, raft.term == term else { return }
        world.send(.forgotten(through: applier.state.index), id, member)
    }

    /// A leader has forgotten: with everything through the index this node votes again.
    func repairs(through index: LogIndex) {
        guard raft.withholdsVotes, repairIndex == nil else { return }
        repairIndex = index
    }

    /// Asks for what is missing, or ends the repair.
    func careForRepair() {
        guard raft.withholdsVotes else { return }
        guard let repairIndex else {
            let members = raft.confState.members.filter { $0 != id }
            guard !members.isEmpty else { return }
            world.send(.forget, id, raft.leader == noNode || raft.leader == id ? world.dice.pick(members) : raft.leader)
            return
        }
        guard raft.holds(committedThrough: repairIndex) else { return }
        node.damagedLog = nil
        world.note { "node \(self.id) has repaired its log through \(repairIndex) and votes again" }
        step(.votesAllowed)
        turn()
    }
}

extension World {
    /// Puts a node's damaged log aside and begins another behind its rows; false where nobody could repair it.
    func renewLog(_ node: SimulatedNode) throws -> Bool {
        let state = try AppliedState(loading: node.durableRows)
        guard try Applier(loading: node.durableRows).members.everyone.count > 1 else { return false }
        let previous = EntryID(term: state.term, index: state.index)
        var (identity, options, hardState) = try LogStore.succession(
            directory: "", after: previous, options: logOptions(node))
        let damaged = node.disk
        node.disk = SimulatedDisk()
        options.files = node.disk
        try LogStore.format(
            directory: "", identity: identity, options: options, after: previous, hardState: hardState)
        node.disk.complete()
        node.disk.isFull = damaged.isFull
        // What it held still counts for what was committed by it, until that is here again.
        node.damagedLog = node.damagedLog ?? node.durable
        node.durable.reset(to: previous.index, previous.term)
        node.inFlight.first = .max
        note { "node \(node.id) begins its log anew behind \(previous.index)" }
        return true
    }
}
