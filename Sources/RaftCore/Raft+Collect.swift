// The turn's end, and what the driver reports of earlier turns.
extension Raft {
    /// Releases the work that gathered: what etcd/raft calls a Ready.
    ///
    /// Messages that promise nothing come first, so that a leader's appends leave in parallel with its own write.
    mutating func collect(into effects: inout [Effect]) {
        let leadership = leadership
        if leadership != shownLeadership {
            effects.append(.leadership(leadership))
            shownLeadership = leadership
        }
        for message in outbox { effects.append(.send(message)) }
        outbox.removeAll(keepingCapacity: true)
        let appliable = log.releaseAppliable()
        if let persist = releasePersist() { effects.append(.persist(persist)) }
        if let last = appliable.last {
            releaseApply(appliable, through: last.index)
            effects.append(.apply(appliable))
        }
        for read in readyReads { effects.append(.readReady(index: read.index, context: read.context)) }
        readyReads.removeAll(keepingCapacity: true)
        effects.append(contentsOf: requests)
        requests.removeAll(keepingCapacity: true)
        log.endTurn()
        checkInvariants()
    }

    private mutating func releasePersist() -> Persist? {
        let hardState = hardState
        let isChanged = hardState != shownHardState
        guard isChanged || log.hasUnreleasedEntries || log.hasUnreleasedSnapshot || !promises.isEmpty else {
            return nil
        }
        let (entries, snapshot) = log.releaseWrites()
        let mustSync =
            !entries.isEmpty || hardState.term != shownHardState.term || hardState.vote != shownHardState.vote
        lastSequence += 1
        var receipt: PersistReceipt?
        if log.hasUnpersisted || snapshot != nil {
            // Any durable write of this term vouches for the whole log, even if its last entry was given to an earlier
            // write: that one's receipt may be void by a change of term.
            receipt = PersistReceipt(
                sequence: lastSequence, term: term, last: log.hasUnpersisted ? log.lastID : nil, snapshot: snapshot)
        }
        if let receipt { receipts.append(receipt) }
        let persist = Persist(
            sequence: lastSequence, hardState: isChanged ? hardState : nil, entries: entries, snapshot: snapshot,
            mustSync: mustSync, responses: promises, receipt: receipt)
        promises = []
        shownHardState = hardState
        return persist
    }

    private mutating func releaseApply(_ entries: [Entry], through last: LogIndex) {
        var batch = ApplyBatch(last: last, encodedBytes: 0, payloadBytes: 0)
        for entry in entries {
            batch.encodedBytes += entry.encodedSize
            batch.payloadBytes += entry.data.count
        }
        applyBatches.append(batch)
        log.startApplying(through: last, bytes: batch.encodedBytes)
    }

    /// Every write through `sequence` is durable.
    mutating func persisted(through sequence: UInt64) {
        precondition(sequence <= lastSequence, "persist operation \(sequence) was never released")
        var done = 0
        for receipt in receipts {
            guard receipt.sequence <= sequence else { break }
            done += 1
            // Keeps (8): in between, a later leader may have replaced entries back and forth, with writes still under way.
            if receipt.term == term, let last = receipt.last { log.persisted(through: last) }
            if let snapshot = receipt.snapshot {
                log.installed(snapshot.index)
                finishApplying(through: snapshot.index, bytes: 0)
            }
        }
        if done > 0 { receipts.removeFirst(done) }
    }

    /// Everything through `index` is applied.
    mutating func applied(through index: LogIndex) {
        precondition(index <= log.applying, "entry \(index) was never given to apply")
        var done = 0
        for batch in applyBatches {
            guard batch.last <= index else { break }
            done += 1
            finishApplying(through: batch.last, bytes: batch.encodedBytes)
            uncommittedBytes = max(uncommittedBytes - batch.payloadBytes, 0)
        }
        if done > 0 { applyBatches.removeFirst(done) }
        if index > log.applied { finishApplying(through: index, bytes: 0) }
    }

    private mutating func finishApplying(through index: LogIndex, bytes: Int) {
        log.finishApplying(through: max(index, log.applied), bytes: bytes)
        leaveJointIfDue()
    }

    /// Keeps (2) and (6).
    private func checkInvariants() {
        precondition(log.applied <= log.applying && log.applying <= log.commit && log.commit <= log.lastIndex)
        precondition(log.compacted.index <= log.applied || log.incoming != nil)
        precondition(log.persistedThrough <= log.releasedThrough && log.releasedThrough <= log.lastIndex)
        for place in members.progress.indices {
            precondition(members.progress[place].match < members.progress[place].next)
        }
    }
}
