import Logging
import NIOCore
import NIOPosix
import Synchronization
import Testing

@testable import Transport

/// A value that tests wait on: `wait` returns once a change makes the condition true (the suite's time limit is the deadline).
final class Board<Value: Sendable>: Sendable {
    private struct State {
        var value: Value
        var waiters: [(condition: @Sendable (Value) -> Bool, resume: CheckedContinuation<Value, Never>)] = []
    }

    private let state: Mutex<State>

    init(_ value: Value) { state = Mutex(State(value: value)) }

    var value: Value { state.withLock { $0.value } }

    func change(_ body: @Sendable (inout Value) -> Void) {
        let woken = state.withLock { state -> [CheckedContinuation<Value, Never>] in
            body(&state.value)
            let value = state.value
            let ready = state.waiters.filter { $0.condition(value) }.map(\.resume)
            state.waiters.removeAll { $0.condition(value) }
            return ready
        }
        let value = value
        for waiter in woken { waiter.resume(returning: value) }
    }

    @discardableResult
    func wait(_ condition: @escaping @Sendable (Value) -> Bool) async -> Value {
        await withCheckedContinuation { continuation in
            let now = state.withLock { state -> Value? in
                if condition(state.value) { return state.value }
                state.waiters.append((condition, continuation))
                return nil
            }
            if let now { continuation.resume(returning: now) }
        }
    }
}

/// What a handler has heard.
struct Heard: Sendable {
    var connection: Connection?
    var frames: [(header: FrameHeader, payload: ByteBuffer)] = []
    var bursts = 0
    var writable: [Bool] = []
    var reason: CloseReason?
    var loops: [ObjectIdentifier] = []
}

/// Writes down what it hears; echoes if asked to.
final class Recorder: ConnectionHandler {
    let heard: Board<Heard>
    let echoes: Bool
    private var isClosed = false

    init(_ heard: Board<Heard>, echoes: Bool = false) {
        self.heard = heard
        self.echoes = echoes
    }

    func connected(_ connection: Connection) {
        connection.eventLoop.preconditionInEventLoop()
        heard.change {
            $0.connection = connection
            $0.loops.append(ObjectIdentifier(connection.eventLoop))
        }
    }

    func received(_ connection: Connection, _ header: FrameHeader, _ payload: ByteBuffer) {
        connection.eventLoop.preconditionInEventLoop()
        if echoes { connection.send(header.kind, id: header.id, flags: header.flags, payload: payload) }
        heard.change { $0.frames.append((header, payload)) }
    }

    func readCompleted(_ connection: Connection) { heard.change { $0.bursts += 1 } }

    func writabilityChanged(_ connection: Connection) {
        let isWritable = connection.isWritable
        heard.change { $0.writable.append(isWritable) }
    }

    func closed(_ connection: Connection, _ reason: CloseReason) {
        connection.eventLoop.preconditionInEventLoop()
        #expect(!isClosed, "closed is told once")
        isClosed = true
        heard.change { $0.reason = reason }
    }
}

/// Three loops of their own: control and bulk of a node, and the dialler's.
struct Loops: Sendable {
    let group: MultiThreadedEventLoopGroup
    let control: any EventLoop
    let bulk: any EventLoop
    let client: any EventLoop
    let settings: TransportSettings
    var meter: TransportMeter { settings.meter }

    static let local = Endpoint(host: "127.0.0.1", port: 0)

    static func run(_ body: (Loops) async throws -> Void) async throws {
        let group = MultiThreadedEventLoopGroup(numberOfThreads: 3)
        let settings = TransportSettings(logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() })
        let loops = Loops(
            group: group, control: group.next(), bulk: group.next(), client: group.next(), settings: settings)
        do {
            try await body(loops)
        } catch {
            try await group.shutdownGracefully()
            throw error
        }
        try await group.shutdownGracefully()
    }

    func listen(
        _ endpoint: Endpoint = local, settings: TransportSettings? = nil, admit: @escaping Admit
    ) async throws -> Listener {
        try await Listener.bind(
            endpoint, controlLoop: control, bulkLoop: bulk, settings: settings ?? self.settings, admit: admit)
    }

    /// A listener that lets everyone in with a recorder of `heard`.
    func listen(_ endpoint: Endpoint = local, heard: Board<Heard>, echoes: Bool = false) async throws -> Listener {
        try await listen(endpoint) { _, _ in
            .accept(Welcome(identity: Loops.node)) { _ in Recorder(heard, echoes: echoes) }
        }
    }

    func dial(_ endpoint: Endpoint, _ purpose: Purpose, _ heard: Board<Heard>) async throws -> Connection {
        try await Dialer.dial(endpoint, hello: Loops.hello(purpose), on: client, settings: settings) { _ in
            Recorder(heard)
        }
    }

    static let node = PeerIdentity(role: .member, cluster: "north", nodeID: 7, endpoint: "127.0.0.1:7000")

    static func hello(_ purpose: Purpose) -> Hello {
        Hello(purpose: purpose, identity: PeerIdentity(role: .client, cluster: "north"))
    }
}

/// Seeded dice (SplitMix64); print the seed with a failure.
struct Dice: RandomNumberGenerator {
    private var state: UInt64
    init(_ seed: UInt64) { state = seed }
    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var mixed = state
        mixed = (mixed ^ (mixed >> 30)) &* 0xBF58_476D_1CE4_E5B9
        mixed = (mixed ^ (mixed >> 27)) &* 0x94D0_49BB_1331_11EB
        return mixed ^ (mixed >> 31)
    }

    mutating func bytes(_ count: Int) -> [UInt8] { (0..<count).map { _ in UInt8.random(in: 0...255, using: &self) } }
}

/// A bare socket of the kernel, for peers that do not keep to the protocol.
final class RawPeer: Sendable {
    let channel: any Channel
    /// Bytes received.
    let received: Board<Int>

    private final class Collector: ChannelInboundHandler, Sendable {
        typealias InboundIn = ByteBuffer
        let received: Board<Int>
        init(_ received: Board<Int>) { self.received = received }
        func channelRead(context: ChannelHandlerContext, data: NIOAny) {
            let count = unwrapInboundIn(data).readableBytes
            received.change { $0 += count }
        }
        func errorCaught(context: ChannelHandlerContext, error: any Error) { context.close(promise: nil) }
    }

    init(_ endpoint: Endpoint, on loop: any EventLoop) async throws {
        let received = Board(0)
        self.received = received
        channel = try await ClientBootstrap(group: loop)
            .channelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    try channel.pipeline.syncOperations.addHandler(Collector(received))
                }
            }
            .connect(host: endpoint.host, port: endpoint.port).get()
    }

    func write(_ bytes: [UInt8]) { channel.writeAndFlush(ByteBuffer(bytes: bytes), promise: nil) }

    func waitForEnd() async throws { try await channel.closeFuture.get() }
}
