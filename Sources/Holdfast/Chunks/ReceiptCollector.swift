internal import NIOCore
internal import RaftCore
internal import ReplicaCore
internal import Synchronization

/// Gathers receipts for one upload until a quorum of the active configuration (of both halves of a joint one) holds every chunk.
///
/// Every voter is asked at its own pace, so that a slow or lost minority delays nothing.
struct ReceiptCollector: Sendable {
    /// A receipt of this node, and how one of a peer is had and hastened.
    let commands: any CommandPlane
    let peers: any PeerPlane
    let keeper: ChunkKeeper
    let fetcher: Fetcher

    private enum News: Sendable {
        case complete(UploadReceipt)
        case lacking(NodeID, String)
        /// The upload is not open here any more: whoever proposes now learns what became of it.
        case closed
        case deadline
    }

    /// Nodes that were found complete, for those that are not.
    private final class Holders: Sendable {
        private let nodes = Mutex<Set<NodeID>>([])
        var all: [NodeID] { nodes.withLock { $0.sorted() } }
        func insert(_ node: NodeID) { nodes.withLock { _ = $0.insert(node) } }
    }

    /// Receipts for `count` chunks from a quorum; fewer only if the upload was closed meanwhile.
    ///
    /// - Throws: `notLeader`; `unavailable` at the deadline, naming the members and what they lack.
    func collect(
        _ upload: UploadID, count: UInt64, deadline: NIODeadline
    ) async throws(HoldfastError) -> [Publication.Receipt] {
        let (news, entry) = AsyncStream<News>.makeStream()
        let holders = Holders()
        let index = commands.appliedIndex
        let voters = Set(commands.members.voters + commands.members.outgoingVoters).sorted()
        var tasks = voters.map { node in
            Task {
                await follow(node, upload, count: count, appliedAtLeast: index, deadline, holders) { entry.yield($0) }
            }
        }
        tasks.append(
            Task {
                let left = deadline - .now()
                if left > .zero { try? await Task.sleep(nanoseconds: UInt64(left.nanoseconds)) }
                entry.yield(.deadline)
            })
        defer { for task in tasks { task.cancel() } }

        var receipts: [NodeID: Publication.Receipt] = [:]
        var lacking: [NodeID: String] = [:]
        for await one in news {
            try requireLeader()
            switch one {
            case .complete(let receipt):
                receipts[receipt.node] = Publication.Receipt(node: receipt.node, incarnation: receipt.incarnation)
                lacking[receipt.node] = nil
                let nodes = receipts.keys.sorted()
                if commands.members.isQuorum(nodes) { return nodes.compactMap { receipts[$0] } }
            case .lacking(let node, let what): lacking[node] = what
            case .closed: return []
            case .deadline:
                let list = voters.filter { receipts[$0] == nil }
                    .map { "node \($0) \(lacking[$0] ?? "did not answer")" }.joined(separator: "; ")
                throw HoldfastError(
                    .unavailable,
                    "upload \(upload) is not on a quorum yet: \(list); see to these nodes and publish again",
                    details: ["upload": upload.hex])
            }
        }
        throw HoldfastError(.unavailable, "the publish of upload \(upload) was cancelled; publish again")
    }

    /// Throws `notLeader` unless this node leads, as far as it knows.
    func requireLeader() throws(HoldfastError) {
        guard commands.leader != commands.node else { return }
        throw HoldfastError(
            .notLeader, "this node does not lead; publish at the leader",
            details: commands.leader.map { ["leader": String($0)] } ?? [:])
    }

    /// Asks one voter until it is complete: first what it has, then to fetch the rest.
    private func follow(
        _ node: NodeID, _ upload: UploadID, count: UInt64, appliedAtLeast index: LogIndex, _ deadline: NIODeadline,
        _ holders: Holders, tell: @escaping @Sendable (News) -> Void
    ) async {
        var pause = RetryPause()
        var isFirst = true
        while !Task.isCancelled, NIODeadline.now() < deadline {
            do throws(HoldfastError) {
                let receipt =
                    isFirst
                    ? try await state(of: node, upload, appliedAtLeast: index)
                    : try await ensure(at: node, upload, from: holders.all, appliedAtLeast: index)
                guard receipt.node == node else {
                    throw HoldfastError(.incompatible, "answered as node \(receipt.node)")
                }
                if receipt.covers(count) {
                    holders.insert(node)
                    return tell(.complete(receipt))
                }
                if receipt.missing > 0 {
                    tell(.lacking(node, "lacks \(receipt.missing) of \(receipt.named) chunks"))
                } else {
                    tell(.lacking(node, "knows of \(receipt.named) chunks where \(count) are published"))
                }
                if !isFirst { await pause.wait(until: deadline) }
                isFirst = false
            } catch {
                if node == commands.node, error.code == .notFound { return tell(.closed) }
                tell(.lacking(node, "answers: \(error.message)"))
                isFirst = true
                await pause.wait(until: deadline)
            }
        }
    }

    private func state(
        of node: NodeID, _ upload: UploadID, appliedAtLeast index: LogIndex
    ) async throws(HoldfastError) -> UploadReceipt {
        if node == commands.node {
            return try await keeper.readers.run { () throws(HoldfastError) in try self.keeper.receipt(of: upload) }
        }
        let answer = try await peers.ask(
            node, .receipt(upload, appliedAtLeast: index), deadline: .now() + ChunkLimits.askWait)
        return try answer.receipt()
    }

    private func ensure(
        at node: NodeID, _ upload: UploadID, from holders: [NodeID], appliedAtLeast index: LogIndex
    ) async throws(HoldfastError) -> UploadReceipt {
        let wait = ChunkLimits.ensureWaitMilliseconds
        if node == commands.node {
            return try await fetcher.ensureOpen(upload, from: holders, waitMilliseconds: wait)
        }
        let answer = try await peers.ask(
            node, .ensure(upload, holders: holders, waitMilliseconds: wait, appliedAtLeast: index),
            deadline: .now() + .milliseconds(Int64(wait)) + ChunkLimits.askWait)
        return try answer.receipt()
    }
}

extension Fetcher {
    /// Fetches what this node lacks of an open upload, for at most so long, and says how far it got.
    func ensureOpen(
        _ upload: UploadID, from holders: [NodeID], waitMilliseconds: UInt64
    ) async throws(HoldfastError) -> UploadReceipt {
        let number = try await keeper.readers.run { () throws(HoldfastError) in try self.keeper.number(ofOpen: upload) }
        let wait = min(waitMilliseconds, ChunkLimits.ensureWaitMilliseconds)
        _ = await ensureList(upload, number: number, from: holders, deadline: .now() + .milliseconds(Int64(wait)))
        return try await keeper.readers.run { () throws(HoldfastError) in try self.keeper.receipt(of: upload) }
    }
}

extension ChunkAnswer {
    /// The receipt that was asked for.
    func receipt() throws(HoldfastError) -> UploadReceipt {
        switch self {
        case .receipt(let receipt): return receipt
        case .refused(let code, let message, let details):
            throw HoldfastError(
                HoldfastError.Code(rawValue: code.rawValue) ?? .unavailable, message, details: details)
        case .bitmap, .done: throw HoldfastError(.incompatible, "the node answered something else than a receipt")
        }
    }
}
