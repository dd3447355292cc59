/// What a replica knows of its log: the terms of all retained entries, the payloads of a window at its end, and how far
/// the log is durable, committed, given to apply and applied.
///
/// ```
///   compacted   applied   applying   commit        persistedThrough   releasedThrough   lastIndex
///   ────┼──────────┼─────────┼─────────┼───────(any order)──┼─────────────────┼──────────────┼──
///       │ terms of all entries from here on                  durable           being written   to be written
/// ```
/// Invariants:
/// 1. `runs` has ascending starts and terms, the first at or before the first retained entry.
/// 2. The window ends at `lastIndex` and holds everything above `min(applied, persistedThrough)`.
/// 3. `persistedThrough <= releasedThrough <= lastIndex`.
/// 4. While `incoming` is set, nothing is applied.
struct RaftLog {
    /// The entry before the first retained one.
    private(set) var compacted: EntryID
    private(set) var lastIndex: LogIndex
    private var runs: [TermRun]
    private var window: EntryWindow
    /// Entries through here are durable.
    private(set) var persistedThrough: LogIndex
    /// Entries through here are durable or were given to be.
    private(set) var releasedThrough: LogIndex
    /// A received snapshot that is not yet installed durably.
    private(set) var incoming: Snapshot?
    private var incomingIsReleased = false
    /// The newest snapshot that may be sent.
    var available: Snapshot?

    private(set) var commit: LogIndex
    private(set) var applying: LogIndex
    private(set) var applied: LogIndex
    private var applyingBytes = 0
    private var applyingIsPaused = false
    /// Bytes of entries in the window, and of those among them that are applied.
    private var heldBytes = 0
    private var lingeringBytes = 0

    private let applyingBytesMax: Int
    private let windowBytesMax: Int
    private let appliesUnpersisted: Bool
    /// The last copy made for a follower; the others of a broadcast, and the write, want the same.
    private var lastSlice: (first: LogIndex, bytesMax: Int, entries: [Entry])?

    init(start: RaftStart, configuration: RaftConfiguration) {
        applyingBytesMax = configuration.applyingBytesMax
        windowBytesMax = configuration.windowBytesMax
        appliesUnpersisted = configuration.appliesUnpersisted
        compacted = start.compacted
        lastIndex = start.lastIndex
        runs = start.terms
        let first = start.tail.first?.index ?? start.lastIndex + 1
        precondition(first + UInt64(start.tail.count) == start.lastIndex + 1, "the tail must end at the last index")
        applied = max(start.applied, start.compacted.index)
        applying = applied
        // A commit index may be durable before the entries written with it, and is never needed: a leader tells it again.
        commit = max(min(start.hardState.commit, start.lastIndex), applied)
        precondition(start.lastIndex >= start.compacted.index, "the log ends before its start")
        precondition(applied <= start.lastIndex, "applied \(applied) is beyond the log's end \(start.lastIndex)")
        precondition(first <= applied + 1, "unapplied entries must be in the tail")
        persistedThrough = start.lastIndex
        releasedThrough = start.lastIndex
        window = EntryWindow(first: first)
        window.append(start.tail, from: 0)
        runs.removeAll { $0.first >= first }
        for entry in start.tail {
            extendRuns(entry)
            heldBytes += entry.encodedSize
        }
        // Keeps (1).
        for place in runs.indices.dropFirst() {
            precondition(runs[place - 1].first < runs[place].first, "log runs out of order")
            precondition(runs[place - 1].term < runs[place].term, "log terms fall")
        }
        for index in first..<max(first, applied + 1) { lingeringBytes += window[index].encodedSize }
        trimWindow()
    }

    /// The last entry, or the one before the first if there is none.
    var lastID: EntryID {
        guard lastIndex > compacted.index, let run = runs.last else { return compacted }
        return EntryID(term: run.term, index: lastIndex)
    }

    /// The term at an index, nil unless retained or just before the first retained.
    func term(at index: LogIndex) -> Term? {
        guard index <= lastIndex, index >= compacted.index else { return nil }
        if index == compacted.index { return compacted.term }
        var place = runs.count - 1
        if place >= 0, runs[place].first <= index { return runs[place].term }
        var low = 0
        while low < place {
            let middle = (low + place + 1) / 2
            if runs[middle].first <= index { low = middle } else { place = middle - 1 }
        }
        return runs[low].term
    }

    /// Whether the log has this very entry.
    func holds(_ id: EntryID) -> Bool { term(at: id.index) == id.term }

    /// Whether a log that ends with `other` is at least as complete as this one (paper §5.4.1).
    func isCovered(by other: EntryID) -> Bool {
        let last = lastID
        return other.term > last.term || (other.term == last.term && other.index >= last.index)
    }

    /// The highest index at or below `index` whose term is at most `term`, with its term; a term of 0 is unknown.
    ///
    /// Every index above it cannot match a log whose entry at `index` has `term`, because terms never fall along a log.
    func highestMatchCandidate(from index: LogIndex, term: Term) -> EntryID {
        var index = index
        while index > 0 {
            guard let own = self.term(at: index) else { return EntryID(term: 0, index: index) }
            if own <= term { return EntryID(term: own, index: index) }
            // Skip the whole run of this term.
            let start = runs.last { $0.first <= index }?.first ?? index
            index = index == compacted.index ? index - 1 : max(start, compacted.index + 1) - 1
        }
        return EntryID(term: 0, index: 0)
    }

    // MARK: growth

    /// Appends entries that continue the log; a leader does nothing else.
    ///
    /// If they fit one message, that very array is what the followers and the disk get.
    mutating func append(_ entries: [Entry], messageBytesMax: Int) {
        append(entries, from: 0)
        if messageBytesMax < .max {
            var bytes = 0
            for entry in entries { bytes += entry.encodedSize }
            guard bytes <= messageBytesMax else { return }
        }
        lastSlice = (entries[0].index, messageBytesMax, entries)
    }

    /// Appends what is new of `entries`, which follow `previous`, replacing what conflicts; nil if `previous` is unknown.
    ///
    /// Returns the index of the last entry that is now known to match (paper §5.3).
    mutating func merge(_ entries: [Entry], after previous: EntryID, commit leaderCommit: LogIndex) -> LogIndex? {
        guard holds(previous) else { return nil }
        let last = previous.index + UInt64(entries.count)
        if let start = entries.firstIndex(where: { !holds($0.id) }) {
            let index = entries[start].index
            precondition(index > commit, "entry \(index) conflicts with a committed one (commit \(commit))")
            append(entries, from: start)
        }
        advanceCommit(to: min(leaderCommit, last))
        return last
    }

    private mutating func append(_ entries: [Entry], from start: Int) {
        guard start < entries.count else { return }
        let index = entries[start].index
        precondition(index > commit, "entry \(index) would replace a committed one (commit \(commit))")
        precondition(index <= lastIndex + 1, "entry \(index) leaves a gap after \(lastIndex)")
        if index <= lastIndex { truncate(from: index) }
        window.append(entries, from: start)
        for entry in entries[start...] {
            extendRuns(entry)
            heldBytes += entry.encodedSize
        }
        lastIndex = index + UInt64(entries.count - start) - 1
        lastSlice = nil
    }

    /// Writes in progress at and above `index` will be overtaken by the next one, so they no longer count.
    private mutating func truncate(from index: LogIndex) {
        var dropped = max(index, window.first)
        while dropped < window.end {
            heldBytes -= window[dropped].encodedSize
            dropped += 1
        }
        window.truncate(from: index)
        while let run = runs.last, run.first >= index { runs.removeLast() }
        lastIndex = index - 1
        persistedThrough = min(persistedThrough, lastIndex)
        releasedThrough = min(releasedThrough, lastIndex)
    }

    private mutating func extendRuns(_ entry: Entry) {
        if let run = runs.last, run.term == entry.term { return }
        runs.append(TermRun(first: entry.index, term: entry.term))
    }

    /// Replaces everything by the state of a snapshot, which is still to be installed.
    mutating func restore(_ snapshot: Snapshot) {
        compacted = snapshot.id
        runs = []
        lastIndex = snapshot.index
        window.reset(first: snapshot.index + 1)
        heldBytes = 0
        lingeringBytes = 0
        persistedThrough = snapshot.index
        releasedThrough = snapshot.index
        commit = snapshot.index
        incoming = snapshot
        incomingIsReleased = false
        lastSlice = nil
    }

    /// Forgets retained entries through `index`, at most the applied one.
    mutating func compact(through index: LogIndex) {
        let index = min(index, applied)
        guard incoming == nil, index > compacted.index, let term = term(at: index) else { return }
        compacted = EntryID(term: term, index: index)
        let passed = runs.lastIndex { $0.first <= index + 1 } ?? 0
        runs.removeFirst(passed)
        while window.first <= index, !window.isEmpty { forgetFirst() }
        lastSlice = nil
    }

    // MARK: durability

    var hasUnpersisted: Bool { lastIndex > persistedThrough }
    var hasUnreleasedEntries: Bool { lastIndex > releasedThrough }
    var hasUnreleasedSnapshot: Bool { incoming != nil && !incomingIsReleased }

    /// Takes what must be written next; it counts as being written from now on.
    mutating func releaseWrites() -> (entries: [Entry], snapshot: Snapshot?) {
        let snapshot = hasUnreleasedSnapshot ? incoming : nil
        incomingIsReleased = incoming != nil
        guard hasUnreleasedEntries else { return ([], snapshot) }
        let first = releasedThrough + 1
        releasedThrough = lastIndex
        if let slice = lastSlice, slice.first == first, slice.entries.last?.index == lastIndex {
            return (slice.entries, snapshot)
        }
        return (window.slice(from: first, through: lastIndex, bytesMax: .max), snapshot)
    }

    /// Notes that the log is durable through `id`, if that is still the entry there.
    mutating func persisted(through id: EntryID) {
        guard id.index > persistedThrough, holds(id) else { return }
        persistedThrough = id.index
        releasedThrough = max(releasedThrough, id.index)
        trimWindow()
    }

    /// Notes that the snapshot at `index` is installed durably, unless another one took its place.
    mutating func installed(_ index: LogIndex) {
        guard incoming?.index == index else { return }
        incoming = nil
        incomingIsReleased = false
    }

    // MARK: commit and apply

    /// Raises the commit index; never lowers it.
    mutating func advanceCommit(to index: LogIndex) {
        guard index > commit else { return }
        precondition(index <= lastIndex, "commit \(index) is beyond the log's end \(lastIndex): entries are lost")
        commit = index
    }

    /// Commits through `index` if the entry there is of `term` (paper §5.4.2); whether the commit index rose.
    mutating func commit(through index: LogIndex, term: Term) -> Bool {
        guard term != 0, index > commit, self.term(at: index) == term else { return false }
        commit = index
        return true
    }

    private var appliableThrough: LogIndex { appliesUnpersisted ? commit : min(commit, persistedThrough) }

    /// Bytes of entries that are not applied.
    var unappliedBytes: Int { heldBytes - lingeringBytes }

    /// Whether entries could be given to apply.
    var hasAppliable: Bool { !applyingIsPaused && incoming == nil && applying < appliableThrough }

    /// Takes committed entries within the limit on unapplied bytes; empty if there are none.
    mutating func releaseAppliable() -> [Entry] {
        guard hasAppliable else { return [] }
        return window.slice(
            from: applying + 1, through: appliableThrough, bytesMax: applyingBytesMax - applyingBytes)
    }

    /// Notes that entries through `index` were given to apply; pauses when the limit cut them short.
    mutating func startApplying(through index: LogIndex, bytes: Int) {
        applying = index
        applyingBytes += bytes
        applyingIsPaused = applyingBytes >= applyingBytesMax || index < appliableThrough
    }

    /// Notes that everything through `index` is applied, which frees `bytes` of the limit.
    mutating func finishApplying(through index: LogIndex, bytes: Int) {
        precondition(index >= applied && index <= commit, "applied \(index) is outside [\(applied), \(commit)]")
        var next = max(applied + 1, window.first)
        while next <= index && next < window.end {
            lingeringBytes += window[next].encodedSize
            next += 1
        }
        applied = index
        applying = max(applying, index)
        applyingBytes = max(applyingBytes - bytes, 0)
        applyingIsPaused = applyingBytes >= applyingBytesMax
        trimWindow()
    }

    /// Whether a committed entry that is not applied changes the configuration.
    var hasUnappliedConfigurationChange: Bool {
        var index = max(applied + 1, window.first)
        while index <= commit {
            if window[index].isConfigurationChange { return true }
            index += 1
        }
        return false
    }

    // MARK: reading

    /// A copy of entries from `first` to the end, cut before `bytesMax` is passed; nil if the window does not hold them.
    mutating func entries(from first: LogIndex, bytesMax: Int) -> [Entry]? {
        guard first <= lastIndex else { return [] }
        if let slice = lastSlice, slice.first == first, slice.bytesMax == bytesMax { return slice.entries }
        guard first >= window.first else { return nil }
        let entries = window.slice(from: first, through: lastIndex, bytesMax: bytesMax)
        lastSlice = (first, bytesMax, entries)
        return entries
    }

    /// Lets go of the last copy; the turn is over.
    mutating func endTurn() {
        lastSlice = nil
    }

    /// Keeps (2): only entries that are applied and durable may leave, oldest first.
    private mutating func trimWindow() {
        let limit = min(applied, persistedThrough)
        while lingeringBytes > windowBytesMax, window.first <= limit, !window.isEmpty { forgetFirst() }
    }

    private mutating func forgetFirst() {
        let bytes = window[window.first].encodedSize
        heldBytes -= bytes
        lingeringBytes -= bytes
        window.dropFirst()
    }
}
