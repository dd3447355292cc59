internal import NIOCore
internal import ReplicaCore
internal import Transport

/// The watches of a node: each is a reader of the feed with a place of its own, woken when revisions are applied.
///
/// Nothing is buffered per watch beyond the page that is under way, so a slow reader costs no memory: it reads its next page
/// when its connection takes bytes again. On the control loop.
///
/// Invariants:
/// 1. A watch has at most one page under way.
/// 2. Pages of a watch follow each other without gap or overlap: each begins at the `next` of the one before.
///
/// `@unchecked Sendable`: every variable is touched only on the control loop.
final class WatchHub: @unchecked Sendable {
    /// Where the pages of a watch go.
    enum Sink: Sendable {
        case connection(ServerConnection, id: UInt64)
        /// Returns whether more pages are wanted now; `resume` asks for them later.
        case local(@Sendable (Result<WatchFrame, HoldfastError>) -> Void)
    }

    private final class Watch {
        let number: UInt64
        let sink: Sink
        let request: WatchRequest
        var next: UInt64
        var isReading = false
        var isBlocked = false
        var isNew = true

        init(number: UInt64, sink: Sink, request: WatchRequest) {
            self.number = number
            self.sink = sink
            self.request = request
            next = request.from
        }
    }

    /// Watches of one node.
    static let watchesMax = 16_384
    private static let pageEventsMax = 1_000
    private static let pageBytesMax = 256 << 10

    private let loop: any EventLoop
    private let readLane: ReadLane
    private let replies: ReplyQueue
    private let figures: NodeFigures
    private var watches: [UInt64: Watch] = [:]
    private var lastNumber: UInt64 = 0
    private var revision: UInt64 = 0
    private var isStopped = false
    /// Why no watch is served for now; nil as a rule.
    private var refusal: HoldfastError?

    init(loop: any EventLoop, readLane: ReadLane, replies: ReplyQueue, figures: NodeFigures, revision: UInt64) {
        self.loop = loop
        self.readLane = readLane
        self.replies = replies
        self.figures = figures
        self.revision = revision
    }

    /// Starts a watch; throws `overloaded` where there are too many. Answers the number by which to stop it.
    @discardableResult
    func begin(_ request: WatchRequest, sink: Sink) throws(HoldfastError) -> UInt64 {
        guard !isStopped else { throw HoldfastError(.unavailable, "the node is stopping") }
        if let refusal { throw refusal }
        guard watches.count < Self.watchesMax else {
            throw HoldfastError(.overloaded, "this node has \(Self.watchesMax) watches; ask another one")
        }
        lastNumber += 1
        let watch = Watch(number: lastNumber, sink: sink, request: request)
        watches[lastNumber] = watch
        figures.watches.increment()
        read(watch)
        return lastNumber
    }

    /// Revisions through `revision` are visible in the rows.
    func applied(_ revision: UInt64) {
        guard revision > self.revision else { return }
        self.revision = revision
        for watch in watches.values where !watch.isReading && !watch.isBlocked { read(watch) }
    }

    /// History above `revision` is undone, or was left out up to there: what watches have delivered may not have happened, or is not all.
    func rewound(to revision: UInt64) {
        self.revision = revision
        endAll(HoldfastError(.fenced, "this site's history was set to revision \(revision); watch the primary"))
    }

    /// Stops the watch that a request of this connection began.
    func stop(_ connection: ServerConnection, id: UInt64) {
        for (number, watch) in watches {
            if case .connection(let owner, let request) = watch.sink, owner === connection, request == id {
                watches[number] = nil
            }
        }
    }

    /// Stops a watch by its number.
    func stop(_ number: UInt64) { watches[number] = nil }

    /// The connection takes bytes again: its watches read on.
    func writabilityChanged(_ connection: ServerConnection) {
        guard connection.isWritable else { return }
        for watch in watches.values where watch.isBlocked {
            guard case .connection(let owner, _) = watch.sink, owner === connection else { continue }
            watch.isBlocked = false
            read(watch)
        }
    }

    /// The connection has ended, and its watches with it.
    func closed(_ connection: ServerConnection) {
        watches = watches.filter { _, watch in
            if case .connection(let owner, _) = watch.sink { return owner !== connection }
            return true
        }
    }

    /// Ends every watch with `error`, and refuses new ones.
    func stopAll(_ error: HoldfastError) {
        isStopped = true
        endAll(error)
    }

    /// Ends every watch with `error` and refuses new ones with it until `resume`: the rows are not to be relied on.
    func suspend(_ error: HoldfastError) {
        refusal = error
        endAll(error)
    }

    /// Serves watches again.
    func resume() { refusal = nil }

    private func endAll(_ error: HoldfastError) {
        for watch in watches.values { end(watch, error) }
        watches = [:]
        replies.flush()
    }

    /// Reads the next page. Keeps (1).
    private func read(_ watch: Watch) {
        watch.isReading = true
        let number = watch.number
        let request = watch.request
        let next = watch.next
        readLane.submit { [weak self, loop] view, fault in
            let page: Result<WatchFrame, HoldfastError>
            do throws(HoldfastError) {
                if let fault { throw fault }
                page = .success(try Self.page(of: request, from: next, view))
            } catch {
                page = .failure(error)
            }
            guard let self else { return }
            loop.execute { self.deliver(page, to: number) }
        }
    }

    private static func page(
        of request: WatchRequest, from next: UInt64, _ view: borrowing ReadView
    ) throws(HoldfastError) -> WatchFrame {
        let first = next == 0 ? view.state.revision + 1 : next
        guard first <= view.state.revision else { return WatchFrame(next: first, events: []) }
        let page = try RequestService.query { () throws(QueryError) in
            try FeedReader.events(
                from: first, keys: request.keys, space: request.space, eventsMax: pageEventsMax,
                bytesMax: pageBytesMax, at: view.point, rows: view.rows)
        }
        return WatchFrame(next: page.next, events: page.events)
    }

    /// Keeps (2).
    private func deliver(_ page: Result<WatchFrame, HoldfastError>, to number: UInt64) {
        guard let watch = watches[number] else { return }
        watch.isReading = false
        switch page {
        case .failure(let error):
            watches[number] = nil
            end(watch, error)
        case .success(let page):
            // The first frame says where the watch stands, even without an event.
            if watch.isNew || !page.events.isEmpty, !send(page, to: watch) { break }
            watch.next = page.next
            watch.isNew = false
            if page.next <= revision, !watch.isBlocked { read(watch) }
        }
        replies.flush()
    }

    /// Sends a page; false if it did not go out: then the watch has ended, or reads the page again when there is room.
    private func send(_ frame: WatchFrame, to watch: Watch) -> Bool {
        switch watch.sink {
        case .local(let take):
            take(.success(frame))
            return true
        case .connection(let connection, let id):
            var writer = ByteWriter()
            frame.encode(into: &writer)
            let isSent = connection.send(.event, id: id, flags: .more) { $0.writeBytes(writer.bytes) }
            watch.isBlocked = !connection.isWritable
            if isSent { return true }
            if writer.bytes.count > TransportLimits.framePayloadBytesMax {
                // Pages end between revisions: this one revision is too long for a frame, now and later.
                watches[watch.number] = nil
                end(watch, Self.tooLong(frame))
            } else {
                // The queue is full, so the socket takes nothing, and its next word is that it does again.
                watch.isBlocked = true
            }
            return false
        }
    }

    private static func tooLong(_ frame: WatchFrame) -> HoldfastError {
        let revision = frame.events.last?.kv.modRevision ?? frame.next
        return HoldfastError(
            .resourceExhausted,
            "revision \(revision) changed more keys than one frame holds; list the keys, and watch from revision "
                + "\(revision + 1)", details: ["revision": String(revision)])
    }

    private func end(_ watch: Watch, _ error: HoldfastError) {
        switch watch.sink {
        case .connection(let connection, let id):
            connection.send(.failure, id: id) { ErrorCodec.encode(error, into: &$0) }
        case .local(let take):
            take(.failure(error))
        }
    }
}
