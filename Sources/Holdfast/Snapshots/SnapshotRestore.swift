internal import NIOCore
internal import RaftCore
internal import ReplicaCore
internal import Storage

extension HoldfastNode {
    /// Reads a snapshot file and checks every byte of it. Changes nothing; blocks on the disk.
    ///
    /// - Throws: `notFound`, or `corrupted` for a file that is damaged, cut off or no snapshot.
    public static func inspectSnapshot(at path: String) throws(HoldfastError) -> SnapshotSummary {
        try HoldfastError.snapshot { () throws(SnapshotError) in
            let reader = try SnapshotFileReader(path)
            try reader.verifyFiles()
            let (names, hasBytes) = try reader.chunks()
            var bytes: UInt64 = 0
            if hasBytes { try reader.forEachChunk { _, chunk in bytes += UInt64(chunk.count) } }
            return SnapshotSummary(
                reader.manifest, fileBytes: reader.bytes, chunks: names.count, chunkBytes: hasBytes ? bytes : nil)
        }
    }

    /// Makes a data directory of a snapshot file: the one member of a new cluster with everything that the file holds. Others join it as
    /// learners. Blocks on the disk.
    ///
    /// It is a history of its own from the first moment: new lineage, new bootstrap ID, new incarnation. So no node of the old cluster
    /// takes it for a member, and it can vote there never. Client sessions stay behind; open uploads come along.
    ///
    /// - Parameters:
    ///   - directory: none, or an empty one.
    ///   - id: the node's ID.
    ///   - endpoint: where it will be reached, `HOST:PORT`.
    ///   - cluster: the cluster's name; nil keeps the old one.
    /// - Throws: `alreadyExists` for a directory that is not empty, with nothing touched; `notFound`, `corrupted`, `incompatible` (a state
    ///   of a newer build), `resourceExhausted`.
    public static func restoreSnapshot(
        at path: String, directory: String, id: UInt64, endpoint: String, cluster: String? = nil
    ) throws(HoldfastError) -> SnapshotSummary {
        // First, so that a damaged file touches nothing.
        let summary = try inspectSnapshot(at: path)
        guard summary.featureVersion <= FeatureVersion.known else {
            throw HoldfastError(
                .incompatible,
                "\(path) is a state of feature version \(summary.featureVersion), and this build knows "
                    + "\(FeatureVersion.known); use the release that wrote it, or a newer one")
        }
        let lineage = Lineage(UInt64.random(in: 1...(.max)), UInt64.random(in: 0...(.max)))
        let request = FormatRequest(
            node: id, cluster: cluster ?? summary.cluster, token: "restored \(lineage.hex)",
            members: [.init(node: id, endpoint: endpoint)], nowMilliseconds: WallClock.milliseconds)
        do {
            _ = try DataDirectory.format(at: directory, request) { layout, identity throws(DirectoryError) in
                do {
                    try fill(layout, identity, from: path, lineage: lineage)
                } catch let error as DirectoryError {
                    throw error
                } catch {
                    throw DirectoryError(.inputOutput, "\(directory) could not be filled from \(path): \(error)")
                }
            }
            try DataDirectory.open(at: directory).seal(Int(summary.featureVersion))
        } catch {
            throw HoldfastError(opening: error, at: directory)
        }
        var restored = summary
        restored.lineage = lineage.hex
        restored.cluster = cluster ?? summary.cluster
        restored.members = [id]
        return restored
    }

    /// Everything but the identity, which is written when all of this is durable.
    private static func fill(
        _ layout: DataLayout, _ identity: NodeIdentity, from path: String, lineage: Lineage
    ) throws {
        let reader = try SnapshotFileReader(path)
        let staging = SnapshotStaging(layout)
        try reader.unpack(into: staging)
        var options = RowStoreOptions()
        options.createsIfMissing = false
        let staged = try staging.assemble(reader.manifest, options: options)
        var batch = WriteBatch()
        NewLineage.begin(lineage, member: identity.node, into: &batch)
        try staged.rows.write(batch)
        try staged.rows.flush()
        let chunks = try ChunkStore(path: layout.chunks, quarantine: layout.quarantine)
        try reader.forEachChunk { id, bytes throws(SnapshotError) in
            do throws(ChunkError) {
                // Checked when it was read.
                _ = try chunks.write(id, bytes, isVerified: true)
            } catch {
                throw SnapshotError(error.cause == .noSpace ? .noSpace : .inputOutput, error.message)
            }
        }
        try staged.putInForce()
        // The rows hold entries of that term: the log must not know an older one, and begins behind them at the first start.
        let state = reader.manifest.head.state
        try LogStore.format(
            directory: layout.log, identity: identity.incarnation.low, hardState: HardState(term: state.term))
    }
}
