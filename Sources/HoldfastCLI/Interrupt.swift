internal import Foundation
internal import UnixSignals

/// Signals and the end of the program.
enum Interrupt {
    /// A reader that goes away must not kill the program: writes then fail and are dropped.
    static func ignoreBrokenPipes() { signal(SIGPIPE, SIG_IGN) }

    /// Ends the program at once: output has no buffer, and what C libraries do at `exit` would race with RocksDB's threads, which
    /// a store may still be closing.
    static func exit(_ status: Int32) -> Never { _exit(status) }

    /// Runs `body`; on SIGINT runs `onInterrupt` instead of waiting for it, and ends with the status it returns.
    ///
    /// Ending at once is safe: whatever is durable stays so, and a cluster does not depend on its clients.
    static func guarding<Result>(
        _ body: () async throws -> Result, onInterrupt: @escaping @Sendable () -> Int32
    ) async rethrows -> Result {
        let signals = await UnixSignalsSequence(trapping: .sigint)
        let watcher = Task {
            for await _ in signals { exit(onInterrupt()) }
        }
        defer { watcher.cancel() }
        return try await body()
    }
}
