import Foundation
import Logging
import NIOCore
import RaftCore
import ReplicaCore
import Storage
import Synchronization
import Testing

@testable import Holdfast

/// One node: real rows, real apply, real chunk files; its log and network come from the cluster.
final class ChunkReplica: CommandPlane, Sendable {
    private struct State {
        var applier: Applier
        var outcomes: [UInt64: Outcome] = [:]
        var waiters: [(index: UInt64, number: UInt64, continuation: CheckedContinuation<Bool, Never>)] = []
        var waits: UInt64 = 0
        var isCaughtUp = true
        var failsReads = false
        var changesMembers = false
        var afterRead: (@Sendable () -> Void)?
        /// The one thread whose read counts; nil for any.
        var reader: pthread_t?
    }

    let node: NodeID
    let incarnation: Incarnation
    let directory: String
    let store: ChunkStore
    let rowStore: RowStore
    private let state: Mutex<State>
    private let index = Atomic<UInt64>(0)
    private unowned let cluster: ChunkCluster
    private let options: ChunkOptions
    private let plane = Mutex<NodeChunks?>(nil)

    var chunkPath: String { "\(directory)/chunks" }

    var chunks: NodeChunks {
        guard let chunks = plane.withLock({ $0 }) else { preconditionFailure("made at the start") }
        return chunks
    }

    init(node: NodeID, members: Members, directory: String, cluster: ChunkCluster, options: ChunkOptions) throws {
        try FileManager.default.createDirectory(atPath: directory, withIntermediateDirectories: true)
        self.node = node
        incarnation = Incarnation(node, 77)
        self.directory = directory
        self.cluster = cluster
        self.options = options
        rowStore = try RowStore(path: "\(directory)/rows")
        var batch = WriteBatch()
        Applier.format(members: members, into: &batch)
        try rowStore.write(batch)
        state = Mutex(State(applier: try Applier(loading: rowStore)))
        store = try ChunkStore(path: "\(directory)/chunks", quarantine: "\(directory)/quarantine")
        makePlane()
    }

    init(restarting old: ChunkReplica) throws {
        node = old.node
        incarnation = old.incarnation
        directory = old.directory
        cluster = old.cluster
        options = old.options
        rowStore = old.rowStore
        let applier = try Applier(loading: rowStore)
        index.store(applier.state.index, ordering: .sequentiallyConsistent)
        state = Mutex(State(applier: applier))
        store = try ChunkStore(path: "\(directory)/chunks", quarantine: "\(directory)/quarantine")
        makePlane()
    }

    private func makePlane() {
        var logger = Logger(label: "chunks.\(node)")
        logger.logLevel = .critical
        let made = NodeChunks(
            store: store, commands: self, peers: ChunkNetwork(node: node, cluster: cluster), options: options,
            logger: logger)
        plane.withLock { $0 = made }
    }

    // MARK: Apply

    func apply(_ log: [CommittedEntry.Content]) {
        let ready = state.withLock { state -> [CheckedContinuation<Bool, Never>] in
            while state.applier.state.index < UInt64(log.count) {
                let next = state.applier.state.index + 1
                var batch = WriteBatch()
                var output = ApplyOutput()
                do {
                    try state.applier.apply(
                        [CommittedEntry(index: next, term: 1, content: log[Int(next) - 1])], reader: rowStore,
                        hash: SHA256.self, into: &batch, output: &output)
                    try rowStore.write(batch)
                } catch {
                    Issue.record("apply failed: \(error)")
                    return []
                }
                state.outcomes[next] = output.outcomes.first?.outcome
                chunks.applied(output)
                index.store(next, ordering: .sequentiallyConsistent)
            }
            let applied = state.applier.state.index
            let ready = state.waiters.filter { $0.index <= applied }.map(\.continuation)
            state.waiters.removeAll { $0.index <= applied }
            return ready
        }
        for waiter in ready { waiter.resume(returning: true) }
    }

    func outcome(at index: UInt64) -> Outcome? { state.withLock { $0.outcomes[index] } }
    func set(caughtUp: Bool) { state.withLock { $0.isCaughtUp = caughtUp } }
    func set(changesMembers: Bool) { state.withLock { $0.changesMembers = changesMembers } }
    func set(failsReads: Bool) { state.withLock { $0.failsReads = failsReads } }
    /// Runs `body` once, on the reading thread, when the next read of rows has its answer.
    func set(afterRead body: @escaping @Sendable () -> Void) { state.withLock { $0.afterRead = body } }
    /// The same for the next read of the calling thread.
    func set(afterOwnRead body: @escaping @Sendable () -> Void) {
        let thread = pthread_self()
        state.withLock { ($0.afterRead, $0.reader) = (body, thread) }
    }
    var revision: UInt64 { state.withLock { $0.applier.state.revision } }
    /// What the cluster was told of a node, as applied here.
    func completeness(of node: NodeID) -> UInt64? {
        state.withLock { $0.applier.completeness.first { $0.node == node }?.through }
    }
    var isComplete: Bool { chunks.completeness.through >= revision }

    // MARK: CommandPlane

    var appliedIndex: LogIndex { index.load(ordering: .sequentiallyConsistent) }
    var isCaughtUpWithStart: Bool { state.withLock { $0.isCaughtUp } }
    var leader: NodeID? { cluster.state.withLock { $0.leader } }
    var members: Members { state.withLock { $0.applier.members } }

    func withRows<R: Sendable>(_ body: (borrowing any RowReader) throws -> R) throws -> R {
        if state.withLock({ $0.failsReads }) { throw RowError(message: "a bad block", isCorruption: true) }
        let result = try body(rowStore)
        state.withLock { state -> (@Sendable () -> Void)? in
            if let reader = state.reader, pthread_equal(reader, pthread_self()) == 0 { return nil }
            defer { (state.afterRead, state.reader) = (nil, nil) }
            return state.afterRead
        }?()
        return result
    }

    func waitApplied(_ index: LogIndex, deadline: NIODeadline) async throws(HoldfastError) {
        let isApplied = await withCheckedContinuation { (continuation: CheckedContinuation<Bool, Never>) in
            let number = state.withLock { state -> UInt64? in
                if state.applier.state.index >= index { return nil }
                state.waits += 1
                state.waiters.append((index, state.waits, continuation))
                return state.waits
            }
            guard let number else { return continuation.resume(returning: true) }
            Task {
                let left = deadline - .now()
                if left > .zero { try? await Task.sleep(nanoseconds: UInt64(left.nanoseconds)) }
                let late = self.state.withLock { state -> CheckedContinuation<Bool, Never>? in
                    guard let place = state.waiters.firstIndex(where: { $0.number == number }) else { return nil }
                    return state.waiters.remove(at: place).continuation
                }
                late?.resume(returning: false)
            }
        }
        guard isApplied else { throw HoldfastError(.deadlineExceeded, "index \(index) was not applied in time") }
    }

    func waitForMembers(deadline: NIODeadline) async throws(HoldfastError) {
        guard !state.withLock({ $0.changesMembers }) else { throw HoldfastError(.unavailable, "the members change") }
    }

    /// Commits a command and applies it before it returns.
    func commit(_ command: Command) throws {
        var payload: [UInt8] = []
        EntryPayload.append(Envelope(time: 1_000_000, command: command), to: &payload)
        _ = try cluster.commit(.normal(payload), from: node)
    }

    func propose(_ command: Command, deadline: NIODeadline) async throws(HoldfastError) -> Outcome {
        let (leader, time) = cluster.state.withLock { state in
            state.time += 1
            return (state.leader, state.time)
        }
        if node != leader, cluster.isCut(node, leader) {
            throw HoldfastError(.unavailable, "the leader cannot be reached")
        }
        var payload: [UInt8] = []
        EntryPayload.append(Envelope(time: time, command: command), to: &payload)
        do {
            guard let outcome = try cluster.commit(.normal(payload), from: leader) else {
                throw HoldfastError(.outcomeUnknown, "no outcome")
            }
            return outcome
        } catch {
            throw error as? HoldfastError ?? HoldfastError(.unavailable, "\(error)")
        }
    }
}

/// The network between chunk planes: messages are coded and decoded, nodes that are cut are not reached.
struct ChunkNetwork: PeerPlane {
    let node: NodeID
    unowned let cluster: ChunkCluster

    private func plane(of other: NodeID) throws(HoldfastError) -> NodeChunks {
        guard !cluster.isCut(node, other), let chunks = try? cluster.chunks(other) else {
            throw HoldfastError(.unavailable, "node \(other) cannot be reached")
        }
        return chunks
    }

    func ask(
        _ other: NodeID, _ request: ChunkRequest, deadline: NIODeadline
    ) async throws(HoldfastError) -> ChunkAnswer {
        let plane = try plane(of: other)
        do {
            let answer = await plane.answer(try ChunkRequest(decoding: request.encoded()), deadline: deadline)
            return try ChunkAnswer(decoding: answer.encoded())
        } catch {
            throw HoldfastError(.incompatible, "\(error)")
        }
    }

    func tell(_ other: NodeID, _ request: ChunkRequest) {
        guard let plane = try? plane(of: other) else { return }
        cluster.state.withLock { $0.told += 1 }
        Task { _ = await plane.answer(request) }
    }

    func fetch(_ id: ChunkID, from other: NodeID, deadline: NIODeadline) async throws(HoldfastError) -> ByteBuffer {
        let chunk = try await plane(of: other).chunk(id)
        guard var buffer = FileManager.default.contents(chunk) else {
            throw HoldfastError(.unavailable, "the chunk cannot be read")
        }
        if cluster.state.withLock({ $0.spoilt[other]?.contains(id) ?? false }) {
            buffer.setInteger(~(buffer.getInteger(at: 0, as: UInt8.self) ?? 0), at: 0)
        }
        return buffer
    }
}

extension FileManager {
    /// What sendfile(2) would send.
    fileprivate func contents(_ chunk: OutgoingChunk) -> ByteBuffer? {
        guard let descriptor = try? chunk.duplicate() else { return nil }
        let file = FileHandle(fileDescriptor: descriptor, closeOnDealloc: true)
        guard let data = try? file.read(upToCount: chunk.byteCount) else { return nil }
        return ByteBuffer(bytes: data)
    }
}
