internal import Logging
internal import Storage
internal import Synchronization

/// What happens when rows turn out to be unreadable while the node runs: it is quarantined at once and rebuilt from a peer by itself,
/// however often that must be tried.
final class RowsDamage: Sendable {
    private let quarantine: Quarantine
    private let rebuild: Rebuild
    private let logger: Logger
    private let state = Mutex(State())

    private struct State {
        var isKnown = false
        var repair: Task<Void, Never>?
    }

    init(quarantine: Quarantine, rebuild: Rebuild, logger: Logger) {
        self.quarantine = quarantine
        self.rebuild = rebuild
        self.logger = logger
    }

    /// Reports what was found; returns once it is recorded. From any task.
    func found(_ detail: String) async {
        let isNews = state.withLock { state in
            defer { state.isKnown = true }
            return !state.isKnown
        }
        guard isNews else { return }
        await withCheckedContinuation { (continuation: CheckedContinuation<Void, Never>) in
            LaneThread.start("hf-quarantine") { [quarantine] in
                quarantine.enter(RepairMark(.rows, detail, milliseconds: WallClock.milliseconds))
                continuation.resume()
            }
        }
        let repair = Task { await self.repair() }
        state.withLock { $0.repair = repair }
    }

    /// Gives up what is under way; the mark has the next start go on.
    func stop() { state.withLock { $0.repair }?.cancel() }

    private func repair() async {
        var pause = RetryPause()
        while !Task.isCancelled {
            do throws(HoldfastError) {
                try await rebuild.run()
                state.withLock { $0 = State() }
                return
            } catch {
                logger.warning("the damaged rows are not rebuilt yet", metadata: ["reason": "\(error.message)"])
                await pause.wait()
            }
        }
    }
}
