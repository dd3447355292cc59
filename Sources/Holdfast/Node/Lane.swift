internal import CHoldfast
internal import NIOConcurrencyHelpers
internal import Synchronization

#if canImport(Glibc)
    internal import Glibc
#endif

/// A thread that drains a queue: producers append under a lock, and one wake-up hands over everything that gathered.
///
/// Items are handled in the order of submission. A wake-up costs some 20 µs, so what can be handed over together should be.
package final class Lane<Item: Sendable>: Sendable {
    private let queue: LaneQueue<Item>

    /// Starts the thread; `name` shows in `top -H` (15 characters). `body` gets every item that gathered, never none, and runs only on the thread.
    package init(_ name: String, body: @escaping @Sendable (_ items: inout [Item]) -> Void) {
        let queue = LaneQueue<Item>()
        self.queue = queue
        let held = HeldBody(body)
        LaneThread.start(name) {
            Self.drain(queue, held)
            queue.ended()
        }
    }

    /// Handles items until the lane is stopped. The body and all that it holds is gone when this returns, before `stop` does: what
    /// it held may then be opened again.
    private static func drain(_ queue: LaneQueue<Item>, _ held: HeldBody<Item>) {
        guard let body = held.take() else { return }
        var taken: [Item] = []
        while queue.take(into: &taken) {
            body(&taken)
            taken.removeAll(keepingCapacity: true)
        }
    }

    /// Queues an item from any thread; dropped after `stop`. Answers how many items now wait.
    @discardableResult
    package func submit(_ item: Item) -> Int { queue.submit(item) }

    /// Lets the thread handle what is queued and waits until it has ended. Not to be called from the thread itself.
    package func stop() { queue.stop() }
}

/// A lane's body until its thread takes it.
private final class HeldBody<Item: Sendable>: Sendable {
    typealias Body = @Sendable (_ items: inout [Item]) -> Void

    private let body: Mutex<Body?>

    init(_ body: @escaping Body) { self.body = Mutex(body) }

    func take() -> Body? {
        body.withLock { body in
            defer { body = nil }
            return body
        }
    }
}

/// The items under way to a lane's thread.
///
/// `@unchecked Sendable`: `items`, `isStopping` and `hasEnded` are touched only between `lock` and `unlock` of `state`.
private final class LaneQueue<Item: Sendable>: @unchecked Sendable {
    private enum State: Equatable {
        case idle
        case ready
        case ended
    }

    private let state = ConditionLock<State>(value: .idle)
    private var items: [Item] = []
    private var isStopping = false
    private var hasEnded = false

    func submit(_ item: Item) -> Int {
        state.lock()
        guard !isStopping else {
            state.unlock()
            return 0
        }
        items.append(item)
        let count = items.count
        state.unlock(withValue: .ready)
        return count
    }

    /// Swaps the queue against the empty `taken`; false when stopped and drained.
    func take(into taken: inout [Item]) -> Bool {
        state.lock(whenValue: .ready)
        swap(&items, &taken)
        let isOver = isStopping && taken.isEmpty
        state.unlock(withValue: isStopping && !isOver ? .ready : .idle)
        return !isOver
    }

    func ended() {
        state.lock()
        hasEnded = true
        state.unlock(withValue: .ended)
    }

    func stop() {
        state.lock()
        isStopping = true
        state.unlock(withValue: hasEnded ? .ended : .ready)
        state.lock(whenValue: .ended)
        state.unlock()
    }
}

/// A detached thread with a name.
enum LaneThread {
    private final class Body: Sendable {
        let name: String
        let run: @Sendable () -> Void

        init(name: String, run: @escaping @Sendable () -> Void) {
            self.name = name
            self.run = run
        }
    }

    /// Runs `body` on a new thread. Traps where the system gives no thread: nothing of a node works without them.
    static func start(_ name: String, _ body: @escaping @Sendable () -> Void) {
        let argument = Unmanaged.passRetained(Body(name: name, run: body))
        var thread = pthread_t()
        let result = pthread_create(
            &thread, nil,
            { pointer in
                guard let pointer else { return nil }
                let body = Unmanaged<Body>.fromOpaque(pointer).takeRetainedValue()
                chf_name_thread(body.name)
                body.run()
                return nil
            }, argument.toOpaque())
        precondition(result == 0, "no thread '\(name)': error \(result)")
        pthread_detach(thread)
    }
}
