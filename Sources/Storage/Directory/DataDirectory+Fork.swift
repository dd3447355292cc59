internal import RaftCore
package import ReplicaCore

extension DataDirectory {
    /// Makes a data directory of its own out of this one's rows and chunks as they are now: the one member of a new cluster with a lineage of
    /// its own. Takes hardly any space or time: table files and chunks get a second name. Nothing here is changed. Blocks on the disk.
    ///
    /// - Parameters:
    ///   - path: where there is nothing, on the same file system.
    ///   - rows: the rows of this directory, open; `chunks` as well.
    ///   - lineage: of the fork; nobody else's.
    /// - Returns: where the fork's feed stands.
    package func fork(
        to path: String, rows: RowStore, chunks: ChunkStore, lineage: Lineage, nowMilliseconds: UInt64
    ) throws(DirectoryError) -> AppliedState {
        var request = FormatRequest(
            node: identity.node, cluster: identity.cluster, token: "fork \(lineage.hex)",
            members: [.init(node: identity.node, endpoint: "127.0.0.1:1")], nowMilliseconds: nowMilliseconds)
        request.reserveBytes = 0
        var state = AppliedState()
        var version: UInt32 = 0
        _ = try DataDirectory.format(at: path, request) { fork, identity throws(DirectoryError) in
            do {
                try FileTree.removeTree(fork.rows)
                try rows.checkpoint(at: fork.rows)
                let copy = try RowStore(path: fork.rows)
                state = try AppliedState(loading: copy)
                version = try ModelReader.featureVersion(rows: copy)
                var batch = WriteBatch()
                NewLineage.begin(lineage, member: identity.node, into: &batch)
                try copy.write(batch)
                try copy.flush()
                try chunks.link(below: fork.chunks)
                var options = LogOptions()
                options.segmentBytes = DataDirectory.forkSegmentBytes
                // The rows hold entries of that term: the log must not know an older one.
                try LogStore.format(
                    directory: fork.log, identity: identity.incarnation.low, options: options,
                    hardState: HardState(term: state.term))
            } catch let error as DirectoryError {
                throw error
            } catch {
                throw DirectoryError(.inputOutput, "no fork of \(layout.root) can be made: \(error)")
            }
        }
        try DataDirectory.open(at: path, reserveBytes: 0).seal(Int(version))
        return state
    }

    /// Takes a fork away, or what a crash left of one.
    package func removeFork(at path: String) throws(DirectoryError) {
        do throws(FileError) {
            try FileTree.removeTree(path)
        } catch {
            throw DirectoryError(error, doing: "remove the fork at \(path)")
        }
    }

    /// A fork takes a few writes.
    private static let forkSegmentBytes = 4 << 20
}

extension ChunkStore {
    /// Gives every chunk a second name below the chunk directory of another store, whose directories are there.
    fileprivate func link(below other: String) throws {
        for first in UInt8.min...UInt8.max {
            for id in try list(beginningWith: first) {
                let name = id.hex
                do throws(FileError) {
                    try FileTree.link(path(of: id), to: "\(other)/\(name.prefix(2))/\(name.dropFirst(2))")
                } catch {
                    // Swept meanwhile: then nothing names it.
                    if !error.isMissing { throw error }
                }
            }
        }
    }
}
