internal import Foundation
internal import Holdfast
internal import Linearizability
internal import Synchronization

/// Writes down what clients ask and are told, in one order, in memory and in a history file.
final class Recorder: Sendable {
    /// A revision that an operation learned: of its own write, or of the state that it read.
    struct Learned: Sendable {
        /// The places of its two events in the history.
        var begin: Int
        var end: Int
        /// What it learned.
        var revision: Revision
        /// Whether the revision is its own: no other write has it.
        var isWrite: Bool
    }

    /// How operations of one name ended.
    struct Count: Sendable {
        /// Done; certainly not done; nobody knows.
        var done = 0, failed = 0, unknown = 0
    }

    private struct State {
        var events: [HistoryEvent] = []
        var learned: [Learned] = []
        var seen: [FeedEntry] = []
        var written: [FeedEntry] = []
        var counts: [String: Count] = [:]
        var file: FileHandle
        var failure: String?
    }

    private let start = ContinuousClock.now
    private let state: Mutex<State>

    init(file: String) throws {
        guard FileManager.default.createFile(atPath: file, contents: nil),
            let handle = FileHandle(forWritingAtPath: file)
        else { throw CampaignError("cannot write \(file)") }
        state = Mutex(State(file: handle))
    }

    /// An operation begins; answers the place of its event.
    func begin(_ process: Int, _ action: Action) -> Int {
        add(HistoryEvent(process: process, kind: .invoke, action: action))
    }

    /// It ended.
    ///
    /// - Parameters:
    ///   - seen: keys that it read, with their revisions.
    ///   - written: what it wrote, with the revision of it.
    func end(
        _ process: Int, since begin: Int, _ kind: HistoryEvent.Kind, _ action: Action, error: String? = nil,
        revision: Revision? = nil, seen: [FeedEntry] = [], written: [FeedEntry] = []
    ) {
        let place = add(
            HistoryEvent(
                process: process, kind: kind, action: action,
                isRefusal: kind == .fail && error == HistoryLine.refusal, error: error))
        state.withLock { state in
            if let revision {
                let isWrite = !written.isEmpty
                state.learned.append(Learned(begin: begin, end: place, revision: revision, isWrite: isWrite))
            }
            state.seen += seen
            state.written += written
            var count = state.counts[action.name] ?? Count()
            switch kind {
            case .ok: count.done += 1
            case .info: count.unknown += 1
            case .fail where error == HistoryLine.refusal: count.done += 1
            case .fail, .invoke: count.failed += 1
            }
            state.counts[action.name] = count
        }
    }

    /// A read of which no history tells saw these.
    func saw(_ entries: [FeedEntry]) { state.withLock { $0.seen += entries } }

    private func add(_ event: HistoryEvent) -> Int {
        state.withLock { state in
            var event = event
            let elapsed = (ContinuousClock.now - start).components
            event.time = UInt64(elapsed.seconds) * 1_000_000_000 + UInt64(elapsed.attoseconds / 1_000_000_000)
            state.events.append(event)
            do {
                try state.file.write(contentsOf: Data((try HistoryLine.encode(event) + "\n").utf8))
            } catch {
                state.failure = "\(error)"
            }
            return state.events.count - 1
        }
    }

    // MARK: What was written down

    /// Throws if the file lacks a line.
    func check() throws {
        if let failure = state.withLock({ $0.failure }) { throw CampaignError("the history is not whole: \(failure)") }
    }

    /// How operations ended, by name.
    var counts: [String: Count] { state.withLock { $0.counts } }
    /// What operations learned of revisions.
    var learned: [Learned] { state.withLock { $0.learned } }
    /// Every key that a read returned, with its revision.
    var seen: [FeedEntry] { state.withLock { $0.seen } }
    /// Every write that was acknowledged with its revision.
    var written: [FeedEntry] { state.withLock { $0.written } }
    /// How many writes were acknowledged up to now.
    var acknowledged: Int { state.withLock { $0.written.count } }
}

extension Action {
    /// The name in a history file.
    fileprivate var name: String {
        switch self {
        case .read: "read"
        case .write: "write"
        case .append: "append"
        case .compareAndSet: "cas"
        case .transaction: "transaction"
        }
    }
}

/// A key as one revision left it.
struct FeedEntry: Hashable, Sendable {
    /// The key.
    var key: String
    /// Its value; nil for a removed key.
    var value: String?
    /// The revision that left it so.
    var revision: Revision
}

extension FeedEntry {
    init(_ item: KeyValue) {
        self.init(
            key: "\(item.key)", value: Padding.text(item.value), revision: item.revision)
    }
}

/// What stands behind every value, so that the log grows as it does in earnest; the history knows the values without it.
enum Padding {
    private static let padding = [UInt8](repeating: UInt8(ascii: "."), count: 8_192)

    /// The bytes that the store gets.
    static func bytes(_ value: String) -> [UInt8] { Array(value.utf8) + padding }

    /// The value that the store's bytes stand for; other bytes than ours stay as they are.
    static func text(_ bytes: [UInt8]) -> String {
        let isPadded = bytes.count > padding.count && bytes[(bytes.count - padding.count)...].elementsEqual(padding)
        return String(decoding: isPadded ? bytes.dropLast(padding.count) : bytes[...], as: UTF8.self)
    }
}

/// Why a campaign cannot go on: its own trouble, not a violation of the store.
struct CampaignError: Error, CustomStringConvertible {
    /// What happened.
    var description: String

    init(_ description: String) { self.description = description }
}
