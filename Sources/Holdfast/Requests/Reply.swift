internal import NIOCore
internal import Synchronization
internal import Transport

/// Where the answer to one request goes: back over its connection, or to a caller in this process. Answered exactly once.
enum Reply: Sendable {
    case connection(ServerConnection, id: UInt64)
    case local(@Sendable (Result<ByteBuffer, HoldfastError>) -> Void)

    /// Answers with what `body` writes; on the control loop.
    func succeed(_ body: (inout ByteBuffer) -> Void) {
        switch self {
        case .connection(let connection, let id):
            guard !connection.send(.success, id: id, body) else { return }
            // Too long for a frame (or there is no room, and then for this neither): the caller must not wait in vain. A command has
            // been applied; asked again, its session answers with less.
            fail(HoldfastError(.outcomeUnknown, "the answer is too long for a frame; ask for less at a time"))
        case .local(let complete):
            var buffer = ByteBuffer()
            body(&buffer)
            complete(.success(buffer))
        }
    }

    /// Answers with an error; on the control loop.
    func fail(_ error: HoldfastError) {
        switch self {
        case .connection(let connection, let id):
            connection.send(.failure, id: id) { ErrorCodec.encode(error, into: &$0) }
        case .local(let complete):
            complete(.failure(error))
        }
    }

    /// Answers with bytes that are already encoded, or with an error; on the control loop.
    func complete(_ result: Result<ByteBuffer, HoldfastError>) {
        switch result {
        case .success(let payload): succeed { $0.writeImmutableBuffer(payload) }
        case .failure(let error): fail(error)
        }
    }
}

/// Answers on their way from other threads to the control loop, and the connections that have something to flush.
///
/// `@unchecked Sendable`: `posted` is a Mutex; `dirty` is touched only on the control loop.
final class ReplyQueue: @unchecked Sendable {
    private struct Posted {
        var answers: [(Reply, Result<ByteBuffer, HoldfastError>)] = []
        var isWakeUpDue = false
        /// The loop is about to end: nobody is left to be answered over a connection.
        var isClosed = false
    }

    private let loop: any EventLoop
    private let posted = Mutex(Posted())
    private var dirty: [ServerConnection] = []

    init(loop: any EventLoop) { self.loop = loop }

    /// Answers from any thread; many answers share one wake-up.
    func post(_ reply: Reply, _ result: Result<ByteBuffer, HoldfastError>) {
        if case .local(let complete) = reply { return complete(result) }
        let wakes = posted.withLock { posted in
            guard !posted.isClosed else { return false }
            posted.answers.append((reply, result))
            defer { posted.isWakeUpDue = true }
            return !posted.isWakeUpDue
        }
        if wakes { loop.execute { self.drain() } }
    }

    /// Remembers a connection that was sent something outside of its own read burst (on the loop).
    func touched(_ connection: ServerConnection) { dirty.append(connection) }

    /// Hands everything that was sent to the sockets (on the loop).
    func flush() {
        for connection in dirty { connection.flush() }
        dirty.removeAll(keepingCapacity: true)
    }

    /// Drops what is posted from now on: the connections are closed, and the loop ends soon.
    func close() { posted.withLock { $0.isClosed = true } }

    private func drain() {
        var answers: [(Reply, Result<ByteBuffer, HoldfastError>)] = []
        posted.withLock { posted in
            swap(&answers, &posted.answers)
            posted.isWakeUpDue = false
        }
        for (reply, result) in answers { reply.complete(result) }
        flush()
    }
}
