internal import Synchronization

/// So many bytes that a transfer may hold at once; whoever wants more waits for its turn.
///
/// Invariants: (1) `available` is never negative: what is taken and not given back never exceeds the budget; (2) waiters are
/// served in order, so a large request is not starved by small ones; (3) a waiter is resumed exactly once.
package final class ByteBudget: Sendable {
    private struct Waiter {
        var ticket: UInt64
        var bytes: Int
        var continuation: CheckedContinuation<Bool, Never>
    }

    private struct State {
        var available: Int
        var peak = 0
        var tickets: UInt64 = 0
        var waiters: [Waiter] = []
    }

    private let total: Int
    private let state: Mutex<State>

    /// A budget of `bytes`; no single request may be larger.
    package init(bytes: Int) {
        total = bytes
        state = Mutex(State(available: bytes))
    }

    /// The most that was ever taken at once.
    package var peakBytes: Int { state.withLock { $0.peak } }

    /// Waits until `bytes` are free and takes them; throws when the task is cancelled.
    package func take(_ bytes: Int) async throws(HoldfastError) {
        precondition(bytes >= 0 && bytes <= total, "a request of \(bytes) bytes can never be met by \(total)")
        let ticket = state.withLock { state in
            state.tickets += 1
            return state.tickets
        }
        let granted = await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                let answer: Bool? = state.withLock { state in
                    // A cancellation that came before this point found no waiter to remove, so it is seen here.
                    if Task.isCancelled { return false }
                    if state.waiters.isEmpty, state.available >= bytes {
                        grant(bytes, &state)
                        return true
                    }
                    state.waiters.append(Waiter(ticket: ticket, bytes: bytes, continuation: continuation))
                    return nil
                }
                if let answer { continuation.resume(returning: answer) }
            }
        } onCancel: {
            let (removed, served) = state.withLock { state in
                let index = state.waiters.firstIndex { $0.ticket == ticket }
                let removed = index.map { state.waiters.remove(at: $0) }
                return (removed, serve(&state))
            }
            removed?.continuation.resume(returning: false)
            for waiter in served { waiter.continuation.resume(returning: true) }
        }
        guard granted else { throw HoldfastError(wrapping: CancellationError()) }
    }

    /// Gives back what was taken.
    package func give(_ bytes: Int) {
        let served = state.withLock { state in
            state.available += bytes
            precondition(state.available <= total, "more was given back than taken")
            return serve(&state)
        }
        for waiter in served { waiter.continuation.resume(returning: true) }
    }

    private func grant(_ bytes: Int, _ state: inout State) {
        state.available -= bytes  // Keeps (1): the caller has compared.
        state.peak = max(state.peak, total - state.available)
    }

    /// Grants from the front as far as the bytes reach; keeps (2) and (3).
    private func serve(_ state: inout State) -> [Waiter] {
        var served: [Waiter] = []
        while let first = state.waiters.first, first.bytes <= state.available {
            grant(first.bytes, &state)
            served.append(state.waiters.removeFirst())
        }
        return served
    }
}
