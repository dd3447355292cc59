internal import NIOCore
internal import RaftCore
internal import ReplicaCore
internal import Storage

/// What a fetch of a state snapshot asks of the other nodes.
protocol SnapshotPlane: Sendable {
    /// The other nodes, those to be asked first in front.
    var sources: [NodeID] { get }
    /// The manifest of a checkpoint that includes `index`; the node makes one if need be.
    func manifest(
        atLeast index: LogIndex, from node: NodeID, deadline: NIODeadline
    ) async throws(HoldfastError) -> SnapshotManifest
    /// Bytes of one file of a checkpoint; not yet checked. `notFound` if the node does not keep it.
    func part(_ part: SnapshotPart, from node: NodeID, deadline: NIODeadline) async throws(HoldfastError) -> ByteBuffer
}

/// Names bytes of one file of a state snapshot.
struct SnapshotPart: Sendable, Hashable {
    /// The manifest's ID.
    var snapshot: Digest
    /// The place of the file in the manifest.
    var file: Int
    var offset: UInt64
    /// At most `SnapshotLimits.partBytesMax`.
    var count: Int

    func encode(into buffer: inout ByteBuffer) {
        buffer.writeBytes(snapshot.bytes)
        buffer.writeMultipleIntegers(UInt32(file), offset, UInt32(count), endianness: .little)
    }

    static func decode(_ buffer: inout ByteBuffer) throws(HoldfastError) -> SnapshotPart {
        guard let bytes = buffer.readBytes(length: Digest.byteCount), let id = Digest(bytes),
            let (file, offset, count) = buffer.readMultipleIntegers(
                endianness: .little, as: (UInt32, UInt64, UInt32).self),
            buffer.readableBytes == 0
        else { throw HoldfastError(.invalidArgument, "malformed request: it names no part of a state snapshot") }
        return SnapshotPart(snapshot: id, file: Int(file), offset: offset, count: Int(count))
    }
}

/// The other members as a fetch sees them.
struct PeerSnapshots: SnapshotPlane {
    let peers: Peers

    var sources: [NodeID] { peers.nodes.keys.sorted() }

    func manifest(
        atLeast index: LogIndex, from node: NodeID, deadline: NIODeadline
    ) async throws(HoldfastError) -> SnapshotManifest {
        var body = ByteBuffer()
        body.writeInteger(index, endianness: .little)
        return try SnapshotManifest.decode(try await call(node, .snapshotManifest, body, deadline: deadline))
    }

    func part(_ part: SnapshotPart, from node: NodeID, deadline: NIODeadline) async throws(HoldfastError) -> ByteBuffer
    {
        var body = ByteBuffer()
        part.encode(into: &body)
        return try await call(node, .snapshotPart, body, deadline: deadline)
    }

    private func call(
        _ node: NodeID, _ kind: FrameKind, _ body: ByteBuffer, deadline: NIODeadline
    ) async throws(HoldfastError) -> ByteBuffer {
        guard let peer = peers.nodes[node] else {
            throw HoldfastError(.notFound, "node \(node) is not another member of this cluster")
        }
        do throws(CallFailure) {
            return try await peer.call(kind, body, deadline: deadline)
        } catch {
            throw error.error
        }
    }
}

extension SnapshotManifest {
    /// Reads a manifest that another node sent.
    static func decode(_ payload: ByteBuffer) throws(HoldfastError) -> SnapshotManifest {
        var rest = payload
        do throws(DecodeError) {
            return try SnapshotManifest(decoding: rest.readBytes(length: rest.readableBytes) ?? [])
        } catch {
            throw HoldfastError(.incompatible, "the manifest of a state snapshot cannot be read: \(error)")
        }
    }
}
