internal import Logging
internal import NIOCore
internal import ReplicaCore
internal import Synchronization
internal import Transport

/// Why one attempt at a request failed.
struct CallFailure: Error {
    var error: HoldfastError
    /// The request may have been carried out all the same.
    var mayHaveHappened: Bool
    /// The node said so itself.
    var isAnswer = false
}

/// Who answers requests: a node across the network, or the one in this process.
protocol RequestTarget: AnyObject, Sendable {
    /// `HOST:PORT`, or a name for messages.
    var name: String { get }
    /// Sends one request and returns the answer's payload.
    func call(
        _ kind: FrameKind, _ body: ByteBuffer, deadline: NIODeadline
    ) async throws(CallFailure) -> ByteBuffer
    /// Starts a watch. `take` gets every frame in order and at most one failure, the last. Returns how to stop it.
    func watch(
        _ request: WatchRequest, deadline: NIODeadline,
        take: @escaping @Sendable (Result<WatchFrame, HoldfastError>) -> Void
    ) async throws(CallFailure) -> @Sendable () -> Void
}

/// One other node: its request and bulk connections, dialled when they are first needed and again after they ended.
final class RemoteNode: RequestTarget {
    private enum Line {
        case idle
        case dialling([CheckedContinuation<Result<RequestChannel, TransportError>, Never>])
        case open(RequestChannel)
        case closed
    }

    let endpoint: Endpoint
    private let lines: [Purpose: Mutex<Line>.Box]
    private let loops: ClientLoops
    private let settings: TransportSettings
    private let hello: @Sendable (Purpose) -> Hello
    /// Told of an answer to a hello, before any request: a member refuses a node that is not who it was.
    private let check: @Sendable (PeerIdentity) -> HoldfastError?

    var name: String { "\(endpoint)" }

    init(
        _ endpoint: Endpoint, loops: ClientLoops, settings: TransportSettings,
        check: @escaping @Sendable (PeerIdentity) -> HoldfastError? = { _ in nil },
        hello: @escaping @Sendable (Purpose) -> Hello
    ) {
        self.endpoint = endpoint
        self.loops = loops
        self.settings = settings
        self.hello = hello
        self.check = check
        lines = [.request: .init(.idle), .bulk: .init(.idle)]
    }

    func call(
        _ kind: FrameKind, _ body: ByteBuffer, deadline: NIODeadline
    ) async throws(CallFailure) -> ByteBuffer {
        let channel = try await channel(kind.purpose, deadline: deadline)
        let result = await withUnsafeContinuation { (continuation: AnswerContinuation) in
            do throws(TransportError) {
                if kind == .putChunk {
                    // Brings its head, so that its megabytes need no copy.
                    try channel.call(
                        kind.rawValue, deadline: deadline, payload: body, summed: ChunkPut.headBytes
                    ) { continuation.resume(returning: $0) }
                    return
                }
                try channel.call(kind.rawValue, deadline: deadline) { buffer in
                    RequestHead.encode(deadline: deadline, into: &buffer)
                    buffer.writeImmutableBuffer(body)
                } completion: {
                    continuation.resume(returning: $0)
                }
            } catch {
                continuation.resume(returning: .failure(error))
            }
        }
        switch result {
        case .success(let answer): return try Self.payload(of: answer)
        case .failure(let error): throw failure(error)
        }
    }

    func watch(
        _ request: WatchRequest, deadline: NIODeadline,
        take: @escaping @Sendable (Result<WatchFrame, HoldfastError>) -> Void
    ) async throws(CallFailure) -> @Sendable () -> Void {
        let channel = try await channel(.request, deadline: deadline)
        let body = ByteBuffer.written { request.encode(into: &$0) }
        let name = self.name
        do throws(TransportError) {
            let id = try channel.call(FrameKind.watch.rawValue, deadline: deadline) { buffer in
                RequestHead.encode(deadline: deadline, into: &buffer)
                buffer.writeImmutableBuffer(body)
            } completion: { result in
                take(Self.frame(of: result, from: name))
            }
            return {
                channel.cancel(id)
                var stop = ByteBuffer()
                RequestHead.encode(deadline: .now() + .seconds(5), into: &stop)
                stop.writeInteger(id, endianness: .little)
                // Best effort: a watch whose connection is gone has ended with it.
                _ = try? channel.call(
                    FrameKind.stopWatch.rawValue, deadline: .now() + .seconds(5), payload: stop, completion: { _ in })
            }
        } catch {
            throw failure(error)
        }
    }

    /// Closes the connections; calls under way, those that wait for a connection among them, and later ones fail.
    func close() {
        for line in lines.values {
            let before = line.mutex.withLock { line in
                defer { line = .closed }
                return line
            }
            switch before {
            case .open(let channel): channel.close()
            case .dialling(let waiting): for continuation in waiting { continuation.resume(returning: Self.isClosed) }
            case .idle, .closed: break
            }
        }
    }

    // MARK: Lines

    private typealias AnswerContinuation = UnsafeContinuation<Result<Answer, TransportError>, Never>
    private typealias LineContinuation = CheckedContinuation<Result<RequestChannel, TransportError>, Never>

    private static var isClosed: Result<RequestChannel, TransportError> { .failure(.notSent("the node is closed")) }

    private func channel(_ purpose: Purpose, deadline: NIODeadline) async throws(CallFailure) -> RequestChannel {
        guard let line = lines[purpose] else {
            preconditionFailure("a remote node has no line for \(purpose)")
        }
        if let open = line.mutex.withLock({ line -> RequestChannel? in
            if case .open(let channel) = line { return channel }
            return nil
        }) {
            return open
        }
        let result = await withCheckedContinuation { (continuation: LineContinuation) in
            enum Step { case dial, wait, have(RequestChannel), closed }
            let step = line.mutex.withLock { line -> Step in
                switch line {
                case .open(let channel): return .have(channel)
                case .closed: return .closed
                case .idle:
                    line = .dialling([continuation])
                    return .dial
                case .dialling(let waiting):
                    line = .dialling(waiting + [continuation])
                    return .wait
                }
            }
            switch step {
            case .wait: break
            case .have(let channel): continuation.resume(returning: .success(channel))
            case .closed: continuation.resume(returning: Self.isClosed)
            case .dial: dial(purpose, line, deadline: deadline)
            }
        }
        switch result {
        case .success(let channel): return channel
        case .failure(let error): throw failure(error)
        }
    }

    private func dial(_ purpose: Purpose, _ line: Mutex<Line>.Box, deadline: NIODeadline) {
        Task {
            var result: Result<RequestChannel, TransportError>
            do throws(TransportError) {
                let channel = try await RequestChannel.dial(
                    endpoint, hello: hello(purpose), on: loops.loop(for: purpose), settings: settings,
                    deadline: max(deadline - .now(), .milliseconds(100)),
                    onClose: { _ in Self.ended(line) })
                if let refusal = check(channel.connection.peer) {
                    channel.close(.local(refusal.message))
                    result = .failure(.refused(.otherIncarnation, refusal.message))
                } else {
                    result = .success(channel)
                }
            } catch {
                result = .failure(error)
            }
            let made = result
            let waiting = line.mutex.withLock { line -> [LineContinuation]? in
                guard case .dialling(let waiting) = line else { return nil }
                if case .success(let channel) = made { line = .open(channel) } else { line = .idle }
                return waiting
            }
            guard let waiting else {
                // Closed meanwhile: whoever waited has been told.
                if case .success(let channel) = made { channel.close() }
                return
            }
            for continuation in waiting { continuation.resume(returning: made) }
        }
    }

    private static func ended(_ line: Mutex<Line>.Box) {
        line.mutex.withLock { line in
            if case .open = line { line = .idle }
        }
    }

    // MARK: Answers

    private static func payload(of answer: Answer) throws(CallFailure) -> ByteBuffer {
        if answer.header.kind == FrameKind.success.rawValue { return answer.payload }
        let error = ErrorCodec.decode(answer.payload)
        throw CallFailure(error: error, mayHaveHappened: error.code == .outcomeUnknown, isAnswer: true)
    }

    private static func frame(
        of result: Result<Answer, TransportError>, from name: String
    ) -> Result<WatchFrame, HoldfastError> {
        switch result {
        case .failure(let error):
            return .failure(HoldfastError(.unavailable, "watch at \(name) ended: \(error)"))
        case .success(let answer):
            guard answer.header.kind == FrameKind.event.rawValue else {
                return .failure(ErrorCodec.decode(answer.payload))
            }
            var payload = answer.payload
            var reader = payload.byteReader()
            do throws(DecodeError) {
                return .success(try WatchFrame.decode(from: &reader))
            } catch {
                return .failure(HoldfastError(error, "watch frame"))
            }
        }
    }

    private func failure(_ error: TransportError) -> CallFailure {
        let code: HoldfastError.Code
        switch error {
        case .refused(.otherCluster, _), .refused(.otherBootstrap, _), .refused(.otherLineage, _),
            .refused(.otherIncarnation, _), .refused(.notMember, _), .refused(.protocolVersion, _):
            code = .incompatible
        case .overloaded, .refused(.overloaded, _): code = .overloaded
        case .tooLarge: code = .invalidArgument
        case .deadlineExceeded: code = .deadlineExceeded
        default: code = .unavailable
        }
        return CallFailure(
            error: HoldfastError(code, "\(endpoint): \(error)", details: ["endpoint": name]),
            mayHaveHappened: error.mayHaveHappened)
    }
}

extension FrameKind {
    /// The purpose of the connection that carries requests of this kind.
    var purpose: Purpose {
        switch self {
        case .consensus, .logFloor, .snapshotRefused: .consensus
        case .putChunk, .getChunk, .siteChunk, .snapshotPart: .bulk
        default: .request
        }
    }
}

extension Mutex where Value: ~Copyable {
    /// A mutex that can stand in a dictionary.
    final class Box: Sendable {
        let mutex: Mutex<Value>

        init(_ value: consuming sending Value) { mutex = Mutex(value) }
    }
}

/// The event loops of a process' outgoing requests: small ones on one, chunks on the other.
struct ClientLoops: Sendable {
    let request: any EventLoop
    let bulk: any EventLoop

    func loop(for purpose: Purpose) -> any EventLoop { purpose == .bulk ? bulk : request }
}
