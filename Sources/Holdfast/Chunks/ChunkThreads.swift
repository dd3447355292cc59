internal import NIOPosix

/// Threads for blocking work on chunk files and rows, so that neither the cooperative pool nor an event loop waits for a disk.
final class ChunkThreads: Sendable {
    private let pool: NIOThreadPool

    /// Starts `count` threads; they end with `stop()`, which must be called.
    init(count: Int) {
        pool = NIOThreadPool(numberOfThreads: count)
        pool.start()
    }

    /// Runs blocking work on one of the threads; what has begun runs to its end, also when the task is cancelled.
    func run<Value: Sendable>(
        _ body: @escaping @Sendable () throws(HoldfastError) -> Value
    ) async throws(HoldfastError) -> Value {
        let result: Result<Value, HoldfastError> = await withCheckedContinuation { continuation in
            pool.submit { state in
                guard case .active = state else {
                    return continuation.resume(
                        returning: .failure(HoldfastError(.unavailable, "this node is stopping; ask another")))
                }
                continuation.resume(returning: Result(catching: body))
            }
        }
        return try result.get()
    }

    /// Ends the threads after the work that has begun.
    func stop() async {
        // It fails only where the threads have ended already.
        try? await pool.shutdownGracefully()
    }
}

/// Background work of a node that lives no longer than `run()`.
final class TaskNest: Sendable {
    private let works: AsyncStream<@Sendable () async -> Void>
    private let entry: AsyncStream<@Sendable () async -> Void>.Continuation

    init() { (works, entry) = AsyncStream.makeStream() }

    /// Has `work` run beside the rest; dropped once `run()` has ended. The callers bound how much there is.
    func spawn(_ work: @escaping @Sendable () async -> Void) { entry.yield(work) }

    /// Runs what is spawned until the task is cancelled, and waits for its end.
    func run() async {
        await withDiscardingTaskGroup { group in
            for await work in works { group.addTask { await work() } }
            group.cancelAll()
        }
        entry.finish()
    }
}

/// Calls `body` for every item, at most `limit` at a time, and returns when all have ended.
func forEachConcurrently<Item: Sendable>(
    _ items: [Item], limit: Int, _ body: @escaping @Sendable (Item) async -> Void
) async {
    await withTaskGroup(of: Void.self) { group in
        for (place, item) in items.enumerated() {
            if place >= limit { await group.next() }
            group.addTask { await body(item) }
        }
    }
}
