// One listening address.
//
//   accept ─▶ hello read on the control loop ─▶ admission ─┬─ consensus, request: stays on the control loop
//                                                          └─ bulk: its socket moves to the bulk loop
//
// 1. At most `handshakesMax` connections are without a hello, at most `connectionsMax` are open, of which at most
//    `bulkConnectionsMax` for bulk.
// 2. Admission runs on the control loop, so it sees the node's state between two turns.

internal import Glibc
internal import Logging
package import NIOCore
internal import NIOPosix

/// What a node answers to a hello.
package enum Admission: Sendable {
    /// Let in: the welcome, and who handles the connection, asked on the connection's own loop.
    case accept(Welcome, @Sendable (Connection) -> any ConnectionHandler)
    /// Not let in: the code and the sentence that the dialler is shown.
    case refuse(RefusalCode, String)
}

/// Decides about a hello and the address it comes from; called on the control loop.
package typealias Admit = @Sendable (_ hello: Hello, _ remoteAddress: String) -> Admission

/// One listening address with its accepted connections.
package final class Listener: Sendable {
    /// The bound address; its port is the one that the system chose if 0 was asked for.
    package let endpoint: Endpoint
    private let channel: any Channel
    private let core: ListenerCore

    private init(endpoint: Endpoint, channel: any Channel, core: ListenerCore) {
        self.endpoint = endpoint
        self.channel = channel
        self.core = core
    }

    /// Listens on `endpoint` and serves consensus and request connections on `controlLoop`, bulk ones on `bulkLoop`.
    /// Throws `plaintextRefused` for anything beyond loopback unless the settings allow it, `addressInUse` or
    /// `bindFailed`.
    package static func bind(
        _ endpoint: Endpoint, controlLoop: any EventLoop, bulkLoop: any EventLoop, settings: TransportSettings,
        admit: @escaping Admit
    ) async throws(TransportError) -> Listener {
        let address = try await resolve(endpoint)
        if !address.isLoopback {
            guard settings.allowPlaintext else {
                throw .plaintextRefused(endpoint: "\(endpoint)", address: "\(address.ipAddress ?? "?")")
            }
            settings.logger.warning(
                "listening beyond loopback without encryption: anyone on the network can read and write",
                metadata: ["endpoint": "\(endpoint)"])
        }
        let core = ListenerCore(controlLoop: controlLoop, bulkLoop: bulkLoop, settings: settings, admit: admit)
        let bootstrap = ServerBootstrap(group: controlLoop, childGroup: controlLoop)
            .serverChannelOption(.backlog, value: TransportLimits.listenBacklog)
            .serverChannelOption(.socketOption(.so_reuseaddr), value: 1)
            .childChannelInitializer { channel in
                channel.eventLoop.makeCompletedFuture { try core.accepted(channel) }
            }
        do {
            let channel = try await bootstrap.bind(to: address).get()
            let port = channel.localAddress?.port ?? endpoint.port
            return Listener(endpoint: Endpoint(host: endpoint.host, port: port), channel: channel, core: core)
        } catch let error as IOError where error.errnoCode == EADDRINUSE {
            throw .addressInUse(endpoint: "\(endpoint)")
        } catch {
            throw .bindFailed(endpoint: "\(endpoint)", message: "\(error)")
        }
    }

    /// Stops listening and closes every accepted connection.
    package func close() async {
        do {
            try await channel.close().get()
        } catch {
            // Already closed: that is what was asked for.
        }
        await core.closeAll()
    }

    private static func resolve(_ endpoint: Endpoint) async throws(TransportError) -> SocketAddress {
        do {
            // getaddrinfo blocks: not on a thread of the cooperative pool.
            return try await NIOThreadPool.singleton.runIfActive {
                try SocketAddress.makeAddressResolvingHost(endpoint.host, port: endpoint.port)
            }
        } catch {
            throw .bindFailed(endpoint: "\(endpoint)", message: "unknown host (\(error))")
        }
    }
}

/// The part of a listener that lives on its control loop.
final class ListenerCore: @unchecked Sendable {
    // Proof of Sendable: the variables are touched only on `controlLoop`, and each function checks that first.

    let controlLoop: any EventLoop
    let bulkLoop: any EventLoop
    let settings: TransportSettings
    let admit: Admit
    let budget = PartialPayloadBudget()
    private var handshakes = 0
    private var bulkConnections = 0
    private var channels: [ObjectIdentifier: any Channel] = [:]
    private var isClosed = false

    init(controlLoop: any EventLoop, bulkLoop: any EventLoop, settings: TransportSettings, admit: @escaping Admit) {
        self.controlLoop = controlLoop
        self.bulkLoop = bulkLoop
        self.settings = settings
        self.admit = admit
    }

    /// Whether a connection that has said hello may be let in (it is counted already). Keeps (1).
    func hasRoom(for purpose: Purpose) -> Bool {
        controlLoop.preconditionInEventLoop()
        return channels.count <= settings.connectionsMax
            && (purpose != .bulk || bulkConnections < settings.bulkConnectionsMax)
    }

    /// Takes a fresh channel into the handshake, or closes it. Keeps (1).
    func accepted(_ channel: any Channel) throws {
        controlLoop.preconditionInEventLoop()
        settings.meter.addAccepted()
        guard !isClosed, handshakes < settings.handshakesMax else {
            settings.meter.addRefused()
            settings.logger.warning("too many connections in handshake: closing the newest")
            throw TransportError.overloaded
        }
        handshakes += 1
        track(channel)
        let handshake = AcceptHandshake(core: self)
        try channel.pipeline.syncOperations.addHandler(
            FrameChannelHandler(handshake, meter: settings.meter, logger: settings.logger, budget: budget))
    }

    func handshakeOver() {
        controlLoop.preconditionInEventLoop()
        handshakes -= 1
    }

    /// Counts a channel until it is closed.
    func track(_ channel: any Channel) {
        controlLoop.preconditionInEventLoop()
        let key = ObjectIdentifier(channel)
        channels[key] = channel
        channel.closeFuture.hop(to: controlLoop).whenComplete { _ in self.channels[key] = nil }
    }

    /// Closes every accepted connection and refuses those on their way.
    func closeAll() async {
        let open = controlLoop.submit {
            self.isClosed = true
            return self.channels.values.map(\.self)
        }
        do {
            for channel in try await open.get() {
                channel.pipeline.fireErrorCaught(CloseReason.shutdown)
                try await channel.closeFuture.get()
            }
        } catch {
            settings.logger.debug("closing connections", metadata: ["error": "\(error)"])
        }
    }

    /// Moves the socket of `context`'s channel to the bulk loop. The dialler sends nothing before the welcome, so no byte
    /// is on its way through the old channel.
    func moveToBulkLoop(
        _ driver: FrameChannelHandler, _ context: ChannelHandlerContext, _ stage: AdoptedHandshake
    ) throws {
        controlLoop.preconditionInEventLoop()
        let copied = try context.pipeline.syncOperations.withUnsafeTransportIfAvailable(
            of: NIOBSDSocket.Handle.self
        ) { fcntl($0, F_DUPFD_CLOEXEC, 0) }
        guard let descriptor = copied, descriptor >= 0 else {
            throw IOError(errnoCode: errno, reason: "duplicating a bulk socket")
        }
        driver.abandon(context)
        bulkConnections += 1
        let settings = settings
        let budget = budget
        ClientBootstrap(group: bulkLoop)
            .channelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    try channel.pipeline.syncOperations.addHandler(
                        FrameChannelHandler(stage, meter: settings.meter, logger: settings.logger, budget: budget))
                }
            }
            .withConnectedSocket(descriptor)
            .hop(to: controlLoop)
            .whenComplete { result in
                switch result {
                case .success(let channel):
                    self.track(channel)
                    channel.closeFuture.hop(to: self.controlLoop).whenComplete { _ in self.bulkConnections -= 1 }
                    if self.isClosed { channel.pipeline.fireErrorCaught(CloseReason.shutdown) }
                case .failure(let error):
                    self.bulkConnections -= 1
                    settings.meter.addHandshakeFailed()
                    settings.logger.warning("moving a bulk connection failed", metadata: ["error": "\(error)"])
                }
            }
    }
}
