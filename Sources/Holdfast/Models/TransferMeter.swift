internal import Synchronization

/// Counts the bytes of a pull or a verification and reports them one call at a time, never falling.
package final class TransferMeter: Sendable {
    private let done = Mutex<UInt64>(0)
    private let totalBytes: UInt64
    private let progress: (@Sendable (TransferProgress) -> Void)?

    package init(totalBytes: UInt64, progress: (@Sendable (TransferProgress) -> Void)?) {
        self.totalBytes = totalBytes
        self.progress = progress
        progress?(TransferProgress(doneBytes: 0, totalBytes: totalBytes))
    }

    /// So many bytes more are done.
    package func add(_ bytes: UInt64) {
        guard bytes > 0 else { return }
        done.withLock { done in
            done += bytes
            progress?(TransferProgress(doneBytes: done, totalBytes: totalBytes))
        }
    }
}
