import Foundation
import Logging
import NIOCore
import RaftCore
import ReplicaCore
import Storage
import Synchronization
import Testing

@testable import Holdfast

/// Numbers from a seed (SplitMix64), so that a failure can be had again.
struct SeededRandom: RandomNumberGenerator {
    private var state: UInt64

    init(seed: UInt64) { state = seed }

    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var mixed = state
        mixed = (mixed ^ (mixed >> 30)) &* 0xBF58_476D_1CE4_E5B9
        mixed = (mixed ^ (mixed >> 27)) &* 0x94D0_49BB_1331_11EB
        return mixed ^ (mixed >> 31)
    }
}

/// Chunks as a client would push them.
struct Material: Sendable {
    var upload: UploadID
    var ids: [ChunkID] = []
    var chunks: [ByteBuffer] = []

    var totals: UploadTotals {
        UploadTotals(bytes: UInt64(chunks.reduce(0) { $0 + $1.readableBytes }), files: 1, chunks: ids.count)
    }
    var root: ChunkID { ids[ids.count - 1] }

    init(seed: UInt64, count: Int, bytes: Int = 20_000) {
        var random = SeededRandom(seed: seed)
        upload = UploadID(random.next(), random.next())
        for _ in 0..<count {
            var buffer = ByteBufferAllocator().buffer(capacity: bytes)
            while buffer.readableBytes < bytes { buffer.writeInteger(random.next()) }
            chunks.append(buffer)
            ids.append(buffer.withUnsafeReadableBytes { SHA256.digest(of: $0) })
        }
    }
}

/// A log that every node applies, and the network between chunk planes: both fakes. Rows, chunk files and apply are the real ones.
final class ChunkCluster: Sendable {
    struct State {
        var log: [CommittedEntry.Content] = []
        var leader: NodeID = 1
        /// Nodes that neither hear nor are heard.
        var cut: Set<NodeID> = []
        /// Nodes that apply nothing more until they are let go.
        var held: Set<NodeID> = []
        /// Chunks that a node sends with a wrong byte.
        var spoilt: [NodeID: Set<ChunkID>] = [:]
        var time: UInt64 = 1_000_000
        var told = 0
    }

    let directory: String
    let state = Mutex(State())
    private let replicas = Mutex<[NodeID: ChunkReplica]>([:])
    /// Serialises proposals, as one log does.
    private let logLock = Mutex(())

    init(nodes: [NodeID] = [1, 2, 3], members: Members? = nil, options: ChunkOptions = quietOptions) throws {
        directory = FileManager.default.temporaryDirectory.path + "/holdfast-chunks-\(UUID().uuidString)"
        let members = members ?? Members(voters: nodes)
        for node in nodes {
            let replica = try ChunkReplica(
                node: node, members: members, directory: "\(directory)/\(node)", cluster: self, options: options)
            replicas.withLock { $0[node] = replica }
            replica.chunks.start()
        }
    }

    /// Nothing sweeps unless the test says so.
    static var quietOptions: ChunkOptions {
        var options = ChunkOptions()
        options.sweepMilliseconds = 3_600_000
        options.writerThreads = 2
        options.readerThreads = 1
        return options
    }

    var nodes: [NodeID] { replicas.withLock { $0.keys.sorted() } }

    func replica(_ node: NodeID) throws -> ChunkReplica {
        try #require(replicas.withLock { $0[node] })
    }

    func chunks(_ node: NodeID) throws -> NodeChunks { try replica(node).chunks }

    func stop() async {
        for replica in replicas.withLock({ Array($0.values) }) { await replica.chunks.stop() }
        try? FileManager.default.removeItem(atPath: directory)
    }

    /// Replaces a node's chunk plane by a new one over the same disk, as a restart does.
    func restart(_ node: NodeID, losingChunks: Bool = false) async throws {
        let old = try replica(node)
        await old.chunks.stop()
        if losingChunks { try FileManager.default.removeItem(atPath: old.chunkPath) }
        let new = try ChunkReplica(restarting: old)
        replicas.withLock { $0[node] = new }
        catchUp(new)
        new.chunks.start()
    }

    /// Commits an entry and has every node apply it that is not held.
    func commit(_ content: CommittedEntry.Content, from node: NodeID) throws -> Outcome? {
        try logLock.withLock { _ in
            let all = replicas.withLock { replicas in replicas.keys.sorted().compactMap { replicas[$0] } }
            let (index, held) = state.withLock { state in
                state.log.append(content)
                return (UInt64(state.log.count), state.held)
            }
            for replica in all where !held.contains(replica.node) { catchUp(replica) }
            return try replica(node).outcome(at: index)
        }
    }

    func catchUp(_ replica: ChunkReplica) {
        let log = state.withLock { $0.log }
        replica.apply(log)
    }

    func release(_ node: NodeID) throws {
        state.withLock { _ = $0.held.remove(node) }
        try logLock.withLock { _ in catchUp(try replica(node)) }
    }

    /// Proposes as a client's request would, and insists on success.
    @discardableResult
    func propose(_ command: Command) async throws -> Outcome {
        let leader = state.withLock { $0.leader }
        let outcome = try await replica(leader).propose(command, deadline: .now() + .seconds(20))
        if case .refused(let refusal) = outcome { throw HoldfastError(.invalidArgument, refusal.message) }
        return outcome
    }

    /// Begins the upload and names all its chunks.
    func begin(_ material: Material, name: String = "m") async throws {
        try await propose(.uploadBegin(material.upload, name: name, version: nil))
        try await propose(.uploadAdd(material.upload, first: 0, ids: material.ids))
    }

    func send(_ material: Material, _ places: some Sequence<Int>, to node: NodeID) async throws {
        for place in places {
            try await chunks(node).accept(
                upload: material.upload, ordinal: UInt64(place), id: material.ids[place], bytes: material.chunks[place])
        }
    }

    func publish(
        _ material: Material, name: String = "m", seconds: Int64 = 20
    ) async throws -> ReplicaCore.ModelVersion {
        let leader = state.withLock { $0.leader }
        return try await chunks(leader).publish(
            material.upload, name: name, version: nil, root: material.root, totals: material.totals,
            deadline: .now() + .seconds(seconds))
    }

    func cut(_ nodes: NodeID...) { state.withLock { $0.cut.formUnion(nodes) } }
    func heal() { state.withLock { $0.cut = [] } }
    func isCut(_ one: NodeID, _ other: NodeID) -> Bool {
        state.withLock { $0.cut.contains(one) || $0.cut.contains(other) }
    }

    /// How many of the chunks the node holds durably.
    func count(_ material: Material, at node: NodeID) throws -> Int {
        let store = try replica(node).store
        return try material.ids.count { try store.contains($0) }
    }
}

/// Waits for a condition, at most 30 seconds.
func eventually(
    _ what: String, sourceLocation: SourceLocation = #_sourceLocation, _ condition: () throws -> Bool
) async throws {
    let deadline = NIODeadline.now() + .seconds(30)
    while try !condition() {
        guard NIODeadline.now() < deadline else {
            Issue.record("it never came to be that \(what)", sourceLocation: sourceLocation)
            return
        }
        try await Task.sleep(nanoseconds: 2_000_000)
    }
}

/// The error that `body` throws.
func failure(_ body: () async throws -> some Any) async -> HoldfastError? {
    do {
        _ = try await body()
        return nil
    } catch {
        return error as? HoldfastError
    }
}
