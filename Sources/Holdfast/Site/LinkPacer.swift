internal import NIOCore
internal import ReplicaCore
internal import Synchronization

/// The one place where bulk that comes over the link waits its turn. Rows do not: they are small, and overtake it.
final class LinkPacer: Sendable {
    private let bucket = Mutex(PaceBucket())
    private let pace: @Sendable () -> SitePace

    /// `pace` tells what is in force now.
    init(pace: @escaping @Sendable () -> SitePace) { self.pace = pace }

    /// Returns when `bytes` may be asked for.
    ///
    /// - Throws: `unavailable` when the link is paused, or the task is cancelled.
    func turn(of bytes: Int) async throws(HoldfastError) {
        while true {
            let now = pace()
            if now.isPaused { throw HoldfastError(.unavailable, "the link is paused; 'site resume' goes on") }
            let rate = now.rate(at: WallClock.milliseconds)
            let wait = bucket.withLock {
                $0.take(bytes, now: NIODeadline.now().uptimeNanoseconds, bytesPerSecond: rate)
            }
            guard let wait else { return }
            do {
                try await Task.sleep(nanoseconds: wait)
            } catch {
                throw HoldfastError(.unavailable, "this node is stopping")
            }
        }
    }

    /// Gives back what was asked for and not sent: a chunk may be shorter, or came compressed.
    func giveBack(_ bytes: Int) { bucket.withLock { $0.giveBack(bytes) } }
}
