internal import NIOCore
internal import RaftCore
internal import Transport

/// One accepted consensus or request connection, on the control loop.
///
/// `@unchecked Sendable`: every variable is touched only on the control loop.
final class ServerConnection: ConnectionHandler, @unchecked Sendable {
    private let service: RequestService
    private var connection: Connection?
    private var isDirty = false

    init(service: RequestService) { self.service = service }

    /// Queues a frame; it is flushed at the end of the turn.
    @discardableResult
    func send(
        _ kind: FrameKind, id: UInt64, flags: FrameFlags = [], _ body: (inout ByteBuffer) -> Void
    ) -> Bool {
        guard let connection, connection.send(kind.rawValue, id: id, flags: flags, body) else {
            // Full or closed: a caller without its answer learns `outcomeUnknown` from its own deadline.
            return false
        }
        if !isDirty {
            isDirty = true
            service.replies.touched(self)
        }
        return true
    }

    /// Gives what was queued to the socket.
    func flush() {
        isDirty = false
        connection?.flush()
    }

    /// Whether the other end takes bytes now.
    var isWritable: Bool { connection?.isWritable ?? false }

    /// The member at the other end; nil for a client.
    var node: NodeID? { connection.flatMap { $0.peer.role == .member ? $0.peer.nodeID : nil } }

    /// Ends the connection.
    func close(_ reason: String) { connection?.close(.local(reason)) }

    func connected(_ connection: Connection) {
        self.connection = connection
        if connection.purpose == .consensus { service.accepted(self) }
    }

    func received(_ connection: Connection, _ header: FrameHeader, _ payload: ByteBuffer) {
        if connection.purpose == .consensus { return receivedConsensus(connection, header, payload) }
        guard let kind = FrameKind(rawValue: header.kind) else {
            return Reply.connection(self, id: header.id).fail(
                HoldfastError(.incompatible, "request kind \(header.kind) is unknown to this node; upgrade it"))
        }
        service.handle(kind, payload, from: connection.peer, reply: .connection(self, id: header.id))
    }

    func writabilityChanged(_ connection: Connection) { service.watches.writabilityChanged(self) }

    func closed(_ connection: Connection, _ reason: CloseReason) {
        service.ended(self)
        self.connection = nil
        service.watches.closed(self)
    }

    private func receivedConsensus(_ connection: Connection, _ header: FrameHeader, _ payload: ByteBuffer) {
        if header.kind == FrameKind.logFloor.rawValue {
            if let index = payload.getInteger(at: payload.readerIndex, endianness: .little, as: UInt64.self) {
                service.onLogFloor(index)
            }
            return
        }
        if header.kind == FrameKind.snapshotRefused.rawValue {
            var rest = payload
            if let refusal = SnapshotRefusal.decode(&rest) {
                service.onSnapshotRefused(connection.peer.nodeID, refusal)
            }
            return
        }
        guard header.kind == FrameKind.consensus.rawValue else {
            return connection.close(.local("frame of kind \(header.kind) on a consensus connection"))
        }
        var rest = payload
        do throws(ConsensusCodec.Fault) {
            let message = try ConsensusCodec.decode(&rest)
            service.receive(message, from: connection.peer.nodeID)
        } catch {
            service.figures.malformedFrames.increment()
            connection.close(.local("malformed consensus message: \(error)"))
        }
    }
}
