internal import Holdfast
internal import Synchronization

/// The store's changes as watches deliver them: the first watch to see a revision says what it holds, and all others must agree.
///
/// Rules checked: every watch delivers revisions in rising order, each once; every watch delivers the same of each revision; no
/// watch leaves out a revision that another one had.
final class Feed: Sendable {
    /// What one watch delivered.
    struct Delivered: Sendable {
        /// Who watched, for messages.
        var name: String
        /// Where it began.
        var from: Revision
        /// The revisions that it delivered, whole ones, in order.
        var revisions: [Revision] = []
    }

    private struct State {
        var entries: [Revision: [FeedEntry]] = [:]
        var highest: Revision = 0
        var delivered: [Delivered] = []
        var events = 0
    }

    private let state = Mutex(State())
    private let violations: Violations

    init(_ violations: Violations) { self.violations = violations }

    /// The highest revision seen.
    var highest: Revision { state.withLock { $0.highest } }
    /// How many changes watches have delivered.
    var events: Int { state.withLock { $0.events } }
    /// What every revision holds, of keys.
    var entries: [Revision: [FeedEntry]] { state.withLock { $0.entries } }
    /// The watches that have ended.
    var delivered: [Delivered] { state.withLock { $0.delivered } }

    /// Where a watch ends.
    enum End: Sendable {
        /// At a key that one revision writes alone.
        case key(String)
        /// Once something behind a revision comes.
        case beyond(Revision)
    }

    /// Watches every key from a revision on until an end, or until the task is cancelled. Where nobody answers it waits, and goes on
    /// behind the last revision that it had.
    ///
    /// - Throws: what ends the watch otherwise.
    func follow(
        _ name: String, _ store: Store, from: Revision, until end: End
    ) async throws(HoldfastError) {
        var delivered = Delivered(name: name, from: from)
        defer { state.withLock { $0.delivered.append(delivered) } }
        while !Task.isCancelled {
            do throws(HoldfastError) {
                try await follow(store, &delivered, end)
                return
            } catch {
                guard error.code == .unavailable else { throw error }
            }
        }
    }

    private func follow(
        _ store: Store, _ delivered: inout Delivered, _ end: End
    ) async throws(HoldfastError) {
        let from = delivered.revisions.last.map { $0 + 1 } ?? delivered.from
        /// The changes of the revision at hand; it is whole once something comes after it.
        var group: [FeedEntry] = []
        var changes = store.watch(.prefix(Key([])), from: from).makeAsyncIterator()
        while let change = try await Self.next(&changes) {
            let item = FeedEntry(change.keyValue)
            let entry = FeedEntry(
                key: item.key, value: change.kind == .delete ? nil : item.value, revision: item.revision)
            if let open = group.first?.revision, entry.revision != open {
                take(group, &delivered)
                group = []
                if entry.revision < open {
                    violations.add(
                        "watch order", "\(delivered.name) delivered revision \(entry.revision) after \(open)")
                }
            }
            if entry.revision < from {
                violations.add(
                    "watch order", "\(delivered.name) delivered revision \(entry.revision), asked from \(from) on")
            }
            group.append(entry)
            switch end {
            case .beyond(let last): if entry.revision > last { return }
            case .key(let key):
                if entry.key == key {
                    take(group, &delivered)
                    return
                }
            }
        }
    }

    private static func next(_ changes: inout ChangeSequence.AsyncIterator) async throws(HoldfastError) -> Change? {
        do {
            return try await changes.next()
        } catch let error as HoldfastError {
            throw error
        } catch {
            throw HoldfastError(.incompatible, "a watch ended with an error of another type: \(error)")
        }
    }

    private func take(_ group: [FeedEntry], _ delivered: inout Delivered) {
        guard let revision = group.first?.revision else { return }
        if let last = delivered.revisions.last, revision <= last {
            violations.add("watch duplicate", "\(delivered.name) delivered revision \(revision) again, after \(last)")
        }
        delivered.revisions.append(revision)
        let standing = state.withLock { state -> [FeedEntry]? in
            state.events += group.count
            state.highest = max(state.highest, revision)
            if let standing = state.entries[revision] { return standing }
            state.entries[revision] = group
            return nil
        }
        if let standing, standing != group {
            violations.add(
                "watch content",
                "\(delivered.name) delivered \(group) at revision \(revision), another watch \(standing)")
        }
    }
}
