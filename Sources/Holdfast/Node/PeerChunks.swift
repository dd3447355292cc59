internal import NIOCore
internal import RaftCore
internal import ReplicaCore

/// The other members as the chunk plane sees them.
struct PeerChunks: PeerPlane {
    let peers: Peers

    func ask(
        _ node: NodeID, _ request: ChunkRequest, deadline: NIODeadline
    ) async throws(HoldfastError) -> ChunkAnswer {
        let answer = try await call(node, .chunkMessage, ByteBuffer(bytes: request.encoded()), deadline: deadline)
        return try ChunkAnswer.decode(answer)
    }

    func tell(_ node: NodeID, _ request: ChunkRequest) {
        Task {
            // Nobody waits for it: what is not heard is asked for later.
            _ = try? await ask(node, request, deadline: .now() + .seconds(5))
        }
    }

    func fetch(_ id: ChunkID, from node: NodeID, deadline: NIODeadline) async throws(HoldfastError) -> ByteBuffer {
        try await call(node, .getChunk, ByteBuffer(bytes: id.bytes), deadline: deadline)
    }

    private func call(
        _ node: NodeID, _ kind: FrameKind, _ body: ByteBuffer, deadline: NIODeadline
    ) async throws(HoldfastError) -> ByteBuffer {
        guard let peer = peers.nodes[node] else {
            throw HoldfastError(.unavailable, "node \(node) is not another member of this cluster")
        }
        do throws(CallFailure) {
            return try await peer.call(kind, body, deadline: deadline)
        } catch {
            throw error.error
        }
    }
}

extension ChunkAnswer {
    /// Reads an answer and throws the refusal that it may be.
    static func decode(_ payload: ByteBuffer) throws(HoldfastError) -> ChunkAnswer {
        var rest = payload
        do throws(DecodeError) {
            return try ChunkAnswer(decoding: rest.readBytes(length: rest.readableBytes) ?? [])
        } catch {
            throw HoldfastError(.incompatible, "the node's answer cannot be read: \(error)")
        }
    }
}
