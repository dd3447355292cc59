// The one channel handler: bytes in, frames to whoever holds the connection.
//
//   handshake ──open()──▶ open ──▶ ended
//       └────────end(), or moved to another loop────▶┘

internal import Glibc
internal import Logging
internal import NIOCore

/// The part of a connection's life before it is open: what to do with its frames until then.
protocol HandshakeStage: AnyObject {
    /// The channel is active.
    func begin(_ driver: FrameChannelHandler, _ context: ChannelHandlerContext)
    /// One frame; `trailingBytes` came behind it in the same read.
    func received(
        _ driver: FrameChannelHandler, _ context: ChannelHandlerContext, _ header: FrameHeader, _ payload: ByteBuffer,
        trailingBytes: Int)
    /// The channel ended before it was open.
    func ended(_ reason: CloseReason)
}

/// Cuts a channel's bytes into frames and hands them to the handshake, later to the connection's handler.
final class FrameChannelHandler: ChannelDuplexHandler {
    typealias InboundIn = ByteBuffer
    typealias OutboundIn = IOData
    typealias OutboundOut = IOData

    private enum Stage {
        case handshake(any HandshakeStage)
        case open(Connection, any ConnectionHandler)
        case ended
    }

    private var stage: Stage
    private var decoder = FrameDecoder(payloadBytesMax: TransportLimits.handshakePayloadBytesMax)
    private let meter: TransportMeter
    private let logger: Logger
    private let budget: PartialPayloadBudget?
    private var budgetedBytes = 0
    private var burstFrames = 0
    private var burstBytes = 0
    private var failure: CloseReason?

    init(_ handshake: any HandshakeStage, meter: TransportMeter, logger: Logger, budget: PartialPayloadBudget? = nil) {
        self.stage = .handshake(handshake)
        self.meter = meter
        self.logger = logger
        self.budget = budget
    }

    // MARK: For the handshake

    /// Makes the connection: sets the socket up for its purpose, writes `first` (the welcome, if any) and calls the
    /// handler that `makeHandler` gives.
    func open(
        _ context: ChannelHandlerContext, purpose: Purpose, peer: PeerIdentity, protocolVersion: UInt8,
        isDialled: Bool, first: ByteBuffer?, makeHandler: (Connection) -> any ConnectionHandler
    ) {
        guard case .handshake = stage else { return }
        do {
            try Self.setOptions(context, purpose)
        } catch {
            return end(context, .failed("setting socket options: \(error)"))
        }
        decoder.setPayloadBytesMax(TransportLimits.payloadBytesMax(purpose))
        let connection = Connection(
            purpose: purpose, peer: peer, protocolVersion: protocolVersion, isDialled: isDialled, context: context,
            meter: meter, logger: logger)
        if let first { context.write(wrapOutboundOut(.byteBuffer(first)), promise: nil) }
        let handler = makeHandler(connection)
        stage = .open(connection, handler)
        handler.connected(connection)
        connection.flush()
    }

    /// Ends the channel for a reason of this end.
    func end(_ context: ChannelHandlerContext, _ reason: CloseReason) {
        if failure == nil { failure = reason }
        switch stage {
        case .open(let connection, _): connection.close(reason)
        case .handshake, .ended: context.close(promise: nil)
        }
    }

    /// Lets go of the channel, whose socket lives on elsewhere: its end means nothing any more.
    func abandon(_ context: ChannelHandlerContext) {
        stage = .ended
        context.close(promise: nil)
    }

    private static func setOptions(_ context: ChannelHandlerContext, _ purpose: Purpose) throws {
        guard let options = context.channel.syncOptions else { return }
        let high = TransportLimits.outboundHighBytes(purpose)
        let receiveMax = TransportLimits.receiveBytesMax(purpose)
        try options.setOption(.writeBufferWaterMark, value: .init(low: high / 2, high: high))
        try options.setOption(
            .recvAllocator,
            value: AdaptiveRecvByteBufferAllocator(
                minimum: 2_048, initial: min(64 << 10, receiveMax), maximum: receiveMax))
        // A bulk connection keeps one buffer of 1 MiB instead of four.
        if purpose == .bulk { try options.setOption(.maxMessagesPerRead, value: 1) }
        try options.setOption(.tcpOption(.tcp_nodelay), value: 1)
        try options.setOption(.socketOption(.so_keepalive), value: 1)
        if purpose == .consensus {
            try options.setOption(
                .tcpOption(NIOBSDSocket.Option(rawValue: TCP_USER_TIMEOUT)),
                value: ChannelOptions.Types.SocketOption.Value(TransportLimits.consensusUserTimeoutMilliseconds))
        }
    }

    // MARK: From the channel

    func handlerAdded(context: ChannelHandlerContext) {
        if context.channel.isActive { begin(context) }
    }

    func channelActive(context: ChannelHandlerContext) {
        begin(context)
        context.fireChannelActive()
    }

    private func begin(_ context: ChannelHandlerContext) {
        guard case .handshake(let handshake) = stage else { return }
        handshake.begin(self, context)
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        var input = unwrapInboundIn(data)
        burstBytes += input.readableBytes
        while true {
            switch decoder.next(&input) {
            case .needMore:
                return settleBudget(context)
            case .bad(let fault):
                return reject(context, fault)
            case .frame(let header, let payload):
                burstFrames += 1
                guard deliver(context, header, payload, trailingBytes: input.readableBytes) else { return }
            }
        }
    }

    private func deliver(
        _ context: ChannelHandlerContext, _ header: FrameHeader, _ payload: ByteBuffer, trailingBytes: Int
    ) -> Bool {
        switch stage {
        case .handshake(let handshake):
            handshake.received(self, context, header, payload, trailingBytes: trailingBytes)
            return true
        case .open(let connection, let handler):
            guard connection.isOpen else { return false }
            guard header.kind >= FrameHeader.applicationKindMin else {
                reject(context, .kind(header.kind))
                return false
            }
            handler.received(connection, header, payload)
            return true
        case .ended:
            return false
        }
    }

    private func reject(_ context: ChannelHandlerContext, _ fault: FrameFault) {
        guard failure == nil else { return }
        meter.addBadFrame()
        logger.warning(
            "closing a connection whose bytes are not frames",
            metadata: [
                "fault": "\(fault)", "peer": "\(context.remoteAddress.map { String(describing: $0) } ?? "unknown")",
            ])
        end(context, .badFrame(fault))
    }

    func channelReadComplete(context: ChannelHandlerContext) {
        if case .open(let connection, let handler) = stage {
            if burstFrames > 0 || burstBytes > 0 {
                meter.addReceived(connection.purpose, frames: burstFrames, bytes: burstBytes)
            }
            burstBytes = 0
            if burstFrames > 0, connection.isOpen {
                burstFrames = 0
                handler.readCompleted(connection)
                connection.flush()
            }
            burstFrames = 0
        }
        context.fireChannelReadComplete()
    }

    func read(context: ChannelHandlerContext) {
        if case .open(let connection, _) = stage, !connection.mayRead() { return }
        context.read()
    }

    func channelWritabilityChanged(context: ChannelHandlerContext) {
        if case .open(let connection, let handler) = stage {
            // In a later task: this is called from within the flush of a turn.
            context.eventLoop.assumeIsolated().execute {
                guard connection.isOpen else { return }
                if connection.isWritable {
                    connection.drainMailbox()
                    connection.readAgain()
                }
                handler.writabilityChanged(connection)
            }
        }
        context.fireChannelWritabilityChanged()
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        end(context, error as? CloseReason ?? .failed("\(error)"))
    }

    func channelInactive(context: ChannelHandlerContext) {
        let previous = stage
        stage = .ended
        releaseBudget()
        switch previous {
        case .handshake(let handshake):
            handshake.ended(failure ?? .remote)
        case .open(let connection, let handler):
            connection.ended(failure ?? .remote)
            connection.detach()
            let reason = connection.closeReason ?? .remote
            // In a later task: a failed write ends the channel within the flush of a turn.
            context.eventLoop.assumeIsolated().execute { handler.closed(connection, reason) }
        case .ended:
            break
        }
        context.fireChannelInactive()
    }

    // MARK: Memory of unfinished frames

    private func settleBudget(_ context: ChannelHandlerContext) {
        guard let budget else { return }
        // Short ones are not worth the shared counter: connections × 64 KiB at most.
        let held = decoder.heldBytes
        let counted = held >= TransportLimits.payloadReserveBytesMin ? held : 0
        guard counted != budgetedBytes else { return }
        let fits = budget.add(counted - budgetedBytes)
        budgetedBytes = counted
        guard !fits else { return }
        logger.warning("closing a connection: partly received frames are over their limit")
        end(context, .partialPayloads)
    }

    private func releaseBudget() {
        guard let budget, budgetedBytes > 0 else { return }
        _ = budget.add(-budgetedBytes)
        budgetedBytes = 0
    }
}
