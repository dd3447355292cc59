internal import Logging
internal import NIOCore
internal import RaftCore
internal import ReplicaCore
internal import Storage

/// Brings a state snapshot of another node to this one: asks for it, gathers it, verifies it, and hands back rows that are ready to
/// be put in force. Knows nothing of consensus: whoever asks decides what the rows are for.
///
/// ```
///   wish ─▶ a manifest ─▶ its files, part by part, into staging ─▶ digests hold ─▶ rows open and checked ─▶ StagedRows
///             ▲ another source, or a newer manifest   │ cut: goes on at the same byte, at the same source or another
///             └───────────────────────────────────────┘ restart: staging says what is here already
/// ```
///
/// Invariants:
/// 1. What is handed back is the state that its manifest names, of this cluster and this history.
/// 2. At most two parts are in memory.
///
/// One `run` at a time, since there is one staging area.
struct SnapshotFetch: Sendable {
    /// Which state is asked for.
    enum Wish: Sendable {
        /// This very one, which the node keeps; another that is at least as new where that fails.
        case exactly(SnapshotManifest, from: NodeID)
        /// One that includes this log index, from whichever node has it.
        case atLeast(LogIndex)

        var index: LogIndex {
            switch self {
            case .exactly(let manifest, _): manifest.head.state.index
            case .atLeast(let index): index
            }
        }
    }

    let plane: any SnapshotPlane
    let staging: SnapshotStaging
    let threads: ChunkThreads
    /// How the rows are opened.
    let options: RowStoreOptions
    /// Nil for whoever may take the state of any cluster.
    let cluster: String?
    /// The history that the state must belong to; nil for a node that knows of none yet.
    let lineage: @Sendable () -> Lineage?
    /// Makes this node's directory one that may hold rows of a feature version, or refuses.
    let seal: @Sendable (UInt32) async throws(HoldfastError) -> Void
    let counters: SnapshotCounters
    let logger: Logger

    /// Fetches until the state is here, nobody can give it, or the task is cancelled.
    ///
    /// - Throws: `unavailable` (no source; ask again later), `corrupted` (what came is not what its manifest names), `incompatible` (of
    ///   another history), `resourceExhausted` (disk full).
    func run(_ wish: Wish) async throws(HoldfastError) -> StagedRows {
        try await gather(wish) { manifest throws(HoldfastError) in
            // At least this: rows in another place are nothing that the first release would find.
            try await seal(max(manifest.head.featureVersion, Feature.snapshots.since))
            return try await onDisk { () throws(SnapshotError) in try staging.assemble(manifest, options: options) }
        }
    }

    /// As `run`, up to the files: they lie in staging, whole, and `use` makes something of them. What it finds to be corrupted is asked
    /// for elsewhere.
    func gather<Value: Sendable>(
        _ wish: Wish, use: (SnapshotManifest) async throws(HoldfastError) -> Value
    ) async throws(HoldfastError) -> Value {
        defer { counters.count { ($0.wantedBytes, $0.presentBytes) = (0, 0) } }
        do throws(HoldfastError) {
            switch wish {
            case .exactly(let manifest, let node):
                do throws(HoldfastError) {
                    try await fetch(manifest, from: [node] + plane.sources.filter { $0 != node })
                    return try await use(manifest)
                } catch {
                    guard error.code == .notFound || error.code == .unavailable else { throw error }
                    logger.notice(
                        "a state snapshot can no longer be had where it was offered; asking for another",
                        metadata: ["error": "\(error.message)"])
                }
            case .atLeast(let index):
                if let manifest = try await interrupted(), manifest.head.state.index >= index,
                    try await resumed(manifest)
                {
                    return try await use(manifest)
                }
            }
            return try await fetchAny(atLeast: wish.index, use: use)
        } catch {
            counters.count { $0.failed += 1 }
            throw error
        }
    }

    private func interrupted() async throws(HoldfastError) -> SnapshotManifest? {
        try await threads.run { () throws(HoldfastError) in staging.interrupted() }
    }

    /// Goes on with what a restart interrupted; false if nobody keeps it any more.
    private func resumed(_ manifest: SnapshotManifest) async throws(HoldfastError) -> Bool {
        do throws(HoldfastError) {
            try await fetch(manifest, from: plane.sources)
            return true
        } catch {
            if error.code == .resourceExhausted || Task.isCancelled { throw error }
            logger.info("an interrupted state snapshot is begun anew", metadata: ["error": "\(error.message)"])
            return false
        }
    }

    private func fetchAny<Value: Sendable>(
        atLeast index: LogIndex, use: (SnapshotManifest) async throws(HoldfastError) -> Value
    ) async throws(HoldfastError) -> Value {
        var last = HoldfastError(.unavailable, "no other node is known that could give a state snapshot")
        for source in plane.sources {
            if Task.isCancelled { break }
            do throws(HoldfastError) {
                let manifest = try await plane.manifest(
                    atLeast: index, from: source, deadline: .now() + SnapshotLimits.makeWait)
                guard manifest.head.state.index >= index else {
                    throw HoldfastError(.incompatible, "node \(source) offered an older state than it was asked for")
                }
                try await fetch(manifest, from: [source])
                return try await use(manifest)
            } catch {
                if error.code == .resourceExhausted { throw error }
                last = error
            }
        }
        throw HoldfastError(
            last.code == .corrupted ? .corrupted : .unavailable,
            "no node gave a state snapshot that includes log index \(index): \(last.message)")
    }

    // MARK: One manifest

    private func fetch(_ manifest: SnapshotManifest, from sources: [NodeID]) async throws(HoldfastError) {
        try check(manifest)
        try await onDisk { () throws(SnapshotError) in try staging.begin(manifest) }
        counters.count { figures in
            figures.wantedBytes = manifest.bytes
            figures.presentBytes = 0
        }
        let id = manifest.id
        for place in manifest.files.indices {
            try await fetch(place, of: manifest, id, from: sources)
            counters.count { $0.presentBytes = manifest.files[...place].reduce(0) { $0 + $1.bytes } }
        }
    }

    /// Keeps (1).
    func check(_ manifest: SnapshotManifest) throws(HoldfastError) {
        guard cluster == nil || manifest.cluster == cluster else {
            throw HoldfastError(.incompatible, "a state snapshot of cluster '\(manifest.cluster)' was offered")
        }
        if let own = lineage(), let other = manifest.head.lineage, own != other {
            throw HoldfastError(
                .incompatible, "a state snapshot of lineage \(other.hex) was offered to a node of \(own.hex)")
        }
    }

    /// Fetches one file; a source that fails gives way to the next.
    private func fetch(
        _ place: Int, of manifest: SnapshotManifest, _ id: Digest, from sources: [NodeID]
    ) async throws(HoldfastError) {
        let file = manifest.files[place]
        var last: HoldfastError?
        for source in sources {
            var pause = RetryPause()
            var tries = 0
            while tries < SnapshotLimits.triesMax, !Task.isCancelled {
                let before = try await onDisk { () throws(SnapshotError) in try staging.progress(of: file) }
                guard let before else { return }
                do throws(HoldfastError) {
                    try await fetch(file, SnapshotPart(snapshot: id, file: place, offset: before, count: 0), source)
                    return try await onDisk { () throws(SnapshotError) in try staging.finish(file) }
                } catch {
                    last = error
                    if error.code == .resourceExhausted { throw error }
                    // Not kept there: asking again is of no use.
                    if error.code == .notFound || error.code == .incompatible { break }
                    if error.code == .corrupted, tries > 0 { throw error }
                }
                let after = try await onDisk { () throws(SnapshotError) in try staging.progress(of: file) }
                if let after, after > before {
                    tries = 0
                    pause.reset()
                }
                tries += 1
                await pause.wait()
            }
        }
        if Task.isCancelled { throw HoldfastError(.unavailable, "the fetch of a state snapshot was cancelled") }
        throw last ?? HoldfastError(.unavailable, "no node can be asked for a state snapshot")
    }

    /// Fetches the rest of a file: the next part is on its way while one is written. Keeps (2).
    private func fetch(
        _ file: SnapshotManifest.File, _ from: SnapshotPart, _ source: NodeID
    ) async throws(HoldfastError) {
        var next = from
        var size = SnapshotLimits.partBytesMin
        while next.offset < file.bytes {
            if Task.isCancelled { throw HoldfastError(.unavailable, "the fetch of a state snapshot was cancelled") }
            next.count = Int(min(UInt64(size), file.bytes - next.offset))
            let begun = NIODeadline.now()
            let bytes = try await plane.part(next, from: source, deadline: begun + SnapshotLimits.partWait)
            guard bytes.readableBytes == next.count else {
                throw HoldfastError(.corrupted, "node \(source) sent a part of \(bytes.readableBytes) bytes")
            }
            let isFast = NIODeadline.now() - begun < SnapshotLimits.partPatience
            size = isFast ? min(size * 2, SnapshotLimits.partBytesMax) : max(size / 2, SnapshotLimits.partBytesMin)
            let offset = next.offset
            try await onDisk { () throws(SnapshotError) in
                try bytes.withUnsafeReadableBytes { (buffer) throws(SnapshotError) in
                    try staging.append(buffer, to: file, at: offset)
                }
            }
            next.offset += UInt64(next.count)
            let count = UInt64(next.count)
            counters.count { figures in
                figures.fetchedBytes += count
                figures.presentBytes += count
            }
        }
    }

    private func onDisk<Value: Sendable>(
        _ body: @escaping @Sendable () throws(SnapshotError) -> Value
    ) async throws(HoldfastError) -> Value {
        try await threads.run { () throws(HoldfastError) in
            do throws(SnapshotError) {
                return try body()
            } catch {
                throw HoldfastError(error)
            }
        }
    }
}
