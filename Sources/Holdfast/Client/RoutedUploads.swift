internal import NIOCore
internal import ReplicaCore

/// The upload plane over the router: commands to the leader, chunk bytes to the node that answers.
struct RoutedUploads: UploadPlane {
    let store: Store

    private var router: Router { store.router }
    /// A chunk or a publish may take as long as the slowest disk; the caller's patience is per step.
    private var patience: TimeAmount { .seconds(30) }

    func begin(_ upload: UploadID, name: String, version: String?) async throws(HoldfastError) {
        _ = try await router.command(
            .uploadBegin(upload, name: name, version: version), deadline: store.deadline)
    }

    func add(_ upload: UploadID, firstOrdinal: Int, ids: [ChunkID]) async throws(HoldfastError) {
        _ = try await router.command(
            .uploadAdd(upload, first: UInt64(firstOrdinal), ids: ids), deadline: store.deadline)
    }

    func have(_ upload: UploadID, firstOrdinal: Int, count: Int) async throws(HoldfastError) -> [Bool] {
        let request = ChunkRequest.have(upload, first: UInt64(firstOrdinal), count: count, appliedAtLeast: 0)
        let payload = try await router.send(
            .chunkMessage, ByteBuffer(bytes: request.encoded()), to: .uploads, deadline: store.deadline)
        let answer = try ChunkAnswer.decode(payload)
        switch answer {
        case .bitmap(let bitmap): return (0..<count).map { $0 < bitmap.count && bitmap[$0] }
        case .refused(let code, let message, let details):
            throw HoldfastError(
                HoldfastError.Code(rawValue: code.rawValue) ?? .unavailable, message, details: details)
        default: throw HoldfastError(.incompatible, "the node gave an answer of another kind")
        }
    }

    func send(_ upload: UploadID, ordinal: Int, id: ChunkID, bytes: ByteBuffer) async throws(HoldfastError) {
        var body = ByteBuffer()
        body.reserveCapacity(Int(ChunkPut.headBytes) + bytes.readableBytes)
        RequestHead.encode(deadline: .now() + patience, into: &body)
        ChunkPut(upload: upload, ordinal: UInt64(ordinal), id: id).encode(into: &body)
        body.writeImmutableBuffer(bytes)
        _ = try await router.send(.putChunk, body, to: .uploads, deadline: store.deadline, attempt: patience)
    }

    func publish(
        _ upload: UploadID, name: String, version: String?, root: ChunkID, totals: UploadTotals
    ) async throws(HoldfastError) -> ModelVersion {
        let request = PublishRequest(upload: upload, name: name, version: version, root: root, totals: totals)
        let answer = try await router.send(
            .publish, .written { request.encode(into: &$0) }, to: .leader, deadline: store.deadline, isWrite: true,
            attempt: patience)
        return ModelVersion(
            try Store.decode(answer) { reader throws(DecodeError) in
                try ReplicaCore.ModelVersion.decode(from: &reader)
            })
    }
}

/// Chunks read over the router, or from this process' own disk where there is one.
struct RoutedChunks: ChunkSource {
    let router: Router
    let timeout: TimeAmount
    /// Weak, so that a model that outlives its node keeps no directory locked.
    weak let local: NodeChunks?

    init(router: Router, timeout: TimeAmount, local: NodeChunks?) {
        self.router = router
        self.timeout = timeout
        self.local = local
    }

    func readChunk(_ id: ChunkID) async throws(HoldfastError) -> ByteBuffer {
        var body = ByteBuffer()
        body.writeBytes(id.bytes)
        return try await router.send(.getChunk, body, to: .any, deadline: .now() + timeout, attempt: .seconds(30))
    }

    func localFile(of id: ChunkID) -> String? { local?.localFile(of: id) }

    /// Goes to the node that the read went to, unless that one failed meanwhile.
    func doubt(_ id: ChunkID) async {
        let message = ByteBuffer(bytes: ChunkRequest.suspect(id).encoded())
        do throws(HoldfastError) {
            _ = try await router.send(
                .chunkMessage, message, to: .any, deadline: .now() + timeout, attempt: .seconds(30))
        } catch {
            router.logger.warning(
                "a node could not be told of a bad chunk", metadata: ["chunk": "\(id)", "error": "\(error)"])
        }
    }
}
