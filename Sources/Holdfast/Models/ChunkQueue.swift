internal import Synchronization

/// Hands elements of one task to others in order. What it holds is bounded by the budget that each element carries.
///
/// Invariant: (1) whoever waits is resumed exactly once, and looks again.
package final class ChunkQueue<Element: Sendable>: Sendable {
    private struct State {
        var elements: [Element] = []
        var taken = 0
        var isFinished = false
        var waiters: [CheckedContinuation<Void, Never>] = []
    }

    private let state = Mutex(State())

    package init() {}

    /// Adds an element.
    package func push(_ element: Element) {
        wake { $0.elements.append(element) }
    }

    /// No element follows.
    package func finish() {
        wake { $0.isFinished = true }
    }

    /// The next element; nil when there is none and none will come. Throws when the task is cancelled.
    package func next() async throws(HoldfastError) -> Element? {
        while true {
            if Task.isCancelled { throw HoldfastError(wrapping: CancellationError()) }
            let (element, isFinished) = state.withLock { state in (Self.pop(&state), state.isFinished) }
            if let element { return element }
            if isFinished { return nil }
            await wait()
        }
    }

    private func wait() async {
        await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                let waits = state.withLock { state in
                    // A cancellation before this point found no waiter; it is seen here instead.
                    if Task.isCancelled || state.isFinished || state.taken < state.elements.count { return false }
                    state.waiters.append(continuation)
                    return true
                }
                if !waits { continuation.resume() }
            }
        } onCancel: {
            wake { _ in }
        }
    }

    private func wake(_ change: (inout State) -> Void) {
        let waiters = state.withLock { state in
            change(&state)
            defer { state.waiters.removeAll() }  // Keeps (1).
            return state.waiters
        }
        for waiter in waiters { waiter.resume() }
    }

    private static func pop(_ state: inout State) -> Element? {
        guard state.taken < state.elements.count else { return nil }
        let element = state.elements[state.taken]
        state.taken += 1
        if state.taken == state.elements.count {
            state.elements.removeAll(keepingCapacity: true)
            state.taken = 0
        }
        return element
    }
}
