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
    private let snapshots: SnapshotShelf
    private var connection: Connection?
    private var underWay = 0
    /// Answers that wait until the socket takes bytes again: a refused send would leave its caller waiting.
    private var ready: [(id: UInt64, answer: BulkAnswer)] = []

    /// What one request came to.
    private enum BulkAnswer: Sendable {
        /// Sent from its file to the socket without a copy.
        case file(OutgoingChunk)
        case payload(ByteBuffer)
        case failure(HoldfastError)
    }

    init(chunks: NodeChunks, snapshots: SnapshotShelf) {
        self.chunks = chunks
        self.snapshots = snapshots
    }

    func connected(_ connection: Connection) { self.connection = connection }

    func received(_ connection: Connection, _ header: FrameHeader, _ payload: ByteBuffer) {
        underWay += 1
        if underWay >= Self.underWayMax { connection.pauseReading() }
        Task { [chunks, snapshots] in
            let answer: BulkAnswer
            do throws(HoldfastError) {
                answer = try await Self.carryOut(
                    header, payload, chunks, snapshots, isMember: connection.peer.role == .member)
            } catch {
                answer = .failure(error)
            }
            connection.eventLoop.execute {
                self.ready.append((header.id, answer))
                self.sendReady()
            }
        }
    }

    func writabilityChanged(_ connection: Connection) { sendReady() }

    func closed(_ connection: Connection, _ reason: CloseReason) {
        self.connection = nil
        ready = []
    }

    /// Sends as long as the socket takes bytes; reads on once there is room for more requests.
    private func sendReady() {
        guard let connection, connection.isOpen else { return }
        var sent = 0
        while sent < ready.count, connection.isWritable {
            let (id, answer) = ready[sent]
            send(answer, id: id, over: connection)
            // Counts the bytes of this answer before the next is looked at.
            connection.flush()
            sent += 1
        }
        guard sent > 0 else { return }
        ready.removeFirst(sent)
        let wasFull = underWay >= Self.underWayMax
        underWay -= sent
        if wasFull, underWay < Self.underWayMax { connection.resumeReading() }
    }

    private func send(_ answer: BulkAnswer, id: UInt64, over connection: Connection) {
        switch answer {
        case .payload(let payload):
            connection.send(FrameKind.success.rawValue, id: id, payload: payload)
        case .failure(let error):
            connection.send(FrameKind.failure.rawValue, id: id) { ErrorCodec.encode(error, into: &$0) }
        case .file(let chunk):
            do throws(HoldfastError) {
                connection.sendFile(
                    FrameKind.success.rawValue, id: id, descriptor: try chunk.duplicate(), offset: 0,
                    count: chunk.byteCount)
            } catch {
                connection.send(FrameKind.failure.rawValue, id: id) { ErrorCodec.encode(error, into: &$0) }
            }
        }
    }

    private static func carryOut(
        _ header: FrameHeader, _ payload: ByteBuffer, _ chunks: NodeChunks, _ snapshots: SnapshotShelf, isMember: Bool
    ) async throws(HoldfastError) -> BulkAnswer {
        var body = payload
        let deadline = try RequestHead.decode(&body)
        let kind = FrameKind(rawValue: header.kind)
        if kind == .getChunk, let id = chunkID(in: body) {
            do throws(HoldfastError) {
                return .file(try await chunks.chunk(id))
            } catch {
                // A member is told that it is not here, or retired: if each fetched for the other, two that both lack a
                // chunk would wait for each other. For a client the chunk is fetched.
                if isMember || error.code != .notFound { throw error }
            }
        }
        return .payload(try await answer(kind, body, deadline: deadline, chunks, snapshots))
    }

    private static func chunkID(in body: ByteBuffer) -> ChunkID? {
        guard body.readableBytes == Digest.byteCount else { return nil }
        return body.withUnsafeReadableBytes { ChunkID($0) }
    }

    /// Carries out one request for bytes.
    static func answer(
        _ kind: FrameKind?, _ payload: ByteBuffer, deadline: NIODeadline, _ chunks: NodeChunks,
        _ snapshots: SnapshotShelf
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
        case .siteChunk:
            guard let id = chunkID(in: payload) else {
                throw HoldfastError(.invalidArgument, "malformed request: it names no chunk")
            }
            let chunk = try await chunks.read(id, deadline: deadline)
            return try await chunks.keeper.readers.run { () throws(HoldfastError) in LinkChunk.encode(chunk) }
        case .snapshotPart:
            var body = payload
            let part = try SnapshotPart.decode(&body)
            return try await snapshots.part(of: part.snapshot, file: part.file, offset: part.offset, count: part.count)
        default:
            throw HoldfastError(.incompatible, "this request is unknown on a bulk connection")
        }
    }
}

/// What stands before a chunk's bytes when it is sent to a node.
struct ChunkPut {
    /// Bytes before the chunk's own: the request's head, then upload, ordinal and ID. The frame's checksum covers these only,
    /// since the ID covers the rest.
    static let headBytes: UInt16 = 4 + 16 + 8 + 32

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
