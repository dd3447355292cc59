internal import ReplicaCore

/// The steps of an install, in their order; a crash between two of them loses nothing.
package enum InstallStep: Int, Sendable, CaseIterable {
    /// Every file is in staging, whole and durable.
    case fetched
    /// They are rows, verified and open, that nothing names.
    case opened
    /// The pointer names them; the log is still that of the rows before.
    case inForce
    /// The log begins behind them.
    case done
}

/// Rows of a state snapshot that are verified, open and durable, and not yet in force.
///
/// One owner takes them to one of two ends: `putInForce()`, or `discard()`. Without either the next start removes them.
package final class StagedRows: Sendable {
    package let manifest: SnapshotManifest
    /// The rows; this node's own rows (not replicated ones) are empty.
    package let rows: RowStore
    private let staging: SnapshotStaging

    /// Opens the files at `path` and holds them against the manifest.
    init(
        opening path: String, _ manifest: SnapshotManifest, staging: SnapshotStaging, options: RowStoreOptions
    ) throws(SnapshotError) {
        self.manifest = manifest
        self.staging = staging
        var options = options
        options.createsIfMissing = false
        do {
            rows = try RowStore(path: path, options: options)
            // The digests vouch for the way here, this for the disk that the files were read from.
            try rows.verifyChecksums()
            guard try SnapshotHead(loading: rows) == manifest.head else {
                throw SnapshotError(.corrupted, "the state snapshot holds another state than its manifest names")
            }
            var batch = WriteBatch()
            SnapshotHead.dropLocalRows(into: &batch)
            try rows.write(batch)
            try rows.flush()
            try FileTree.syncDirectory(path)
            try FileTree.syncDirectory(FileTree.parent(of: path))
        } catch let error as SnapshotError {
            throw error
        } catch let error as RowStoreError {
            throw SnapshotError(error)
        } catch let error as RowError {
            throw SnapshotError(error.isCorruption ? .corrupted : .inputOutput, error.message)
        } catch let error as FileError {
            throw SnapshotError(error)
        } catch {
            throw SnapshotError(.inputOutput, "\(error)")
        }
    }

    /// The index that the rows include.
    package var index: UInt64 { manifest.head.state.index }

    /// Makes these the rows of the data directory, durably: after a crash they are found in the place of those before.
    package func putInForce() throws(SnapshotError) {
        do {
            try staging.place.adopt(rows.path)
        } catch {
            throw SnapshotError(error)
        }
        staging.onStep(.inForce)
        // Its table files are those of the rows now. What a failure leaves is removed at the next start.
        _ = try? staging.clear()
    }

    /// Lets the rows go: their directory is removed once the last reference to them is gone.
    package func discard() {
        rows.handle.removeAtClose()
        _ = try? staging.clear()
    }
}
