internal import RaftCore
internal import ReplicaCore
internal import Storage

// Starting and crashing.
extension World {
    /// Starts a node from what its disk holds.
    func start(_ node: SimulatedNode) {
        node.life += 1
        node.pausedUntil = 0
        node.isSetBack = false
        do {
            let process = try open(node)
            node.process = process
            node.mayBeDamaged = false
            note { "node \(node.id) starts: log through \(process.raft.lastIndex), applied \(process.appliedIndex)" }
            schedule(.tick(node.id, node.life), after: dice.between(1, climate.tick))
            schedule(.care(node.id, node.life), after: dice.between(1, climate.careGap))
            if sites != nil { schedule(.siteDue(node.id, node.life), after: dice.between(1, 500_000)) }
            if process.raft.confState.voters == [node.id] { process.step(.campaign) }
            process.endTurn()
        } catch {
            note { "node \(node.id) cannot start: \(error)" }
            guard node.mayBeDamaged, case .some(.corrupted) = error as? LogError else {
                return fail("node \(node.id) cannot start: \(error)")
            }
            repairOrLose(node)
        }
    }

    /// A log that was found damaged is begun anew; the others repair the node, or it is replaced.
    private func repairOrLose(_ node: SimulatedNode) {
        do {
            if try renewLog(node) { start(node) } else { lose(node) }
        } catch {
            fail("node \(node.id) cannot begin its log anew: \(error)")
        }
    }

    private func open(_ node: SimulatedNode) throws -> Process {
        let (log, recovered) = try LogStore.open(directory: "", options: logOptions(node))
        node.disk.complete()
        let rows = node.durableRows
        let state = try AppliedState(loading: rows)
        let applier = try Applier(loading: rows)
        guard state.index >= recovered.previousIndex, recovered.hardState.term >= state.term else {
            throw RowError(message: "rows at \(state.index) and log do not fit", isCorruption: true)
        }
        var needsReset = false
        var start = try RaftStart(
            recovered, applied: EntryID(term: state.term, index: state.index), configuration: applier.members.confState,
            log: log, needsReset: &needsReset)
        start.withholdsVotes = node.damagedLog != nil
        checkRestart(node, recovered, log)
        if needsReset {
            _ = try log.carryOut([.reset(sequence: 0, index: state.index, term: state.term)])
            try log.settle()
            node.disk.complete()
            node.durable.reset(to: state.index, state.term)
        }
        var configuration = RaftConfiguration(id: node.id)
        configuration.seed = mix(seed, node.id << 32 | UInt64(node.life))
        configuration.messageBytesMax = climate.messageBytesMax
        configuration.windowBytesMax = climate.windowBytesMax
        return Process(
            world: self, node: node, log: log, raft: Raft(configuration: configuration, start: start),
            applier: applier, rows: rows)
    }

    /// The process ends without a word, and its disk keeps what it must and what chance leaves.
    func crash(_ node: SimulatedNode, restartAfter delay: UInt64?) {
        guard let process = node.process else { return }
        // What a turn that a failing disk ends has committed may already be on its way to others.
        observe(process)
        note { "node \(node.id) crashes" }
        node.inFlight = process.inFlight
        node.process = nil
        node.disk.crash(&dice)
        node.life += 1
        for other in nodes where other.id != node.id && other.isRunning && dice.chance(perMille: 500) {
            schedule(.peerGone(other.id, other.life, node.id), after: dice.between(500, 100_000))
        }
        if let delay { schedule(.start(node.id, node.life), after: delay) }
    }

    /// A node never runs again: its disk is lost, or holds what must not be used.
    func lose(_ node: SimulatedNode) {
        crash(node, restartAfter: nil)
        node.isGone = true
        note { "node \(node.id) is lost" }
    }

    /// A checkpoint is installed: the log begins anew behind it.
    func installed(_ process: Process, _ checkpoint: Checkpoint) {
        note { "node \(process.id) has installed the state at \(checkpoint.index)" }
        if let violation = checks.state.reaches(process.id, checkpoint.index, state: process.stateHash) {
            fail(violation)
        }
    }

    /// Who leads the highest term; nil if nobody does.
    package var leader: UInt64? {
        let processes = nodes.compactMap(\.process).filter { $0.raft.role == .leader }
        return processes.max { $0.raft.term < $1.raft.term }?.id
    }

    /// Whether a node runs without its vote, because its log was damaged.
    package func withholdsVote(_ id: UInt64) -> Bool { node(id).process?.raft.withholdsVotes ?? false }

    /// Flips a bit in what a node's log holds for certain, while the node is off for a moment; false if it holds nothing for certain.
    package func damageLog(_ id: UInt64) -> Bool {
        let node = node(id)
        crash(node, restartAfter: 1_000)
        for path in node.disk.paths where path.contains("segment-") {
            // The segment in use: it holds what the rows may not have yet.
            let bytes = confirmedBytes(path, node)
            guard bytes > LogFormat.firstFrame + LogFormat.frameHeaderBytes, bytes < climate.segmentBytes else {
                continue
            }
            node.disk.flip(path, byte: bytes - 20, bit: 3)
            node.mayBeDamaged = true
            return true
        }
        return false
    }

    /// The highest index that is committed for certain.
    package var committed: UInt64 { checks.committed.last }

    /// The disk of a node stands still: no write ends before that time has passed.
    package func stall(_ id: UInt64, for time: UInt64) { node(id).stalledUntil = now + time }

    /// The process that leads as far as another knows, if it can be reached.
    func leaderProcess(knownTo process: Process) -> Process? {
        let leader = process.raft.leader
        guard leader != noNode else { return nil }
        if leader == process.id { return process }
        guard isConnected(process.id, leader), node(leader).pausedUntil <= now else { return nil }
        return node(leader).process
    }
}

extension Process {
    /// A peer's process has ended: it cannot be reached, and no leader is waited for that is gone.
    func peerGone(_ peer: NodeID) {
        step(.unreachable(peer))
        if raft.leader == peer, raft.role != .leader { step(.forgetLeader) }
        turn()
    }

    /// The state after `appliedIndex` in one number.
    var stateHash: UInt64 { mix(rows.stateHash, applier.state.feedHash.word0) | 1 }
}
