internal import Logging
internal import NIOCore

/// The accepting end of a handshake, on the control loop: waits for the hello, asks for admission, answers.
final class AcceptHandshake: HandshakeStage {
    private let core: ListenerCore
    private var deadline: Scheduled<Void>?
    private var isOver = false

    init(core: ListenerCore) {
        self.core = core
    }

    func begin(_ driver: FrameChannelHandler, _ context: ChannelHandlerContext) {
        deadline = context.eventLoop.assumeIsolated().scheduleTask(in: core.settings.handshakeDeadline) {
            guard !self.isOver else { return }
            driver.end(context, .local("no hello before the deadline"))
        }
    }

    func received(
        _ driver: FrameChannelHandler, _ context: ChannelHandlerContext, _ header: FrameHeader, _ payload: ByteBuffer,
        trailingBytes: Int
    ) {
        guard !isOver else { return }
        finish()
        guard header.kind == HandshakeKind.hello, trailingBytes == 0 else {
            return refuse(
                driver, context, .badHello,
                "a connection begins with one hello and nothing behind it; update the client")
        }
        let hello: Hello
        do throws(HandshakeFault) {
            hello = try Hello(decoding: payload)
        } catch {
            return refuse(driver, context, .badHello, "\(error.message); update the client")
        }
        guard let version = hello.commonVersion else {
            return refuse(
                driver, context, .protocolVersion,
                "this node speaks protocol versions \(TransportLimits.protocolVersionMin) to "
                    + "\(TransportLimits.protocolVersionMax), the other end \(hello.protocolVersionMin) to "
                    + "\(hello.protocolVersionMax); update the older one")
        }
        guard core.hasRoom(for: hello.purpose) else {
            return refuse(driver, context, .overloaded, "this node has too many connections; try again later")
        }
        let remoteAddress = context.remoteAddress.map { String(describing: $0) } ?? "unknown"
        switch core.admit(hello, remoteAddress) {
        case .refuse(let code, let sentence):
            refuse(driver, context, code, sentence)
        case .accept(var welcome, let makeHandler):
            welcome.protocolVersion = version
            let adopted = AdoptedHandshake(hello: hello, welcome: welcome, makeHandler: makeHandler)
            guard hello.purpose == .bulk else { return adopted.begin(driver, context) }
            do {
                try core.moveToBulkLoop(driver, context, adopted)
            } catch {
                core.settings.meter.addHandshakeFailed()
                core.settings.logger.warning("moving a bulk connection failed", metadata: ["error": "\(error)"])
                driver.end(context, .failed("\(error)"))
            }
        }
    }

    func ended(_ reason: CloseReason) {
        guard !isOver else { return }
        finish()
        core.settings.meter.addHandshakeFailed()
        core.settings.logger.debug("handshake not completed", metadata: ["reason": "\(reason)"])
    }

    private func finish() {
        isOver = true
        deadline?.cancel()
        core.handshakeOver()
    }

    private func refuse(
        _ driver: FrameChannelHandler, _ context: ChannelHandlerContext, _ code: RefusalCode, _ sentence: String
    ) {
        core.settings.meter.addRefused()
        core.settings.logger.info(
            "refused a connection", metadata: ["code": "\(code.rawValue)", "sentence": "\(sentence)"])
        var frame = ByteBuffer()
        frame.writeFrame(kind: HandshakeKind.refusal, id: 0) { Refusal(code, sentence).encode(into: &$0) }
        let written = context.eventLoop.makePromise(of: Void.self)
        written.futureResult.assumeIsolated().whenComplete { _ in driver.end(context, .local("refused: \(sentence)")) }
        context.writeAndFlush(driver.wrapOutboundOut(.byteBuffer(frame)), promise: written)
    }
}

/// What is left of a handshake once the hello is admitted: the welcome, on the loop where the connection stays.
final class AdoptedHandshake: HandshakeStage, Sendable {
    private let hello: Hello
    private let welcome: Welcome
    private let makeHandler: @Sendable (Connection) -> any ConnectionHandler

    init(hello: Hello, welcome: Welcome, makeHandler: @escaping @Sendable (Connection) -> any ConnectionHandler) {
        self.hello = hello
        self.welcome = welcome
        self.makeHandler = makeHandler
    }

    func begin(_ driver: FrameChannelHandler, _ context: ChannelHandlerContext) {
        var frame = ByteBuffer()
        frame.writeFrame(kind: HandshakeKind.welcome, id: 0) { welcome.encode(into: &$0) }
        driver.open(
            context, purpose: hello.purpose, peer: hello.identity, protocolVersion: welcome.protocolVersion,
            isDialled: false, first: frame, makeHandler: makeHandler)
    }

    func received(
        _ driver: FrameChannelHandler, _ context: ChannelHandlerContext, _ header: FrameHeader, _ payload: ByteBuffer,
        trailingBytes: Int
    ) {
        driver.end(context, .local("bytes before the welcome"))
    }

    func ended(_ reason: CloseReason) {}
}
