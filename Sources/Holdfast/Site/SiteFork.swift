internal import Logging
internal import NIOCore
internal import ReplicaCore
internal import Storage

/// A copy of this node that is tried out as a primary and thrown away: in place, on second names of the same files.
///
/// Invariants:
/// 1. Nothing of the node itself changes: the fork has a directory, a log, an identity and a lineage of its own, and belongs to no pair of
///    sites. It knows no other node's address, so nobody hears of it.
/// 2. The directory is gone when `run` returns, whatever came of it; what a crash leaves is removed at the next start.
struct SiteFork: Sendable {
    private let directory: DataDirectory
    private let rows: RowStore
    private let chunks: NodeChunks
    private let logger: Logger

    /// Revisions whose rows the fork hashes again: the newest ones. `site verify` does all of them.
    private static let revisionsChecked: UInt64 = 4_096

    /// Of why it failed, in replicated rows.
    private static let failureCharactersMax = 1_000
    /// A file without tensors is loaded whole, and a longer one is not.
    private static let fileBytesMax: UInt64 = 64 << 20

    init(directory: DataDirectory, rows: RowStore, chunks: NodeChunks, logger: Logger) {
        self.directory = directory
        self.rows = rows
        self.chunks = chunks
        self.logger = logger
    }

    private var path: String { directory.layout.drill }

    /// Removes what a crash left. Keeps (2).
    func sweep() async throws(HoldfastError) {
        try await chunks.keeper.readers.run { [directory, path] () throws(HoldfastError) in
            do throws(DirectoryError) {
                try directory.removeFork(at: path)
            } catch {
                throw HoldfastError(.unavailable, "what is left of a drill cannot be removed: \(error)")
            }
        }
    }

    /// Tries it out. What fails is in the result.
    ///
    /// - Parameter hash: the chain hash after a revision, as this node has it.
    func run(
        chunks sample: UInt64, hash: @Sendable (UInt64) async throws(HoldfastError) -> Digest
    ) async -> SiteDrill {
        var result = SiteDrill(
            begun: WallClock.milliseconds, milliseconds: 0, node: directory.identity.node, revision: 0, failure: "",
            chunks: 0)
        let begun = NIODeadline.now()
        do throws(HoldfastError) {
            try await sweep()
            try await tryOut(sample, hash, &result)
        } catch {
            result.failure = String(error.message.prefix(Self.failureCharactersMax))
        }
        result.milliseconds = UInt64(max((NIODeadline.now() - begun).nanoseconds, 0) / 1_000_000)
        do throws(HoldfastError) {
            try await sweep()
        } catch {
            logger.error("a drill left its directory", metadata: ["path": "\(path)", "error": "\(error.message)"])
        }
        return result
    }

    private func tryOut(
        _ sample: UInt64, _ hash: @Sendable (UInt64) async throws(HoldfastError) -> Digest, _ result: inout SiteDrill
    ) async throws(HoldfastError) {
        let lineage = Lineage(UInt64.random(in: 1...(.max)), UInt64.random(in: 0...(.max)))
        let state = try await chunks.keeper.readers.run {
            [directory, rows, path, chunks] () throws(HoldfastError) -> AppliedState in
            do throws(DirectoryError) {
                return try directory.fork(
                    to: path, rows: rows, chunks: chunks.keeper.store, lineage: lineage,
                    nowMilliseconds: WallClock.milliseconds)
            } catch {
                throw HoldfastError(opening: error, at: path)
            }
        }
        result.revision = state.revision
        var configuration = NodeConfiguration(.local(directory: path))
        configuration.rowCacheBytes = 4 << 20
        let node = try HoldfastNode(configuration, logger: logger)
        try await node.start()
        do throws(HoldfastError) {
            try await look(at: node, state, lineage, hash)
            result.chunks = try await readModels(of: node, sample)
            let written = try await node.store.put("holdfast-drill", Array(lineage.hex.utf8))
            guard written.revision == state.revision + 1 else {
                throw HoldfastError(
                    .corrupted, "the fork's first write became revision \(written.revision) after \(state.revision)")
            }
            guard try await node.store.get("holdfast-drill")?.value == Array(lineage.hex.utf8) else {
                throw HoldfastError(.corrupted, "the fork does not have what it acknowledged")
            }
            await node.stop()
        } catch {
            await node.stop()
            throw error
        }
    }

    /// Whether the fork is what this node is, and nothing that anybody could take for it.
    private func look(
        at node: HoldfastNode, _ state: AppliedState, _ lineage: Lineage,
        _ hash: @Sendable (UInt64) async throws(HoldfastError) -> Digest
    ) async throws(HoldfastError) {
        let status = try await node.store.status()
        let site = try await node.store.siteStatus()
        guard status.lineage == lineage.hex, site.role == .alone else {
            throw HoldfastError(
                .corrupted, "the fork says that it is \(site.role.rawValue) of lineage \(status.lineage)")
        }
        guard let own = status.nodes.first, own.revision == state.revision, own.feedHash == state.feedHash.hex else {
            throw HoldfastError(
                .corrupted, "the fork stands at another revision or hash than the rows that it was made of")
        }
        let expected = try await hash(state.revision)
        guard state.revision == 0 || expected == state.feedHash else {
            throw HoldfastError(.corrupted, "the feed's hash after revision \(state.revision) is another in the fork")
        }
        guard let copy = node.chunks else { return }
        let verifier = SiteVerifier(chunks: copy)
        var next = state.revision > Self.revisionsChecked ? state.revision - Self.revisionsChecked + 1 : 1
        while next <= state.revision {
            let page = try await verifier.rows(next, through: state.revision)
            if let wrong = page.wrong {
                throw HoldfastError(.corrupted, "revision \(wrong) does not hold: \(page.reason)")
            }
            next = page.next
        }
    }

    /// Verifies a sample of all chunks, and loads the newest version; answers how many chunks.
    private func readModels(of node: HoldfastNode, _ sample: UInt64) async throws(HoldfastError) -> UInt64 {
        guard let copy = node.chunks else { return 0 }
        let verifier = SiteVerifier(chunks: copy)
        let all = try await verifier.standing().chunks
        let stride = max(all / max(sample, 1), 1)
        var place: SiteVerifier.ChunkPlace? = SiteVerifier.ChunkPlace(ordinal: UInt64.random(in: 0..<stride))
        var checked: UInt64 = 0
        while let from = place, all > 0 {
            let page = try await verifier.chunks(from: from, stride: stride)
            if let bad = page.bad.first {
                throw HoldfastError(
                    .corrupted,
                    "chunk \(bad) is missing here or has other bytes; 'cluster scrub' finds and replaces such")
            }
            checked += page.checked
            place = page.next
        }
        let versions = try await node.store.models().filter { !$0.retired }
        guard let newest = versions.max(by: { $0.revision < $1.revision }) else { return checked }
        let model = try await node.store.model(ModelReference(name: newest.name, version: newest.version))
        if let tensor = model.tensors.min(by: { $0.bytes < $1.bytes }) {
            _ = try await model.tensor(tensor.name, in: tensor.file)
        } else if let file = model.files.min(by: { $0.bytes < $1.bytes }), file.bytes <= Self.fileBytesMax {
            _ = try await model.data(of: file.path)
        }
        return checked
    }
}
