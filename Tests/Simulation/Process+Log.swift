internal import RaftCore
internal import ReplicaCore
internal import Storage

// The log thread: batches of operations over the simulated disk.
extension Process {
    /// Payload bytes of one batch at most, and the segments that it may begin: a first one, or one behind a full one.
    private static let batchBytesMax = 2_048
    private static let sparesNeeded = 2

    /// Hands a write to the log. An operation that only raises the commit index, with nothing on its way, needs none.
    func persist(_ operation: Persist) {
        world.checkAppended(operation.entries, self)
        if let snapshot = operation.snapshot {
            beginInstall(snapshot, operation)
            return
        }
        if !operation.requiresSync, operation.entries.isEmpty, persists.isEmpty, !raft.isSoleVoterAmongOthers {
            if let state = operation.hardState { unwritten = state }
            finished.append(operation)
            return
        }
        let state = operation.hardState ?? unwritten
        unwritten = nil
        persists.append((operation.sequence, state, operation.responses))
        let writes = Self.pieces(operation.sequence, state, operation.entries)
        guard install?.holdsBack != true else { return heldBack += writes }
        queued += writes
        startBatch()
    }

    /// A write in pieces that each fit one batch; only the last has the sequence.
    static func pieces(_ sequence: UInt64, _ state: HardState?, _ entries: [Entry]) -> [LogOperation] {
        var pieces: [LogOperation] = []
        var start = 0
        var bytes = 0
        for (place, entry) in entries.enumerated() {
            if place > start, bytes + entry.data.count + 64 > batchBytesMax {
                pieces.append(
                    .persist(
                        sequence: sequence - 1, hardState: pieces.isEmpty ? state : nil,
                        entries: Array(entries[start..<place])))
                start = place
                bytes = 0
            }
            bytes += entry.data.count + 64
        }
        pieces.append(
            .persist(
                sequence: sequence, hardState: pieces.isEmpty ? state : nil,
                entries: start == 0 ? entries : Array(entries[start...])))
        return pieces
    }

    /// Writes what waits, unless a write is under way or an install holds the log.
    func startBatch() {
        guard !isOver, batch == nil, !queued.isEmpty, install?.holdsLog != true else { return }
        guard log.prepareSpares() >= Self.sparesNeeded else {
            // Full: the log waits for room, with nothing half written.
            if !isLogRetryDue {
                isLogRetryDue = true
                world.schedule(.logRetry(id, life), after: 100_000)
            }
            return
        }
        var count = 0
        var bytes = 0
        while count < queued.count {
            if case .persist(_, _, let entries) = queued[count] {
                for entry in entries { bytes += entry.data.count + 64 }
            }
            if count > 0, bytes > Self.batchBytesMax { break }
            count += 1
        }
        let operations = Array(queued[..<count])
        queued.removeFirst(count)
        do throws(LogError) {
            batchSequence = try log.carryOut(operations)
        } catch {
            // Never tried again: the process ends, and what the failed call wrote is unknown.
            batch = operations
            world.note { "node \(self.id): \(error)" }
            world.crash(node, restartAfter: 500_000)
            return
        }
        beginWrite(operations)
    }

    private func beginWrite(_ operations: [LogOperation]) {
        batch = operations
        batches += 1
        world.schedule(.written(id, life), after: writeTime())
    }

    private func writeTime() -> UInt64 {
        let usual = world.dice.between(world.climate.writeTime.low, world.climate.writeTime.high)
        return node.stalledUntil > world.now ? max(usual, node.stalledUntil - world.now) : usual
    }

    /// The write under way is durable. Keeps (2).
    func written() {
        guard let operations = batch else { return }
        node.disk.complete()
        for operation in operations {
            switch operation {
            case .persist(_, let state, let entries): node.durable.wrote(state, entries)
            case .reset(_, let index, let term): node.durable.reset(to: index, term)
            case .compact: break
            }
        }
        batch = nil
        let sequence = batchSequence
        batchSequence = nil
        settleLog()
        guard !isOver else { return }
        swapIfReady()
        startBatch()
        guard let sequence else { return }
        var ready: [Message] = []
        while let first = persists.first, first.sequence <= sequence {
            ready.append(contentsOf: disclosure.wrote(first.hardState) + first.responses)
            persists.removeFirst()
        }
        finishInstall(through: sequence)
        deliver(ready)
        step(.persisted(through: sequence))
        turn()
    }

    /// Headers enter the ring, compaction is carried out; what of it needs the disk takes another write.
    private func settleLog() {
        do throws(LogError) {
            try log.settle()
        } catch {
            world.crash(node, restartAfter: 500_000)
            return
        }
        if node.disk.hasFlushes {
            beginWrite([])
        } else {
            node.disk.complete()
        }
        if !isHeaderFlushDue {
            isHeaderFlushDue = true
            world.schedule(.headersDue(id, life), after: 50_000)
        }
    }

    /// The headers of the last batches become durable, once no write is under way.
    func flushHeaders() {
        guard batch == nil else {
            world.schedule(.headersDue(id, life), after: 5_000)
            return
        }
        isHeaderFlushDue = false
        do throws(LogError) {
            try log.flushHeaders()
            node.disk.complete()
        } catch {
            world.crash(node, restartAfter: 500_000)
        }
    }

    /// The index that the last crash cut, for the checker: what a write under way may have replaced.
    var inFlight: (first: LogIndex, isVote: Bool) {
        var first = LogIndex.max
        var isVote = false
        for operation in batch ?? [] {
            switch operation {
            case .persist(_, let state, let entries):
                if let entry = entries.first { first = min(first, entry.index) }
                if state != nil { isVote = true }
            case .reset: first = 1
            case .compact: break
            }
        }
        return (first, isVote)
    }

    // MARK: rows and compaction

    /// Looks after rows and log now and then: flushes, and lets go of entries that the rows have durably.
    func care() {
        if !isFlushing, appliedIndex > flushedIndex, install == nil {
            isFlushing = true
            flushing = (rows, appliedIndex)
            world.schedule(.rowsFlushed(id, life), after: world.dice.between(1_000, 60_000))
        }
        compactLog()
        careForRepair()
        careForChunks()
    }

    func rowsFlushed() {
        isFlushing = false
        guard let flushing, install == nil else { return }
        node.durableRows = flushing.rows
        flushedIndex = flushing.index
        self.flushing = nil
        compactLog()
    }

    private func compactLog() {
        guard let kept = world.climate.keptEntries, flushedIndex > kept, install == nil else { return }
        let through = min(flushedIndex, raft.appliedIndex) - min(kept, min(flushedIndex, raft.appliedIndex))
        guard through >= raft.firstIndex else { return }
        queued.append(.compact(through: through))
        startBatch()
        if let offered, offered.index < through {
            self.offered = nil
            step(.snapshotAvailable(nil))
        }
        step(.compacted(through: through))
        turn()
    }
}
