internal import Glibc
internal import Logging
package import NIOCore
internal import NIOPosix

/// Makes outgoing connections: connect, hello, welcome.
package enum Dialer {
    /// Dials `endpoint` on `loop`; `completion` is called once, on the loop, after `makeHandler`'s handler has heard
    /// `connected`. The deadline (the settings' own, or `deadline` if sooner) covers connect and handshake.
    package static func dial(
        _ endpoint: Endpoint, hello: Hello, on loop: any EventLoop, settings: TransportSettings,
        deadline: TimeAmount? = nil, makeHandler: @escaping @Sendable (Connection) -> any ConnectionHandler,
        completion: @escaping @Sendable (Result<Connection, TransportError>) -> Void
    ) {
        let connectDeadline = min(settings.connectDeadline, deadline ?? settings.connectDeadline)
        let bootstrap = ClientBootstrap(group: loop).connectTimeout(connectDeadline)
        let started = NIODeadline.now()
        let connected: EventLoopFuture<any Channel>
        if let address = literal(endpoint) {
            connected = bootstrap.connect(to: address)
        } else {
            connected = bootstrap.connect(host: endpoint.host, port: endpoint.port)
        }
        connected.whenComplete { result in
            switch result {
            case .failure(let error):
                completion(.failure(TransportError(connecting: error, endpoint)))
            case .success(let channel):
                let sooner = min(settings.handshakeDeadline, deadline ?? settings.handshakeDeadline)
                let handshake = DialHandshake(
                    hello: hello, deadline: deadline == nil ? .now() + sooner : started + sooner, settings: settings,
                    makeHandler: makeHandler, completion: completion)
                // The handler comes last: of several addresses tried at once only one becomes this channel.
                handshake.start(on: channel)
            }
        }
    }

    /// Dials and waits for the welcome.
    package static func dial(
        _ endpoint: Endpoint, hello: Hello, on loop: any EventLoop, settings: TransportSettings,
        deadline: TimeAmount? = nil, makeHandler: @escaping @Sendable (Connection) -> any ConnectionHandler
    ) async throws(TransportError) -> Connection {
        let result = await withCheckedContinuation { (continuation: DialContinuation) in
            dial(endpoint, hello: hello, on: loop, settings: settings, deadline: deadline, makeHandler: makeHandler) {
                continuation.resume(returning: $0)
            }
        }
        return try result.get()
    }

    private typealias DialContinuation = CheckedContinuation<Result<Connection, TransportError>, Never>

    private static func literal(_ endpoint: Endpoint) -> SocketAddress? {
        do {
            return try SocketAddress(ipAddress: endpoint.host, port: endpoint.port)
        } catch {
            return nil  // A name, for the resolver.
        }
    }
}

/// The dialling end of a handshake.
private final class DialHandshake: HandshakeStage {
    private let hello: Hello
    private let settings: TransportSettings
    private let deadline: NIODeadline
    private let makeHandler: @Sendable (Connection) -> any ConnectionHandler
    private var completion: (@Sendable (Result<Connection, TransportError>) -> Void)?
    private var timer: Scheduled<Void>?
    private var failure: TransportError?

    init(
        hello: Hello, deadline: NIODeadline, settings: TransportSettings,
        makeHandler: @escaping @Sendable (Connection) -> any ConnectionHandler,
        completion: @escaping @Sendable (Result<Connection, TransportError>) -> Void
    ) {
        self.hello = hello
        self.deadline = deadline
        self.settings = settings
        self.makeHandler = makeHandler
        self.completion = completion
    }

    func start(on channel: any Channel) {
        guard channel.isActive else { return complete(.failure(.handshakeFailed("closed before the hello"))) }
        do {
            try channel.pipeline.syncOperations.addHandler(
                FrameChannelHandler(self, meter: settings.meter, logger: settings.logger))
        } catch {
            complete(.failure(.handshakeFailed("\(error)")))
            channel.close(promise: nil)
        }
    }

    func begin(_ driver: FrameChannelHandler, _ context: ChannelHandlerContext) {
        guard completion != nil, timer == nil else { return }
        timer = context.eventLoop.assumeIsolated().scheduleTask(deadline: deadline) {
            self.complete(.failure(.handshakeFailed("no welcome before the deadline")))
            driver.end(context, .local("no welcome before the deadline"))
        }
        var frame = ByteBuffer()
        frame.writeFrame(kind: HandshakeKind.hello, id: 0) { hello.encode(into: &$0) }
        context.writeAndFlush(driver.wrapOutboundOut(.byteBuffer(frame)), promise: nil)
    }

    func received(
        _ driver: FrameChannelHandler, _ context: ChannelHandlerContext, _ header: FrameHeader, _ payload: ByteBuffer,
        trailingBytes: Int
    ) {
        guard completion != nil else { return }
        do throws(HandshakeFault) {
            switch header.kind {
            case HandshakeKind.welcome:
                welcomed(driver, context, try Welcome(decoding: payload))
            case HandshakeKind.refusal:
                let refusal = try Refusal(decoding: payload)
                complete(.failure(.refused(refusal.code, refusal.sentence)))
                driver.end(context, .local("refused"))
            default:
                throw HandshakeFault(message: "frame of kind \(header.kind) instead of a welcome")
            }
        } catch {
            complete(.failure(.handshakeFailed(error.message)))
            driver.end(context, .local(error.message))
        }
    }

    private func welcomed(_ driver: FrameChannelHandler, _ context: ChannelHandlerContext, _ welcome: Welcome) {
        let known = hello.protocolVersionMin...hello.protocolVersionMax
        guard known.contains(welcome.protocolVersion) else {
            complete(.failure(.handshakeFailed("welcome with protocol version \(welcome.protocolVersion)")))
            return driver.end(context, .local("unknown protocol version"))
        }
        timer?.cancel()
        var opened: Connection?
        driver.open(
            context, purpose: hello.purpose, peer: welcome.identity, protocolVersion: welcome.protocolVersion,
            isDialled: true, first: nil
        ) { connection in
            opened = connection
            return makeHandler(connection)
        }
        if let opened { complete(.success(opened)) }
    }

    func ended(_ reason: CloseReason) {
        switch reason {
        case .badFrame(let fault): complete(.failure(.handshakeFailed(fault.description)))
        case .remote: complete(.failure(.handshakeFailed("the other end closed the connection without an answer")))
        default: complete(.failure(.handshakeFailed(reason.description)))
        }
    }

    private func complete(_ result: Result<Connection, TransportError>) {
        timer?.cancel()
        completion?(result)
        completion = nil
    }
}

extension TransportError {
    /// What a failed connect says: refused only if every address of the host refused.
    init(connecting error: any Error, _ endpoint: Endpoint) {
        let causes: [any Error]
        if let several = error as? NIOConnectionError {
            causes = several.connectionErrors.map(\.error)
        } else {
            causes = [error]
        }
        let refused = causes.allSatisfy { ($0 as? IOError)?.errnoCode == ECONNREFUSED }
        if refused, !causes.isEmpty {
            self = .connectionRefused(endpoint: "\(endpoint)")
        } else {
            self = .unreachable(endpoint: "\(endpoint)", message: "\(error)")
        }
    }
}
