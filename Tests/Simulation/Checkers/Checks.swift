internal import RaftCore
internal import ReplicaCore
internal import Storage

/// The rules of the world, each in a file of its own; they are asked after every event that could break them.
struct Checks {
    var elections = ElectionSafety()
    var matching = LogMatching()
    var committed = CommittedLog()
    var state = StateMachineSafety()
    var registers = RegisterModel()
    var published = PublishedChunks()
    var configurations = Configurations()
}

// Where the world asks them.
extension World {
    /// After every turn of a process: its commit index and its role.
    func observe(_ process: Process) {
        let leadership = process.raft.leadership
        // A leader may commit and be deposed in one turn.
        let leading = [leadership, process.seenLeadership].first { $0.role == .leader }?.term
        if leadership != process.seenLeadership {
            process.seenLeadership = leadership
            note { "node \(process.id) is \(leadership.role) in term \(leadership.term), leader \(leadership.leader)" }
            if leadership.role == .leader {
                report(checks.elections.leads(process.id, leadership.term))
                report(
                    checks.committed.leads(process.id, leadership.term, firstIndex: process.raft.firstIndex) {
                        process.raft.term(at: $0)
                    })
            }
        }
        let commit = process.raft.commitIndex
        guard commit != process.seenCommit else { return }
        let before = checks.committed.last
        report(
            checks.committed.commits(
                process.id, from: process.seenCommit, to: commit, leading: leading
            ) { process.raft.term(at: $0) })
        process.seenCommit = commit
        if checks.committed.last > before { checkQuorum(process, commit) }
    }

    /// What is committed first is durable on a quorum of both halves of the leader's configuration.
    private func checkQuorum(_ process: Process, _ commit: LogIndex) {
        let term = process.raft.term(at: commit)
        let holders = nodes.filter { node in
            [node.durable, node.damagedLog ?? node.durable].contains {
                $0.base >= commit || $0.term(at: commit) == term
            }
        }.map(\.id)
        let members = Members(process.raft.confState)
        if !members.isQuorum(holders) {
            fail("node \(process.id) commits \(commit), which only \(holders) hold durably, of \(members.voters)")
        }
    }

    /// Entries on their way to a node's log.
    func checkAppended(_ entries: [Entry], _ process: Process) {
        guard let first = entries.first, var previous = process.raft.term(at: first.index - 1) else { return }
        for entry in entries {
            report(checks.matching.appends(process.id, entry, previousTerm: previous))
            previous = entry.term
        }
    }

    /// An entry given to apply.
    func checkApplied(_ entry: Entry, _ process: Process) {
        let (violation, isFirst) = checks.state.applies(
            process.id, entry.index, term: entry.term, content: entryHash(entry))
        report(violation)
        if isFirst { checks.registers.commit(entry) }
    }

    /// A group of entries was applied.
    func checkState(_ process: Process, _ group: [CommittedEntry], _ output: ApplyOutput) {
        report(checks.state.reaches(process.id, process.appliedIndex, state: process.stateHash))
        report(
            checks.registers.applied(output, through: process.appliedIndex, revision: process.applier.state.revision))
        sites?.applied(process, output)
    }

    /// A site has undone its newest revisions.
    func checkRewound(through revision: UInt64, _ process: Process) {
        checks.published.rewind(through: revision)
        checkHolders(process)
    }

    func checkConfigured(_ outcome: ConfigurationOutcome, _ process: Process) {
        report(checks.configurations.applied(process.id, outcome))
        note {
            "node \(process.id) applies the configuration at \(outcome.index): \(outcome.members) \(String(describing: outcome.refusal))"
        }
        if outcome.refusal == nil { checkHolders(process) }
    }

    func checkPublished(_ changes: [ApplyOutput.ModelChange], _ process: Process) {
        for change in changes {
            switch change {
            case .retired(let model): checks.published.retire(model)
            case .published(let model):
                let chunks = process.list(model.record.upload, model.record.uploadNumber, from: 0, limit: .max)
                checks.published.publish(model, chunks: chunks.map(\.id))
            }
        }
        checkHolders(process)
    }

    /// A site was seeded: its versions are those of the other now.
    func checkSeeded(_ process: Process) {
        let live = process.models().filter { !$0.record.isRetired }
        checks.published.seed(live, at: process.applier.state.revision)
        for model in live {
            let chunks = process.list(model.record.upload, model.record.uploadNumber, from: 0, limit: .max)
            checks.published.publish(model, chunks: chunks.map(\.id))
        }
        checkHolders(process)
    }

    func checkUnlinked(_ chunk: ChunkID, _ process: Process) {
        note { "node \(process.id) unlinks chunk \(chunk.word3)" }
        checkHolders(process)
    }

    /// Every published version is on a quorum of the newest configuration.
    private func checkHolders(_ process: Process) {
        guard let members = checks.configurations.newest ?? process.applier.members as Members? else { return }
        report(checks.published.check(members) { node, chunk in self.node(node).chunks.holds(chunk) })
    }

    /// A restart finds all that was durable.
    func checkRestart(_ node: SimulatedNode, _ recovered: RecoveredLog, _ log: LogStore) {
        var entries: [Entry] = []
        do throws(LogError) {
            while recovered.previousIndex + UInt64(entries.count) < recovered.lastIndex {
                entries += try log.read(
                    from: recovered.previousIndex + UInt64(entries.count) + 1, to: recovered.lastIndex,
                    bytesMax: 1 << 20)
            }
        } catch {
            return fail("node \(node.id) cannot read its log after a start: \(error)")
        }
        report(
            node.durable.restarts(
                node.id, found: recovered.hardState,
                previous: EntryID(term: recovered.previousTerm, index: recovered.previousIndex),
                last: recovered.lastIndex, inFlight: node.inFlight.first, isVoteInFlight: node.inFlight.isVote,
                entries: entries))
        node.inFlight = (.max, false)
    }

    func report(_ violation: String?) {
        if let violation { fail(violation) }
    }
}
