import Foundation
import RaftCore
import Storage

/// Writes batch after batch to a log store: each next one is submitted when the one before is durable.
final class LogRunner: @unchecked Sendable {
    // Proof: `run` writes the fields before it submits the first batch and reads them after `finished`; in between only the log's writer thread
    // touches them, in `onDurable`; the log's queue and the semaphore order the two.
    private let store: LogStore
    private let finished = DispatchSemaphore(value: 0)
    private var data: [UInt8] = []
    private var batch = 0
    private var deadline = 0.0
    private var bytesMin = 0
    private var index: LogIndex = 0
    private var written = 0

    init(directory: String) throws {
        var options = LogOptions()
        options.spareSegments = 2
        store = try LogStore.open(directory: directory, options: options).0
        try store.start(
            onDurable: { [unowned self] _ in next() },
            onFailure: { error in fatalError("\(error)") })
    }

    /// Entries per second, over the given time and at least the given bytes.
    func run(bytes: Int, batch: Int, seconds time: Double = 0, bytesMin: Int = 0) -> Double {
        data = incompressible(bytes)
        self.batch = batch
        self.bytesMin = bytesMin
        written = 0
        let started = seconds()
        deadline = started + time
        submit()
        finished.wait()
        return Double(written) / (seconds() - started)
    }

    func close() { store.close() }

    private func next() {
        written += batch
        if seconds() >= deadline, written * data.count >= bytesMin {
            finished.signal()
        } else {
            submit()
        }
    }

    private func submit() {
        let first = index + 1
        index += UInt64(batch)
        let entries = (first...index).map { Entry(term: 1, index: $0, data: data) }
        let state = HardState(term: 1, vote: 1, commit: first - 1)
        store.submit(.persist(sequence: index, hardState: state, entries: entries))
        // What a node does now and then: the log stays a few segments long and recycles them.
        if first % 4096 < UInt64(batch) { store.submit(.compact(through: first - 1)) }
    }
}
