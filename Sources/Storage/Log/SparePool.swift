/// One segment file, in use or free.
struct SegmentFile: Sendable {
    let slot: Int
    let file: LogFile

    static let prefix = "segment-"

    static func name(slot: Int) -> String {
        let digits = String(slot)
        return prefix + String(repeating: "0", count: max(0, 6 - digits.count)) + digits
    }

    /// The slot that a file name stands for.
    static func slot(name: String) -> Int? {
        guard name.hasPrefix(prefix), let slot = Int(name.dropFirst(prefix.count)), Self.name(slot: slot) == name else {
            return nil
        }
        return slot
    }
}

/// Free segments, and the thread (`hf-log-spare`) that creates them ahead of need and removes what is too many.
///
/// Invariant: a segment in the pool holds nothing that the log's start record still counts.
final class SparePool: Sendable {
    private struct State: Sendable {
        var free: [SegmentFile]
        var surplus: [SegmentFile] = []
        var nextSlot: Int
        /// The writer waits for a segment.
        var isWanted = false
        var isOutOfSpace = false
        var retryAt: UInt64 = 0
        var failure: LogError?
        var created: UInt64 = 0
        /// A thread makes segments; without one nobody waits for any.
        var hasThread = false
        /// The log closes: nobody waits any more for room on a full disk.
        var isDraining = false
        var isClosing = false
    }

    private enum Task {
        case create(slot: Int)
        case remove([SegmentFile])
        case end
    }

    /// How long a full disk is left alone; one look costs a system call.
    private static let retryNanoseconds: UInt64 = 200_000_000

    private let monitor: Monitor<State>
    private let disk: LogDisk
    private let segmentBytes: Int
    private let spares: Int
    private let freeMax: Int

    init(disk: LogDisk, segmentBytes: Int, free: [SegmentFile], nextSlot: Int, options: LogOptions) {
        self.disk = disk
        self.segmentBytes = segmentBytes
        spares = options.spareSegments
        freeMax = max(options.freeSegmentsMax, options.spareSegments)
        monitor = Monitor(State(free: free, nextSlot: nextSlot))
    }

    /// Whether the last attempt to create a segment found the disk full.
    var isOutOfSpace: Bool { monitor.withLock { $0.isOutOfSpace } }
    /// Segments created so far.
    var created: UInt64 { monitor.withLock { $0.created } }

    /// Free segments at hand.
    var count: Int { monitor.withLock { $0.free.count } }

    /// Whether `take` would have to wait.
    var isEmpty: Bool { monitor.withLock { $0.free.isEmpty } }

    /// Whether `take` waits for room on a full disk.
    var isWaitingForSpace: Bool { monitor.withLock { $0.isWanted && $0.isOutOfSpace } }

    /// Takes a free segment; waits for one to be created if there is none, on a full disk until there is room: nothing of the entry
    /// was written yet, so waiting loses nothing.
    ///
    /// Throws `stopped` where the log closes meanwhile.
    func take() throws(LogError) -> SegmentFile {
        monitor.updateForAll { $0.isWanted = $0.free.isEmpty }
        let result: Result<SegmentFile, LogError>? = monitor.wait { state in
            if let segment = state.free.popLast() { return .success(segment) }
            if let failure = state.failure { return .failure(failure) }
            guard state.hasThread else {
                return .failure(.noSpace(detail: "no segment is left in \(self.disk.directory)"))
            }
            if state.isClosing || (state.isDraining && state.isOutOfSpace) { return .failure(.stopped) }
            return nil
        }
        monitor.updateForAll { $0.isWanted = false }
        guard let result else { throw .stopped }
        return try result.get()
    }

    /// Takes back segments that the log no longer needs.
    func give(_ segments: [SegmentFile]) {
        monitor.updateForAll { state in
            for segment in segments {
                if state.free.count < freeMax { state.free.append(segment) } else { state.surplus.append(segment) }
            }
            if state.free.count >= spares { state.isOutOfSpace = false }
        }
    }

    /// Tells that a thread is about to run: from now on a writer waits for segments.
    func begin() { monitor.updateForAll { $0.hasThread = true } }

    /// The body of the thread that prepares spares.
    func run() {
        while true {
            switch nextTask() {
            case .end: return
            case .remove(let segments): remove(segments)
            case .create(let slot): create(slot: slot)
            }
        }
    }

    /// Carries out what the thread would find to do now, on the caller's; for a log that is never started.
    func runPending() {
        while let task = monitor.withLock({ pendingTask(&$0) }) {
            switch task {
            case .end: return
            case .remove(let segments): remove(segments)
            case .create(let slot): create(slot: slot)
            }
            if isOutOfSpace { return }
        }
    }

    /// Ends a wait for room: the log is to be closed.
    func drain() { monitor.updateForAll { $0.isDraining = true } }

    /// Ends the thread after the task at hand.
    func close() { monitor.updateForAll { $0.isClosing = true } }

    private func nextTask() -> Task {
        while true {
            let retryAt = monitor.withLock { $0.isOutOfSpace ? $0.retryAt : nil }
            let task: Task? = monitor.wait(until: retryAt) { state in
                if !state.isClosing, state.isOutOfSpace, state.surplus.isEmpty, monotonicNanoseconds() < state.retryAt {
                    return nil
                }
                return pendingTask(&state)
            }
            if let task { return task }
        }
    }

    private func pendingTask(_ state: inout State) -> Task? {
        if state.isClosing { return .end }
        if !state.surplus.isEmpty {
            defer { state.surplus = [] }
            return .remove(state.surplus)
        }
        let isDue = state.free.count < spares || (state.isWanted && state.free.isEmpty)
        guard state.failure == nil, isDue else { return nil }
        return .create(slot: state.nextSlot)
    }

    private func create(slot: Int) {
        do throws(LogError) {
            let name = SegmentFile.name(slot: slot)
            try disk.create(name, bytes: segmentBytes)
            guard let file = try LogFile(name, disk: disk) else { throw .notFormatted(path: disk.directory) }
            monitor.updateForAll { state in
                state.free.append(SegmentFile(slot: slot, file: file))
                state.nextSlot = slot + 1
                state.created += 1
                state.isOutOfSpace = false
            }
        } catch .noSpace {
            // Nothing of the log was lost: only the new file was refused. Tried again in a moment.
            monitor.updateForAll { state in
                state.isOutOfSpace = true
                state.retryAt = monotonicNanoseconds() + Self.retryNanoseconds
            }
        } catch {
            monitor.updateForAll { $0.failure = error }
        }
    }

    private func remove(_ segments: [SegmentFile]) {
        do throws(LogError) {
            for segment in segments { try disk.remove(segment.file.path) }
            try disk.flushDirectory()
        } catch {
            monitor.updateForAll { $0.failure = error }
        }
    }
}
