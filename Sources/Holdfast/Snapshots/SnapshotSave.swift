internal import Logging
internal import NIOCore
internal import RaftCore
internal import ReplicaCore
internal import Storage

/// The cluster behind a store as a source of state snapshots: one node gives all parts, the one that made the checkpoint.
private struct RoutedSnapshots: SnapshotPlane {
    let router: Router

    /// The router knows the nodes; to the fetch they are one.
    var sources: [NodeID] { [1] }

    func manifest(
        atLeast index: LogIndex, from node: NodeID, deadline: NIODeadline
    ) async throws(HoldfastError) -> SnapshotManifest {
        var body = ByteBuffer()
        body.writeInteger(index, endianness: .little)
        return try SnapshotManifest.decode(
            try await router.send(
                .snapshotManifest, body, to: .any, deadline: deadline, attempt: SnapshotLimits.makeWait))
    }

    func part(_ part: SnapshotPart, from node: NodeID, deadline: NIODeadline) async throws(HoldfastError) -> ByteBuffer
    {
        var body = ByteBuffer()
        part.encode(into: &body)
        return try await router.send(
            .snapshotPart, body, to: .any, deadline: deadline, attempt: SnapshotLimits.partWait)
    }
}

extension Store {
    /// Saves the state as it is now into one file: every key with its history, models, uploads; with `withChunks` the bytes of the
    /// models too. Everything that was acknowledged before the call is in it.
    ///
    /// The file gets its name once it is whole and durable. An interrupted save goes on where it stopped, as long as the node keeps what
    /// it was reading: its parts lie in `PATH.partial` meanwhile.
    ///
    /// - Throws: `alreadyExists` if there is a file at `path`; `unavailable` where no node can be reached, `corrupted` if what came is not
    ///   what the node named.
    public func saveSnapshot(to path: String, withChunks: Bool = false) async throws(HoldfastError) -> SnapshotSummary {
        guard !SnapshotFile.exists(path) else {
            throw HoldfastError(.alreadyExists, "there is a file at \(path) already; give another name")
        }
        let status = try await status()
        let index = status.nodes.map(\.commit).max() ?? 0
        let threads = ChunkThreads(count: 1)
        let staging = SnapshotStaging(SnapshotFile.parts(of: path))
        let fetch = SnapshotFetch(
            plane: RoutedSnapshots(router: router), staging: staging, threads: threads, options: RowStoreOptions(),
            cluster: status.cluster, lineage: { Lineage(hex: status.lineage) }, seal: { _ in },
            counters: SnapshotCounters(), logger: router.logger)
        let result: Result<SnapshotSummary, HoldfastError>
        do throws(HoldfastError) {
            result = .success(
                try await fetch.gather(.atLeast(index)) { manifest throws(HoldfastError) in
                    try await save(manifest, staging, threads, to: path, withChunks: withChunks)
                })
        } catch {
            result = .failure(error)
        }
        await threads.stop()
        return try result.get()
    }

    private func save(
        _ manifest: SnapshotManifest, _ staging: SnapshotStaging, _ threads: ChunkThreads, to path: String,
        withChunks: Bool
    ) async throws(HoldfastError) -> SnapshotSummary {
        // The list is read before anything is written: it is checked by opening the files as rows.
        let chunks = try await threads.run { () throws(HoldfastError) in
            try HoldfastError.snapshot { () throws(SnapshotError) in try staging.chunks(of: manifest) }
        }
        var bytes: UInt64 = 0
        let writer = try HoldfastError.snapshot { () throws(SnapshotError) in
            let writer = try SnapshotFileWriter(path, manifest, from: staging)
            try writer.add(chunks: chunks, bytes: withChunks)
            return writer
        }
        if withChunks {
            for id in chunks {
                let chunk = try await chunkSource.readChunk(id)
                guard chunk.withUnsafeReadableBytes({ SHA256.digest(of: $0) }) == id else {
                    await chunkSource.doubt(id)
                    throw HoldfastError(.corrupted, "chunk \(id) came with other bytes than its name; try again")
                }
                bytes += UInt64(chunk.readableBytes)
                do throws(SnapshotError) {
                    try chunk.withUnsafeReadableBytes { (buffer) throws(SnapshotError) in
                        try writer.add(chunk: buffer)
                    }
                } catch {
                    throw HoldfastError(error)
                }
            }
        }
        do throws(SnapshotError) {
            let size = try writer.finish()
            try SnapshotFile.removeParts(of: path)
            return SnapshotSummary(
                manifest, fileBytes: size, chunks: chunks.count, chunkBytes: withChunks ? bytes : nil)
        } catch {
            throw HoldfastError(error)
        }
    }
}

extension HoldfastError {
    /// Runs work on a state snapshot and says its failure in the words of the public interface.
    static func snapshot<Value>(
        _ body: () throws(SnapshotError) -> Value
    ) throws(HoldfastError) -> Value {
        do throws(SnapshotError) {
            return try body()
        } catch {
            throw HoldfastError(error)
        }
    }
}
