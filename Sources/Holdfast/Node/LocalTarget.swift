internal import NIOCore
internal import ReplicaCore
internal import Transport

/// The node in this process, asked without a socket.
final class LocalTarget: RequestTarget {
    let name: String
    private let service: RequestService
    private let chunks: NodeChunks
    private let snapshots: SnapshotShelf
    private let identity: PeerIdentity

    init(
        name: String, service: RequestService, chunks: NodeChunks, snapshots: SnapshotShelf, identity: PeerIdentity
    ) {
        self.name = name
        self.service = service
        self.chunks = chunks
        self.snapshots = snapshots
        self.identity = identity
    }

    func call(
        _ kind: FrameKind, _ body: ByteBuffer, deadline: NIODeadline
    ) async throws(CallFailure) -> ByteBuffer {
        if kind.purpose == .bulk { return try await bulk(kind, body, deadline: deadline) }
        var payload = ByteBuffer()
        RequestHead.encode(deadline: deadline, into: &payload)
        payload.writeImmutableBuffer(body)
        let request = payload
        let result = await withCheckedContinuation {
            (continuation: CheckedContinuation<Result<ByteBuffer, HoldfastError>, Never>) in
            let once = Once(continuation)
            // The replica answers everything but a command that never commits; that one ends here.
            let late = HoldfastError(.outcomeUnknown, "no quorum committed the command in time")
            let timer = service.replica.loop.scheduleTask(deadline: deadline) { once.resume(.failure(late)) }
            service.replica.loop.execute { [service, identity] in
                service.handle(
                    kind, request, from: identity,
                    reply: .local {
                        timer.cancel()
                        once.resume($0)
                    })
            }
        }
        switch result {
        case .success(let answer): return answer
        case .failure(let error):
            throw CallFailure(error: error, mayHaveHappened: error.code == .outcomeUnknown, isAnswer: true)
        }
    }

    func watch(
        _ request: WatchRequest, deadline: NIODeadline,
        take: @escaping @Sendable (Result<WatchFrame, HoldfastError>) -> Void
    ) async throws(CallFailure) -> @Sendable () -> Void {
        let watches = service.watches
        let loop = service.replica.loop
        let result = await withCheckedContinuation {
            (continuation: CheckedContinuation<Result<UInt64, HoldfastError>, Never>) in
            loop.execute {
                do throws(HoldfastError) {
                    continuation.resume(returning: .success(try watches.begin(request, sink: .local(take))))
                } catch {
                    continuation.resume(returning: .failure(error))
                }
            }
        }
        switch result {
        case .success(let begun): return { loop.execute { watches.stop(begun) } }
        case .failure(let error): throw CallFailure(error: error, mayHaveHappened: false, isAnswer: true)
        }
    }

    private func bulk(
        _ kind: FrameKind, _ body: ByteBuffer, deadline: NIODeadline
    ) async throws(CallFailure) -> ByteBuffer {
        do throws(HoldfastError) {
            var body = body
            if kind == .putChunk { _ = try RequestHead.decode(&body) }
            return try await BulkConnection.answer(kind, body, deadline: deadline, chunks, snapshots)
        } catch {
            throw CallFailure(error: error, mayHaveHappened: false, isAnswer: true)
        }
    }
}
