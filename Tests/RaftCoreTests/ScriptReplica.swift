@testable internal import RaftCore

/// What a script's replica refuses; the text is what the scripts print.
struct ScriptError: Error {
    var text: String
}

/// A log store in memory that behaves as the one the scripts were recorded with.
struct ScriptStorage {
    private(set) var compacted = EntryID(term: 0, index: 0)
    private(set) var entries: [Entry] = []
    private var snapshotIndex: LogIndex = 0

    var firstIndex: LogIndex { compacted.index + 1 }
    var lastIndex: LogIndex { compacted.index + UInt64(entries.count) }

    mutating func append(_ new: [Entry]) throws(ScriptError) {
        guard let last = new.last, last.index >= firstIndex else { return }
        let new = new.filter { $0.index >= firstIndex }
        let place = Int(new[0].index - firstIndex)
        guard place <= entries.count else { throw ScriptError(text: "missing log entry") }
        entries.replaceSubrange(place..., with: new)
    }

    mutating func install(_ snapshot: Snapshot) throws(ScriptError) {
        guard snapshotIndex == 0 || snapshotIndex < snapshot.index else {
            throw ScriptError(text: "requested index is older than the existing snapshot")
        }
        snapshotIndex = snapshot.index
        compacted = snapshot.id
        entries = []
    }

    mutating func compact(through index: LogIndex) throws(ScriptError) {
        guard index > compacted.index else {
            throw ScriptError(text: "requested index is unavailable due to compaction")
        }
        guard index <= lastIndex else {
            throw ScriptError(text: "compact \(index) is out of bound lastindex(\(lastIndex))")
        }
        let count = Int(index - compacted.index)
        compacted = entries[count - 1].id
        entries.removeFirst(count)
    }
}

/// One turn's work of a replica, sorted into what a script prints.
struct ScriptTurn {
    var leadership: Leadership?
    var persist: Persist?
    var messages: [Message] = []
    var committed: [Entry] = []
    var reads: [(index: LogIndex, context: UInt64)] = []
}

/// A replica with its stores and the work that waits for its storage threads.
final class ScriptReplica {
    private(set) var raft: Raft
    let id: NodeID
    let isAsync: Bool
    private(set) var storage = ScriptStorage()
    var appendWork: [Persist] = []
    var applyWork: [[Entry]] = []
    /// The state after each applied entry, the newest last.
    private(set) var history: [Snapshot]
    private var shown: Leadership

    init(configuration: RaftConfiguration, isAsync: Bool, bootstrap: Snapshot) throws(ScriptError) {
        id = configuration.id
        self.isAsync = isAsync
        history = [bootstrap]
        var start = RaftStart()
        if bootstrap.index > 0 {
            try storage.install(bootstrap)
            start.configuration = bootstrap.configuration
            start.compacted = bootstrap.id
            start.lastIndex = bootstrap.index
            start.applied = bootstrap.index
        }
        raft = Raft(configuration: configuration, start: start)
        shown = raft.leadership
        step(.snapshotAvailable(bootstrap))
    }

    /// Steps the core; answers what it did at once.
    @discardableResult
    func step(_ event: Event) -> [Effect] {
        var effects: [Effect] = []
        raft.step(event, into: &effects)
        return effects
    }

    /// Steps the core; throws what the scripts print when a request is refused.
    func stepOrThrow(_ event: Event) throws(ScriptError) {
        for case .dropped(let refusal) in step(event) {
            switch refusal {
            case .noLeader, .notLeader, .notMember, .transferring, .uncommittedQuota:
                throw ScriptError(text: "raft proposal dropped")
            case .unknownPeer:
                throw ScriptError(text: "raft: cannot step as peer not found")
            case .invalidConfiguration(let error):
                throw ScriptError(text: "\(error)")
            case .readQuota, .configurationPending, .mustLeaveJoint, .notJoint:
                break
            }
        }
    }

    func setElectionTicks(_ ticks: Int) {
        raft.setRandomizedElectionTicks(ticks)
    }

    var hasWork: Bool { raft.hasWork }

    func collect() -> ScriptTurn {
        var turn = ScriptTurn()
        for effect in step(.collect) {
            switch effect {
            case .leadership(let now):
                if now.role != shown.role || now.leader != shown.leader { turn.leadership = now }
                shown = now
            case .persist(let persist): turn.persist = persist
            case .send(let message): turn.messages.append(message)
            case .apply(let entries): turn.committed = entries
            case .readReady(let index, let context): turn.reads.append((index, context))
            case .readLog, .snapshotNeeded, .proposed, .dropped, .configured: break
            }
        }
        return turn
    }

    /// What the append thread does.
    func write(_ persist: Persist) throws(ScriptError) {
        if let snapshot = persist.snapshot {
            guard persist.entries.isEmpty else {
                throw ScriptError(text: "can't apply snapshot and entries at the same time")
            }
            try storage.install(snapshot)
            return
        }
        try storage.append(persist.entries)
    }

    /// What the apply thread does: the state is all payloads, one after the other.
    func apply(_ entries: [Entry]) throws(ScriptError) {
        for entry in entries {
            var data = entry.data
            var state = history[history.count - 1].configuration
            if let change = ConfigurationChange(entry) {
                try stepOrThrow(.configurationApplied(change))
                data = change.context
                state = raft.confState
            }
            let old = history[history.count - 1]
            history.append(
                Snapshot(index: entry.index, term: entry.term, configuration: state, data: old.data + data))
            step(.snapshotAvailable(history[history.count - 1]))
        }
    }

    func compact(through index: LogIndex) throws(ScriptError) {
        try storage.compact(through: index)
        step(.compacted(through: index))
    }
}
