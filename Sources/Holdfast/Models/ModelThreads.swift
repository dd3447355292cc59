internal import NIOCore
internal import NIOPosix

/// The threads on which models are read, hashed and written, so that the cooperative pool is never blocked.
///
/// They are shared by everything in the process and live as long as it does.
package enum ModelThreads {
    private static let pool: NIOThreadPool = {
        // Two more than cores: hashing keeps the cores busy while a read or write waits for a disk.
        let pool = NIOThreadPool(numberOfThreads: System.coreCount + 2)
        pool.start()
        return pool
    }()

    /// Runs blocking work on one of the threads; throws without beginning it when the task is cancelled.
    package static func run<Result: Sendable>(
        _ body: @escaping @Sendable () throws(HoldfastError) -> Result
    ) async throws(HoldfastError) -> Result {
        // Work that has begun is waited for, so that nothing it writes comes after the caller has gone on.
        if Task.isCancelled { throw HoldfastError(wrapping: CancellationError()) }
        let result = await compute { () -> Swift.Result<Result, HoldfastError> in
            do throws(HoldfastError) { return .success(try body()) } catch { return .failure(error) }
        }
        return try result.get()
    }

    /// Runs work that cannot fail on one of the threads, also when the task is cancelled.
    package static func compute<Result: Sendable>(_ body: @escaping @Sendable () -> Result) async -> Result {
        await withCheckedContinuation { continuation in
            // The pool lives as long as the process, so its item is never told that it was cancelled.
            pool.submit { _ in continuation.resume(returning: body()) }
        }
    }
}

extension HoldfastError {
    /// The error as it is, or what a foreign one means: only cancellation reaches here besides our own.
    package init(wrapping error: any Error) {
        if let known = error as? HoldfastError {
            self = known
        } else if error is CancellationError {
            self.init(.unavailable, "the transfer was cancelled")
        } else {
            self.init(.unavailable, "the transfer failed: \(error)")
        }
    }
}
