internal import Synchronization

/// A token bucket over time: each request is given the moment from which it may go, so nobody asks again and again.
package final class SendRate: Sendable {
    private let bytesPerSecond: Double
    private let free = Mutex<ContinuousClock.Instant?>(nil)

    /// A rate of at least one byte a second.
    package init(bytesPerSecond: UInt64) { self.bytesPerSecond = Double(max(1, bytesPerSecond)) }

    /// How long `bytes` must wait when they are asked for at `now`: until all bytes before them have had their time.
    package func delay(of bytes: Int, at now: ContinuousClock.Instant) -> Duration {
        free.withLock { free in
            let start = max(free ?? now, now)
            free = start + .seconds(Double(bytes) / bytesPerSecond)
            return start - now
        }
    }

    /// Waits for the turn of `bytes`; throws when the task is cancelled.
    package func wait(for bytes: Int) async throws(HoldfastError) {
        let now = ContinuousClock.now
        let delay = delay(of: bytes, at: now)
        guard delay > .zero else { return }
        do {
            try await Task.sleep(until: now + delay, clock: .continuous)
        } catch {
            throw HoldfastError(wrapping: error)
        }
    }
}
