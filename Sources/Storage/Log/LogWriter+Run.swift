internal import RaftCore
internal import Synchronization

extension LogWriter {
    private enum Wake {
        case work
        case overdue
        case end
    }

    /// The body of the writer thread: drain the queue, one write, one wait, one callback.
    func run(onDurable: (UInt64) -> Void, onFailure: (LogError) -> Void) {
        var operations: [LogOperation] = []
        do throws(LogError) {
            while true {
                switch next(into: &operations) {
                case .work:
                    if let sequence = try carryOut(operations) {
                        shared.pendingBytes.subtract(Self.bytes(of: operations), ordering: .relaxed)
                        onDurable(sequence)
                    }
                    operations.removeAll(keepingCapacity: true)
                    // Also a write to the page cache waits where the disk takes nothing.
                    try shared.watched { () throws(LogError) in try settle() }
                    if let deadline = ring.deadline, deadline <= monotonicNanoseconds() { try flushRing() }
                case .overdue:
                    try flushRing()
                case .end:
                    try flushRing()
                    return
                }
            }
        } catch {
            shared.queue.update { queue in
                queue.isStopped = true
                queue.operations = []
            }
            // Closed while it waited for room: what it had in hand was acknowledged to nobody, and nothing has failed.
            if error == .stopped { return }
            onFailure(error)
        }
    }

    private func flushRing() throws(LogError) {
        try shared.watched { () throws(LogError) in try ring.flush() }
    }

    /// Payload bytes of operations, as `pendingBytes` counts them.
    static func bytes(of operations: [LogOperation]) -> Int {
        var bytes = 0
        for operation in operations {
            if case .persist(_, _, let entries) = operation {
                for entry in entries { bytes += entry.data.count }
            }
        }
        return bytes
    }

    private func next(into operations: inout [LogOperation]) -> Wake {
        let wake: Wake? = shared.queue.wait(until: ring.deadline) { queue in
            if !queue.operations.isEmpty {
                swap(&queue.operations, &operations)
                return .work
            }
            return queue.isClosing ? .end : nil
        }
        return wake ?? .overdue
    }

    /// Chain hash after the entry before `index`, which is in the log or at its start.
    func chain(before index: LogIndex) throws(LogError) -> UInt64 {
        if index - 1 == start.record.previousIndex { return start.record.chain }
        // Going back, the first frame of this batch below `index` is its predecessor: entries are contiguous.
        if let frame = staged.last(where: { $0.index < index }) { return frame.chain }
        let found = shared.map.withLock { $0.stretch(from: index - 1, to: index - 1) }
        guard let found, let offset = found.offsets.first else {
            preconditionFailure("entry \(index - 1) is in the log but in no segment")
        }
        let read = try found.header(at: Int(offset), seed: seed)
        guard let header = read, header.index == index - 1 else {
            throw .corrupted(
                index: index - 1, detail: "its frame in \(found.file.file.path) changed under the running log")
        }
        return header.chain
    }

    /// Gives whole segments back that hold nothing above `through`. Keeps (5).
    func compact(through: LogIndex) throws(LogError) {
        // Only what was applied is let go, and what was applied is committed. Keeps (7).
        commit = max(commit, min(through, lastIndex))
        let (count, next) = shared.map.withLock { map in
            let count = map.removable(through: min(through, map.lastIndex))
            return (count, map.segments.dropFirst(count).first?.header)
        }
        guard count > 0, let next else { return }
        var record = start.record
        record.firstGeneration = next.generation
        record.previousIndex = next.lastIndex
        record.previousTerm = next.lastTerm
        record.chain = next.chain
        try shared.timed { () throws(LogError) in try start.write(record) }
        release(shared.map.withLock { $0.removeFirst(count) })
    }

    /// Begins the log anew behind a point. All earlier operations of the batch are durable. Keeps (5).
    func reset(index: LogIndex, term: Term) throws(LogError) {
        precondition(
            index >= min(commit, lastIndex), "a reset to \(index) would lose committed entries up to \(commit)")
        var record = start.record
        record.firstGeneration = nextGeneration
        record.previousIndex = index
        record.previousTerm = term
        record.chain = LogFormat.chain(startingAt: index, term: term)
        try shared.timed { () throws(LogError) in try start.write(record) }
        staged.removeAll(keepingCapacity: true)
        active = nil
        lastIndex = index
        lastTerm = term
        chain = record.chain
        commit = max(commit, index)
        release(shared.map.withLock { $0.reset(index: index, term: term) })
    }

    private func release(_ segments: [SegmentFile]) {
        shared.figures.withLock { $0.recycledSegments += UInt64(segments.count) }
        pool.give(segments)
    }
}
