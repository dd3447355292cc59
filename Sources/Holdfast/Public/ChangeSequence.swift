internal import NIOCore
internal import Synchronization

/// The changes that a watch reports, in order of their revisions and without a gap.
public struct ChangeSequence: AsyncSequence, Sendable {
    let router: Router
    let request: WatchRequest
    let timeout: TimeAmount

    /// Starts a watch of its own; several iterators watch independently.
    public func makeAsyncIterator() -> AsyncIterator {
        AsyncIterator(WatchReader(router: router, request: request, timeout: timeout))
    }

    /// Delivers one change at a time; not to be used by two tasks at once.
    public struct AsyncIterator: AsyncIteratorProtocol {
        private let reader: WatchReader
        private var page: [Change] = []
        private var place = 0

        init(_ reader: WatchReader) { self.reader = reader }

        /// The next change; waits for it. Nil when the task was cancelled; throws `HoldfastError`.
        public mutating func next() async throws -> Change? {
            while place == page.count {
                guard let next = try await reader.nextPage() else { return nil }
                page = next
                place = 0
            }
            defer { place += 1 }
            return page[place]
        }
    }
}

/// Follows one watch across lost nodes.
///
/// Invariants:
/// 1. `next` is the revision from which a new stream must begin so that nothing is missed and nothing comes twice.
/// 2. At most `pagesMax` pages wait; beyond it the stream is given up and taken up again at `next` once they are read.
final class WatchReader: Sendable {
    private struct State {
        var pages: [WatchFrame] = []
        var failure: HoldfastError?
        var waiting: CheckedContinuation<Void, Never>?
        /// Tells frames of the stream at hand from those of one that was given up.
        var stream: UInt64 = 0
        var isStreaming = false
        var stop: (@Sendable () -> Void)?
        var next: UInt64
        /// The next revision that has not yet been put into `pages`.
        var received: UInt64
        var isCancelled = false
    }

    private static let pagesMax = 64

    private let router: Router
    private let request: WatchRequest
    private let timeout: TimeAmount
    private let state: Mutex<State>

    init(router: Router, request: WatchRequest, timeout: TimeAmount) {
        self.router = router
        self.request = request
        self.timeout = timeout
        state = Mutex(State(next: request.from, received: request.from))
    }

    deinit { state.withLock { $0.stop }?() }

    /// The changes of the next page, which may be empty; nil when cancelled.
    func nextPage() async throws(HoldfastError) -> [Change]? {
        var pause = RetryPause()
        while true {
            if Task.isCancelled {
                cancel()
                return nil
            }
            let step = state.withLock { state -> Result<WatchFrame?, HoldfastError> in
                if !state.pages.isEmpty {
                    let page = state.pages.removeFirst()
                    state.next = page.next
                    return .success(page)
                }
                if let failure = state.failure {
                    state.failure = nil
                    return .failure(failure)
                }
                return .success(nil)
            }
            switch step {
            case .success(let page?): return page.events.map(Change.init)
            case .success(nil): break
            case .failure(let error):
                guard error.code == .unavailable || error.code == .overloaded else { throw error }
                router.rotate()
                // A node that refuses at once must not be asked without a pause.
                await pause.wait()
            }
            if !state.withLock({ $0.isStreaming }) { try await subscribe() }
            await wait()
        }
    }

    /// Waits for a page, a failure or the task's cancellation.
    private func wait() async {
        await withTaskCancellationHandler {
            await withCheckedContinuation { (continuation: CheckedContinuation<Void, Never>) in
                let isReady = state.withLock { state -> Bool in
                    if !state.pages.isEmpty || state.failure != nil || state.isCancelled { return true }
                    state.waiting = continuation
                    return false
                }
                if isReady { continuation.resume() }
            }
        } onCancel: {
            self.cancel()
        }
    }

    private func cancel() {
        let (stop, waiting) = state.withLock { state in
            defer {
                state.stop = nil
                state.waiting = nil
                state.isStreaming = false
                state.isCancelled = true
            }
            return (state.stop, state.waiting)
        }
        stop?()
        waiting?.resume()
    }

    /// Starts a stream at `next`. Keeps (1).
    private func subscribe() async throws(HoldfastError) {
        let (stream, from) = state.withLock { state in
            state.stream += 1
            state.isStreaming = true
            state.received = state.next
            return (state.stream, state.next)
        }
        var request = self.request
        request.from = from
        do throws(HoldfastError) {
            let stop = try await router.watch(request, deadline: .now() + timeout) { [weak self] result in
                self?.take(result, stream: stream)
            }
            let isOver = state.withLock { state -> Bool in
                guard state.stream == stream, state.isStreaming else { return true }
                state.stop = stop
                return false
            }
            if isOver { stop() }
        } catch {
            state.withLock { $0.isStreaming = false }
            throw error
        }
    }

    private func take(_ result: Result<WatchFrame, HoldfastError>, stream: UInt64) {
        let (waiting, stop) = state.withLock { state -> (CheckedContinuation<Void, Never>?, (@Sendable () -> Void)?) in
            guard state.stream == stream, state.isStreaming else { return (nil, nil) }
            var stop: (@Sendable () -> Void)?
            switch result {
            case .failure(let error):
                state.failure = error
                state.isStreaming = false
                state.stop = nil
            case .success(let frame):
                state.pages.append(frame)
                state.received = frame.next
                if state.pages.count >= Self.pagesMax {
                    // Keeps (2).
                    state.isStreaming = false
                    stop = state.stop
                    state.stop = nil
                }
            }
            defer { state.waiting = nil }
            return (state.waiting, stop)
        }
        stop?()
        waiting?.resume()
    }
}
