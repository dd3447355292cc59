// Log replication (paper §5.3): proposals, appends, their answers, heartbeats.
extension Raft {
    // MARK: proposals

    /// Proposes entries on behalf of this node and tells at once what became of them.
    mutating func propose(_ entries: consuming [Entry], into effects: inout [Effect]) {
        guard !entries.isEmpty else { return }
        guard role == .leader else {
            let message = Message(.propose, to: noNode, from: id, entries: entries)
            if let refusal = receive(message) { effects.append(.dropped(refusal)) }
            return
        }
        let count = entries.count
        let outcome = acceptProposal(consume entries)
        if let refusal = outcome.refusal {
            effects.append(.dropped(refusal))
        } else if let refusal = outcome.voided {
            effects.append(.dropped(refusal))
        } else {
            effects.append(.proposed(first: log.lastIndex + 1 - UInt64(count), term: term, count: count))
        }
    }

    /// Appends proposed entries to this leader's log and sends them.
    ///
    /// `refusal` is why nothing was appended; `voided` is why a configuration change was appended as an empty entry.
    mutating func acceptProposal(_ entries: consuming [Entry]) -> (refusal: Refusal?, voided: Refusal?) {
        guard !entries.isEmpty else { return (nil, nil) }
        guard members.place(of: id) != nil else { return (.notMember, nil) }
        guard transferee == noNode else { return (.transferring(transferee), nil) }
        var voided: Refusal?
        for place in entries.indices where entries[place].isConfigurationChange {
            if let refusal = objection(to: entries[place]) {
                entries[place] = Entry(kind: .voided)
                voided = refusal
            } else {
                pendingConfigurationIndex = log.lastIndex + UInt64(place) + 1
            }
        }
        guard append(consume entries) else { return (.uncommittedQuota, nil) }
        broadcastAppend()
        return (nil, voided)
    }

    /// Gives entries the next indexes of this term; false if they would pass the quota on uncommitted bytes.
    ///
    /// Anything goes into an empty tail, and empty entries always do: a new leader's, and the one that leaves a joint
    /// configuration.
    mutating func append(_ entries: consuming [Entry]) -> Bool {
        var bytes = 0
        var index = log.lastIndex
        for place in entries.indices {
            index += 1
            entries[place].term = term
            entries[place].index = index
            bytes += entries[place].data.count
        }
        if uncommittedBytes > 0 && bytes > 0 && uncommittedBytes + bytes > configuration.uncommittedBytesMax {
            return false
        }
        uncommittedBytes += bytes
        log.append(entries, messageBytesMax: configuration.messageBytesMax)
        // The leader counts itself when these are durable, by the answer of a follower to itself. Keeps (6).
        send(Message(.appendEntriesResponse, to: id, index: index))
        return true
    }

    // MARK: leader to follower

    mutating func broadcastAppend() {
        for place in members.progress.indices where members.progress[place].id != id { sendAppend(to: place) }
    }

    /// Sends an append with what the follower lacks, or the commit index alone if it lacks nothing.
    mutating func sendAppend(to place: Int) {
        sendAppend(to: place, evenIfEmpty: true)
    }

    /// Sends one append, a snapshot, or asks for entries from the log store; true if there may be more to send.
    @discardableResult
    mutating func sendAppend(to place: Int, evenIfEmpty: Bool) -> Bool {
        guard !members.progress[place].isPaused else { return false }
        let next = members.progress[place].next
        guard let previousTerm = log.term(at: next - 1) else { return sendSnapshot(to: place) }
        var entries: [Entry] = []
        // Into a full window goes an empty append: its answer shows whether all that filled the window was lost.
        if members.progress[place].state != .replicate || !members.progress[place].inflights.isFull {
            guard let held = log.entries(from: next, bytesMax: configuration.messageBytesMax) else {
                requestRead(for: place)
                return false
            }
            entries = held
        }
        if entries.isEmpty && !evenIfEmpty { return false }
        sendAppend(to: place, entries, previousTerm: previousTerm)
        return true
    }

    private mutating func sendAppend(to place: Int, _ entries: [Entry], previousTerm: Term) {
        var bytes = 0
        for entry in entries { bytes += entry.data.count }
        send(
            Message(
                .appendEntries, to: members.progress[place].id, logTerm: previousTerm,
                index: members.progress[place].next - 1, commit: log.commit,
                session: members.progress[place].stream, entries: entries))
        members.progress[place].sent(entries: entries.count, bytes: bytes, commit: log.commit)
    }

    /// Asks the driver for entries that are no longer in memory, once until it answers.
    private mutating func requestRead(for place: Int) {
        guard !members.progress[place].awaitsRead else { return }
        members.progress[place].awaitsRead = true
        requests.append(
            .readLog(
                to: members.progress[place].id, first: members.progress[place].next,
                bytesMax: configuration.messageBytesMax))
    }

    /// Sends entries that the log store gave, if they are still what the follower needs.
    mutating func logRead(to node: NodeID, first: LogIndex, entries: [Entry]) {
        guard role == .leader, let place = members.place(of: node), members.progress[place].awaitsRead else { return }
        members.progress[place].awaitsRead = false
        // A failed read is asked for again at the next answer of the follower.
        guard !entries.isEmpty, !members.progress[place].isPaused else { return }
        if first == members.progress[place].next, let previousTerm = log.term(at: first - 1),
            isOwn(entries, from: first), !members.progress[place].inflights.isFull
        {
            sendAppend(to: place, entries, previousTerm: previousTerm)
        }
        while sendAppend(to: place, evenIfEmpty: false) {}
    }

    private func isOwn(_ entries: [Entry], from first: LogIndex) -> Bool {
        var index = first
        for entry in entries {
            guard entry.index == index, log.holds(entry.id) else { return false }
            index += 1
        }
        return true
    }

    mutating func broadcastHeartbeat() {
        let round = reads.position
        for place in members.progress.indices where members.progress[place].id != id {
            // Never more than the follower is known to hold: it may have other entries beyond.
            let commit = min(members.progress[place].match, log.commit)
            send(
                Message(
                    .heartbeat, to: members.progress[place].id, commit: commit, context: round, session: ticks))
            members.progress[place].sentCommit = commit
        }
    }

    // MARK: answers

    mutating func appendAnswered(_ message: Message, at place: Int) {
        // An answer to an append from an earlier membership of the node says nothing about its log now.
        // Only this leader's word about itself has no session.
        let streams = members.progress[place].session...members.progress[place].stream
        guard message.from == id || streams.contains(message.session) else { return }
        members.progress[place].recentActive = true
        let isOfThisStream = message.from == id || message.session == streams.upperBound
        if message.reject {
            if isOfThisStream { appendRejected(message, at: place) }
            return
        }
        let index = message.index
        // No follower of this term can hold more than its leader.
        guard index <= log.lastIndex else { return }
        let isNews = members.progress[place].acknowledge(index)
        let isAnswerToProbe =
            isOfThisStream && members.progress[place].state == .probe && members.progress[place].match == index
        guard isNews || isAnswerToProbe else { return }
        switch members.progress[place].state {
        case .probe:
            members.progress[place].becomeReplicate(stream: members.newSession())
        case .snapshot where members.progress[place].match + 1 >= log.compacted.index + 1:
            // Whichever snapshot it installed, the log continues from there.
            members.progress[place].becomeProbe(stream: members.newSession())
            members.progress[place].becomeReplicate(stream: members.newSession())
        case .snapshot where members.progress[place].match >= members.progress[place].pendingSnapshot:
            // It installed what it was sent, and the log behind that is gone meanwhile: it needs a newer one. Unlike etcd/raft, whose driver must
            // report the end of every snapshot.
            members.progress[place].becomeProbe(stream: members.newSession())
        case .snapshot:
            break
        case .replicate:
            members.progress[place].inflights.free(through: index)
        }
        if advanceCommit() {
            releaseEarlyReads()
            broadcastAppend()
        } else if message.from != id, members.progress[place].gains(fromCommit: log.commit) {
            sendAppend(to: place)
        }
        guard message.from != id else { return }
        while sendAppend(to: place, evenIfEmpty: false) {}
        if message.from == transferee, members.progress[place].match == log.lastIndex {
            sendTimeoutNow(to: message.from)
        }
    }

    /// Moves back to where the logs may meet, skipping whole terms on both sides (paper §5.3, end).
    private mutating func appendRejected(_ message: Message, at place: Int) {
        var hint = message.rejectHint
        if message.logTerm > 0 {
            hint = log.highestMatchCandidate(from: message.rejectHint, term: message.logTerm).index
        }
        guard members.progress[place].reject(message.index, hint: hint) else { return }
        if members.progress[place].state == .replicate {
            members.progress[place].becomeProbe(stream: members.newSession())
        }
        sendAppend(to: place)
    }

    /// Commits what a quorum holds, if it is of this term; true if the commit index rose.
    mutating func advanceCommit() -> Bool {
        log.commit(through: members.committed, term: term)
    }

    mutating func heartbeatAnswered(_ message: Message, at place: Int) {
        members.progress[place].recentActive = true
        members.progress[place].flowPaused = false
        members.progress[place].heardAt = max(members.progress[place].heardAt, min(message.session, ticks))
        // A follower that is behind, or whose messages were lost, gets another append; a full window an empty one.
        if members.progress[place].match < log.lastIndex || members.progress[place].state == .probe {
            sendAppend(to: place)
        }
        confirmReads(message)
    }

    /// The last message to the node did not arrive: appends that follow it are lost too.
    mutating func peerUnreachable(_ node: NodeID) {
        guard role == .leader, let place = members.place(of: node) else { return }
        if members.progress[place].state == .replicate {
            members.progress[place].becomeProbe(stream: members.newSession())
        }
    }

    // MARK: follower

    /// Appends a leader's entries, or tells where the logs may meet.
    mutating func merge(_ message: Message) {
        guard isWellFormed(message) else { return }
        if message.index < log.commit {
            send(
                Message(
                    .appendEntriesResponse, to: message.from, index: log.commit, session: message.session))
            return
        }
        let previous = EntryID(term: message.logTerm, index: message.index)
        // Without its entries an append is still true, and its answer tells the leader where this log ends.
        let entries = log.unappliedBytes > configuration.unappliedBytesMax ? [] : message.entries
        if let last = log.merge(entries, after: previous, commit: message.commit) {
            send(Message(.appendEntriesResponse, to: message.from, index: last, session: message.session))
            return
        }
        let hint = log.highestMatchCandidate(from: min(message.index, log.lastIndex), term: message.logTerm)
        send(
            Message(
                .appendEntriesResponse, to: message.from, logTerm: hint.term, index: message.index, reject: true,
                rejectHint: hint.index, session: message.session))
    }

    /// Whether the entries continue each other and no term falls; anything else is no message of a leader.
    private func isWellFormed(_ message: Message) -> Bool {
        var last = EntryID(term: message.logTerm, index: message.index)
        for entry in message.entries {
            guard entry.index == last.index + 1, entry.term >= last.term, entry.term <= message.term else {
                return false
            }
            last = entry.id
        }
        return true
    }
}
