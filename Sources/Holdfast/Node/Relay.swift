internal import Synchronization

/// A closure that is set once, after those who call it were made.
///
/// The closure lies in a class, not in the mutex: one that is read out of a generic box by `withLock` is wrapped anew on every
/// read and written back so, and calls grow slower without end.
final class Relay<Body: Sendable>: Sendable {
    private final class Held: Sendable {
        let body: Body

        init(_ body: Body) { self.body = body }
    }

    private let held = Mutex<Held?>(nil)

    /// Sets what is called from now on.
    func set(_ body: Body) { held.withLock { $0 = Held(body) } }

    /// What is called; nil before `set`.
    var body: Body? { held.withLock { $0 }?.body }
}
