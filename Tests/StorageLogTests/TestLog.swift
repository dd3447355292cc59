import Foundation
import RaftCore
import Storage
import Synchronization

/// A directory that goes away with the test.
final class TestDirectory {
    let path: String

    init() throws {
        path = NSTemporaryDirectory() + "/holdfast-log-\(UUID().uuidString)"
        try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
    }

    deinit {
        do { try FileManager.default.removeItem(atPath: path) } catch { print("left behind: \(path): \(error)") }
    }

    /// All files by name.
    func files() throws -> [String: [UInt8]] {
        var files: [String: [UInt8]] = [:]
        for name in try FileManager.default.contentsOfDirectory(atPath: path) {
            files[name] = [UInt8](try Data(contentsOf: URL(filePath: path + "/" + name)))
        }
        return files
    }

    func write(_ files: [String: [UInt8]]) throws {
        for name in try FileManager.default.contentsOfDirectory(atPath: path) {
            try FileManager.default.removeItem(atPath: path + "/" + name)
        }
        for (name, bytes) in files { try Data(bytes).write(to: URL(filePath: path + "/" + name)) }
    }
}

/// A running log, and a way to wait for what it acknowledged.
final class RunningLog: Sendable {
    struct Heard: Sendable {
        var durable: UInt64 = 0
        var callbacks = 0
        var failures: [LogError] = []
    }

    let store: LogStore
    let recovered: RecoveredLog
    private let sequence = Mutex<UInt64>(0)
    private let heard: Listener

    private final class Listener: @unchecked Sendable {
        // Proof: `value` is touched only with `condition` locked.
        let condition = NSCondition()
        var value = Heard()
    }

    init(_ directory: String, options: LogOptions) throws {
        (store, recovered) = try LogStore.open(directory: directory, options: options)
        let listener = Listener()
        heard = listener
        try store.start(
            onDurable: { sequence in
                listener.condition.lock()
                precondition(sequence >= listener.value.durable, "acknowledgements went back")
                listener.value.durable = sequence
                listener.value.callbacks += 1
                listener.condition.broadcast()
                listener.condition.unlock()
            },
            onFailure: { error in
                listener.condition.lock()
                listener.value.failures.append(error)
                listener.condition.broadcast()
                listener.condition.unlock()
            })
    }

    var nextSequence: UInt64 {
        sequence.withLock { sequence in
            sequence += 1
            return sequence
        }
    }

    /// Submits and returns the sequence.
    @discardableResult
    func submit(_ entries: [Entry], hardState: HardState? = nil) -> UInt64 {
        let number = nextSequence
        store.submit(.persist(sequence: number, hardState: hardState, entries: entries))
        return number
    }

    /// Submits and waits until it is durable. Throws the failure if there is one.
    func persist(_ entries: [Entry], hardState: HardState? = nil) throws {
        try wait(for: submit(entries, hardState: hardState))
    }

    func reset(index: LogIndex, term: Term) throws {
        let number = nextSequence
        store.submit(.reset(sequence: number, index: index, term: term))
        try wait(for: number)
    }

    func wait(for number: UInt64) throws {
        let heard = wait { $0.durable >= number || !$0.failures.isEmpty }
        if heard.durable < number, let failure = heard.failures.first { throw failure }
    }

    /// Waits until the condition holds, for at most half a minute.
    @discardableResult
    func wait(_ condition: (Heard) -> Bool) -> Heard {
        let deadline = Date(timeIntervalSinceNow: 30)
        heard.condition.lock()
        defer { heard.condition.unlock() }
        while !condition(heard.value) {
            guard heard.condition.wait(until: deadline) else {
                fatalError("nothing heard from the log: \(heard.value)")
            }
        }
        return heard.value
    }

    var failures: [LogError] { wait { _ in true }.failures }

    /// Every entry that can be read.
    func all() throws -> [Entry] {
        let first = store.previousIndex + 1
        return store.lastIndex < first ? [] : try store.read(from: first, to: store.lastIndex, bytesMax: .max)
    }
}

/// Options for logs of a few entries: segments of two blocks hold 4096 bytes of frames.
func smallOptions(segmentBytes: Int = 8192) -> LogOptions {
    var options = LogOptions()
    options.segmentBytes = segmentBytes
    options.headerSlots = 64
    options.writeBytesMax = 16_384
    return options
}

/// Entries with bytes that tell index and term.
func entries(_ range: ClosedRange<LogIndex>, term: Term, bytes: Int = 40) -> [Entry] {
    range.map { index in
        Entry(
            kind: index % 7 == 0 ? .configurationChangeV2 : .normal, term: term, index: index,
            data: (0..<bytes).map { UInt8(truncatingIfNeeded: UInt64($0) &* 31 &+ index &* 7 &+ term) })
    }
}

/// The terms of a list of entries, run by run.
func runs(_ entries: [Entry]) -> [Storage.TermRun] {
    var runs: [Storage.TermRun] = []
    for entry in entries where runs.last?.term != entry.term {
        runs.append(Storage.TermRun(first: entry.index, term: entry.term))
    }
    return runs
}

/// A generator whose numbers follow from its seed (xorshift64*).
struct SeededRandom: RandomNumberGenerator {
    private var state: UInt64

    init(seed: UInt64) { state = seed | 1 }

    mutating func next() -> UInt64 {
        state ^= state >> 12
        state ^= state << 25
        state ^= state >> 27
        return state &* 0x2545_F491_4F6C_DD1D
    }
}
