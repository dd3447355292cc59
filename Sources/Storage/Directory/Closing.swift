internal import Synchronization

/// Tells whether something that closes with its last reference has been closed. A weak reference says nothing of that: it is empty as
/// soon as closing begins.
package final class Closing: Sendable {
    private let isDone = Atomic<Bool>(false)

    /// Whether it is closed.
    package var hasEnded: Bool { isDone.load(ordering: .acquiring) }

    func done() { isDone.store(true, ordering: .releasing) }
}
