// Keeps one outgoing connection to a peer.
//
//   idle ──start()──▶ dialling ──welcome──▶ up ──connection ends──▶ waiting
//                        ▲  └───failed───▶ waiting                    │
//                        └──────────pause over, or dialNow()──────────┘      close() leads to closed from everywhere
//
// 1. At most one dial or one connection at a time.
// 2. `linkUp` and `linkDown` alternate, beginning with `linkUp`; after `close` nothing is reported.

internal import Logging
package import NIOCore

/// What a link tells its owner; every call is on the link's loop.
package protocol LinkHandler: AnyObject {
    /// The handshake is over; `Link.send` works. The peer's identity is `connection.peer`.
    func linkUp(_ link: Link, _ connection: Connection)
    /// The connection has ended; the link dials again by itself.
    func linkDown(_ link: Link, _ reason: CloseReason)
    /// A dial failed; the link dials again by itself. `connectionRefused` means that the process there is gone.
    func linkFailed(_ link: Link, _ error: TransportError)
    /// One frame from the peer.
    func received(_ link: Link, _ header: FrameHeader, _ payload: ByteBuffer)
    /// A burst of frames is over; see `ConnectionHandler.readCompleted`.
    func readCompleted(_ link: Link)
    /// See `ConnectionHandler.writabilityChanged`.
    func writabilityChanged(_ link: Link)
}

extension LinkHandler {
    package func readCompleted(_ link: Link) {}
    package func writabilityChanged(_ link: Link) {}
}

/// Keeps one outgoing connection to a peer: dials, shakes hands, and dials again with back-off. Made anywhere, used on
/// its loop.
package final class Link: @unchecked Sendable {
    // Proof of Sendable: the variables are touched only on `eventLoop`, and each function checks that first.

    private enum State {
        case idle
        case dialling
        case up(Connection)
        case waiting(Scheduled<Void>)
        case closed
    }

    package let purpose: Purpose
    package let eventLoop: any EventLoop
    private let settings: TransportSettings
    private let hello: @Sendable () -> Hello
    private var endpoint: Endpoint
    private var backoff: Backoff
    private var state = State.idle
    private var wasUp = false
    private var upSince = NIODeadline.uptimeNanoseconds(0)
    private weak var handler: (any LinkHandler)?

    /// A link to `endpoint`; `hello` is asked before each dial, on the loop, since what a node knows of itself grows.
    package init(
        to endpoint: Endpoint, purpose: Purpose, on eventLoop: any EventLoop, settings: TransportSettings,
        backoff: Backoff, hello: @escaping @Sendable () -> Hello
    ) {
        self.endpoint = endpoint
        self.purpose = purpose
        self.eventLoop = eventLoop
        self.settings = settings
        self.backoff = backoff
        self.hello = hello
    }

    /// Begins to dial; `handler` is held weakly.
    package func start(_ handler: any LinkHandler) {
        eventLoop.preconditionInEventLoop()
        self.handler = handler
        guard case .idle = state else { return }
        dial()
    }

    /// The connection while the link is up.
    package var connection: Connection? {
        eventLoop.preconditionInEventLoop()
        if case .up(let connection) = state { return connection }
        return nil
    }

    /// Whether frames can be sent.
    package var isUp: Bool { connection?.isOpen ?? false }

    /// Queues a frame; false if the link is down or its queue full, and then nothing of it is sent. See `Connection.send`.
    @discardableResult
    package func send(
        _ kind: UInt8, id: UInt64, flags: FrameFlags = [], _ body: (inout ByteBuffer) -> Void
    ) -> Bool {
        connection?.send(kind, id: id, flags: flags, body) ?? false
    }

    /// Queues a frame with a payload that exists; as `send` with a closure.
    @discardableResult
    package func send(_ kind: UInt8, id: UInt64, flags: FrameFlags = [], payload: ByteBuffer) -> Bool {
        connection?.send(kind, id: id, flags: flags, payload: payload) ?? false
    }

    /// Gives everything queued to the socket.
    package func flush() { connection?.flush() }

    /// Dials now if the link waits: the peer has shown that it is there, or has a new address.
    package func dialNow(_ endpoint: Endpoint? = nil) {
        eventLoop.preconditionInEventLoop()
        if let endpoint { self.endpoint = endpoint }
        guard case .waiting(let timer) = state else { return }
        timer.cancel()
        backoff.reset()
        dial()
    }

    /// Ends the link for good.
    package func close() {
        eventLoop.preconditionInEventLoop()
        let previous = state
        state = .closed
        switch previous {
        case .up(let connection): connection.close(.local("link closed"))
        case .waiting(let timer): timer.cancel()
        case .idle, .dialling, .closed: break
        }
    }

    private func dial() {
        state = .dialling
        Dialer.dial(
            endpoint, hello: hello(), on: eventLoop, settings: settings,
            makeHandler: { _ in LinkConnection(self) },
            completion: { result in
                if case .failure(let error) = result { self.dialFailed(error) }
            })
    }

    private func dialFailed(_ error: TransportError) {
        guard case .dialling = state else { return }
        settings.logger.debug(
            "dial failed", metadata: ["endpoint": "\(endpoint)", "purpose": "\(purpose)", "error": "\(error)"])
        wait(backoff.next())
        handler?.linkFailed(self, error)
    }

    private func wait(_ milliseconds: Int64) {
        state = .waiting(
            eventLoop.assumeIsolated().scheduleTask(in: .milliseconds(milliseconds)) {
                guard case .waiting = self.state else { return }
                self.dial()
            })
    }

    // MARK: From the connection

    fileprivate func connected(_ connection: Connection) {
        guard case .dialling = state else { return connection.close(.local("link closed")) }
        state = .up(connection)
        upSince = .now()
        if wasUp { settings.meter.addReconnect() }
        wasUp = true
        handler?.linkUp(self, connection)
    }

    fileprivate func closed(_ connection: Connection, _ reason: CloseReason) {
        guard case .up(let current) = state, current === connection else { return }
        // After a good while up the first dial goes out at once: a refusal tells soonest that the process is gone.
        // A connection that ended soon (its owner did not like the peer, say) counts as a failed dial instead.
        let wasLong = NIODeadline.now() - upSince >= .milliseconds(TransportLimits.backoffMillisecondsMax)
        if wasLong { backoff.reset() }
        wait(wasLong ? 0 : backoff.next())
        handler?.linkDown(self, reason)
    }

    fileprivate func received(_ connection: Connection, _ header: FrameHeader, _ payload: ByteBuffer) {
        guard case .up(let current) = state, current === connection else { return }
        handler?.received(self, header, payload)
    }

    fileprivate func readCompleted() { handler?.readCompleted(self) }

    fileprivate func writabilityChanged() { handler?.writabilityChanged(self) }
}

/// What a link's connection tells; of its own, so that the link's functions stay its owner's.
private final class LinkConnection: ConnectionHandler {
    private let link: Link

    init(_ link: Link) { self.link = link }

    func connected(_ connection: Connection) { link.connected(connection) }
    func received(_ connection: Connection, _ header: FrameHeader, _ payload: ByteBuffer) {
        link.received(connection, header, payload)
    }
    func readCompleted(_ connection: Connection) { link.readCompleted() }
    func writabilityChanged(_ connection: Connection) { link.writabilityChanged() }
    func closed(_ connection: Connection, _ reason: CloseReason) { link.closed(connection, reason) }
}
