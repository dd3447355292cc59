internal import NIOCore
internal import ReplicaCore
internal import Transport

/// One accepted bulk connection, on the bulk loop: chunks in and out, several at a time.
///
/// `@unchecked Sendable`: every variable is touched only on the connection's loop.
final class BulkConnection: ConnectionHandler, @unchecked Sendable {
    /// Chunks of one connection that are being written or read; beyond it the socket is not read.
    private static let underWayMax = 8

    private let chunks: NodeChunks
    private var underWay = 0

    init(chunks: NodeChunks) { self.chunks = chunks }

    func received(_ connection: Connection, _ header: FrameHeader, _ payload: ByteBuffer) {
        underWay += 1
        if underWay >= Self.underWayMax { connection.pauseReading() }
        Task { [chunks] in
            do throws(HoldfastError) {
                try await Self.serve(header, payload, chunks, over: connection)
            } catch {
                connection.submit(FrameKind.failure.rawValue, id: header.id) { ErrorCodec.encode(error, into: &$0) }
            }
            connection.eventLoop.execute { self.ended(connection) }
        }
    }

    func closed(_ connection: Connection, _ reason: CloseReason) {}

    private func ended(_ connection: Connection) {
        underWay -= 1
        if underWay == Self.underWayMax - 1, connection.isOpen { connection.resumeReading() }
    }

    /// Carries out one request and sends the answer; a chunk that lies here goes from its file to the socket without a copy.
    private static func serve(
        _ header: FrameHeader, _ payload: ByteBuffer, _ chunks: NodeChunks, over connection: Connection
    ) async throws(HoldfastError) {
        var body = payload
        let deadline = try RequestHead.decode(&body)
        let kind = FrameKind(rawValue: header.kind)
        if kind == .getChunk, let id = chunkID(in: body), let chunk = await local(id, chunks) {
            let descriptor = try chunk.duplicate()
            connection.eventLoop.execute {
                connection.sendFile(
                    FrameKind.success.rawValue, id: header.id, descriptor: descriptor, offset: 0, count: chunk.byteCount)
                connection.flush()
            }
            return
        }
        let answer = try await answer(kind, body, deadline: deadline, chunks)
        guard connection.submit(FrameKind.success.rawValue, id: header.id, payload: answer) else {
            throw HoldfastError(.overloaded, "too many bytes wait to be sent on this connection")
        }
    }

    /// The chunk's file, if it lies here.
    private static func local(_ id: ChunkID, _ chunks: NodeChunks) async -> OutgoingChunk? {
        do throws(HoldfastError) {
            return try await chunks.chunk(id)
        } catch {
            return nil  // The slow way fetches it, or says why not.
        }
    }

    private static func chunkID(in body: ByteBuffer) -> ChunkID? {
        guard body.readableBytes == Digest.byteCount else { return nil }
        return body.withUnsafeReadableBytes { ChunkID($0) }
    }

    /// Carries out one request for chunk bytes.
    static func answer(
        _ kind: FrameKind?, _ payload: ByteBuffer, deadline: NIODeadline, _ chunks: NodeChunks
    ) async throws(HoldfastError) -> ByteBuffer {
        switch kind {
        case .putChunk:
            var body = payload
            let put = try ChunkPut.decode(&body)
            try await chunks.accept(
                upload: put.upload, ordinal: put.ordinal, id: put.id, bytes: body, deadline: deadline)
            return ByteBuffer()
        case .getChunk:
            guard let id = chunkID(in: payload) else {
                throw HoldfastError(.invalidArgument, "malformed request: it names no chunk")
            }
            return try await chunks.read(id, deadline: deadline)
        default:
            throw HoldfastError(.incompatible, "this request is unknown on a bulk connection")
        }
    }
}

/// What stands before a chunk's bytes when it is sent to a node.
struct ChunkPut {
    static let byteCount = 16 + 8 + 32

    var upload: UploadID
    var ordinal: UInt64
    var id: ChunkID

    func encode(into buffer: inout ByteBuffer) {
        buffer.writeBytes(upload.bytes)
        buffer.writeInteger(ordinal, endianness: .little)
        buffer.writeBytes(id.bytes)
    }

    static func decode(_ buffer: inout ByteBuffer) throws(HoldfastError) -> ChunkPut {
        guard let upload = buffer.readBytes(length: 16).flatMap({ UploadID($0) }),
            let ordinal = buffer.readInteger(endianness: .little, as: UInt64.self),
            let id = buffer.readBytes(length: 32).flatMap({ ChunkID($0) })
        else { throw HoldfastError(.invalidArgument, "malformed chunk: its head is cut off") }
        return ChunkPut(upload: upload, ordinal: ordinal, id: id)
    }
}
