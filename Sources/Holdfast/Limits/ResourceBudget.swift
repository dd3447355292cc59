/// Open files and mappings that a node's process may have, shared out before anything is opened: a node that met the system's limit
/// in the middle of its work could neither write its log nor take a connection.
///
/// | Files of a member | Most | Least |
/// |---|---|---|
/// | `ownFiles`: streams 3, event loops 6, listener 1, lock, reserve and marks 5, log 16, RocksDB's own 8, libraries 25 | 64 | 64 |
/// | `chunkFiles`: 16 being taken, 8 being fetched, 4 being sent on each of 48 bulk connections | 216 | 216 |
/// | `snapshotFiles`: a state snapshot that is sent, one that is received, and their directories | 32 | 32 |
/// | `peerFiles`: three connections to each of 16 members | 48 | 48 |
/// | row tables held open (RocksDB's `max_open_files`): a quarter of the rest | 512 | 64 |
/// | accepted connections | 4,096 | 88 |
///
/// A local node has no connections and sends no chunks: 64 + 24 + 32 + 64 = 184 at least.
package struct ResourceBudget: Sendable, Equatable {
    /// Who the budget is for.
    package enum Kind: Sendable {
        case member
        case local
    }

    package static let ownFiles = 64
    package static let chunkFiles = 24 + 4 * 48
    package static let localChunkFiles = 24
    package static let snapshotFiles = 32
    package static let peerFiles = 3 * 16
    package static let tablesMin = 64
    package static let tablesMax = 512
    package static let connectionsMin = 88
    package static let connectionsMax = 4_096
    /// The soft limit is raised to the hard one, at most to this: a larger one only makes tables of the kernel and of libraries larger.
    package static let filesWanted = 1 << 20

    /// Mappings that are not chunks: libraries, stacks and arenas of threads, memory of RocksDB and of the host process.
    package static let ownMappings = 4_096
    /// Mappings of chunks below which a node does not start: 16 GiB of weights in chunks of 4 MiB.
    package static let chunkMappingsMin = 4_096

    /// Table files that the rows store holds open.
    package let tables: Int
    /// Connections that the listener accepts; 0 for a local node.
    package let connections: Int
    /// Bulk connections among them.
    package let bulkConnections: Int
    /// Chunk files that may be mapped at once, over the whole process.
    package let chunkMappings: Int

    /// Shares out what the system allows. Throws `resourceExhausted` with what to set where that is too little.
    package init(_ kind: Kind, files: Int, mappings: Int) throws(HoldfastError) {
        let fixed: Int
        let least: Int
        switch kind {
        case .member:
            fixed = Self.ownFiles + Self.chunkFiles + Self.snapshotFiles + Self.peerFiles
            least = fixed + Self.tablesMin + Self.connectionsMin
        case .local:
            fixed = Self.ownFiles + Self.localChunkFiles + Self.snapshotFiles
            least = fixed + Self.tablesMin
        }
        guard files >= least else {
            throw HoldfastError(
                .resourceExhausted,
                "this process may have \(files) open files, and a node needs \(least) at least, better 65536; raise the hard "
                    + "limit: 'ulimit -n 65536' in the shell that starts it, LimitNOFILE=65536 in its systemd unit; "
                    + "nothing was opened")
        }
        guard mappings >= Self.ownMappings + Self.chunkMappingsMin else {
            throw HoldfastError(
                .resourceExhausted,
                "this process may have \(mappings) mappings, and a node needs \(Self.ownMappings + Self.chunkMappingsMin) at "
                    + "least, better 1048576; run: sysctl -w vm.max_map_count=1048576, and write it to /etc/sysctl.d; "
                    + "nothing was opened")
        }
        let rest = files - fixed
        let tables = min(max(rest / 4, Self.tablesMin), Self.tablesMax)
        self.tables = tables
        connections = kind == .member ? min(rest - tables, Self.connectionsMax) : 0
        bulkConnections = min(connections / 2, 48)
        chunkMappings = mappings - Self.ownMappings
    }
}
