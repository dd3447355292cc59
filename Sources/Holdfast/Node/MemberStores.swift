internal import Glibc
internal import Logging
internal import NIOPosix
internal import RaftCore
internal import ReplicaCore
internal import Storage

/// The stores of a data directory, opened and brought to one point.
struct MemberStores: Sendable {
    let directory: DataDirectory
    let log: LogStore
    let rows: RowStore
    let rowOptions: RowStoreOptions
    let chunks: ChunkStore
    let applier: Applier
    let lineage: Lineage?
    /// The highest revision that published a model.
    let publishedRevision: UInt64
    let start: RaftStart

    /// Opens everything; blocks on the disk, so not on a thread of the cooperative pool.
    static func open(
        at path: String, configuration: NodeConfiguration, budget: ResourceBudget, logger: Logger,
        recovers: Bool = false
    ) throws(HoldfastError) -> MemberStores {
        do {
            return try open(path, configuration, budget, logger, recovers)
        } catch let error as DirectoryError {
            guard case .version(let found, _) = error.cause, NodeIdentity.formatVersions.contains(found) else {
                throw HoldfastError(opening: error, at: path)
            }
            throw HoldfastError(
                .incompatible,
                "\(path) is at feature version \(found) already, and featureVersionMax holds this node back to "
                    + "\(configuration.featureVersionKnown): there is no way back; remove the setting; nothing was changed"
            )
        } catch {
            throw HoldfastError(opening: error, at: path)
        }
    }

    /// Formats `directory` for the first members of a cluster; returns the bootstrap ID.
    static func format(_ directory: String, _ request: FormatRequest) throws(HoldfastError) -> String {
        do {
            let identity = try DataDirectory.format(at: directory, request) { layout, identity throws(DirectoryError) in
                do throws(LogError) {
                    try LogStore.format(directory: layout.log, identity: identity.incarnation.low)
                } catch {
                    throw DirectoryError(.inputOutput, "the log of \(layout.root) could not be made: \(error)")
                }
            }
            return identity.bootstrap.hex
        } catch {
            throw HoldfastError(opening: error, at: directory)
        }
    }

    /// Formats `directory` for a node that joins a cluster.
    static func join(_ directory: String, _ request: JoinRequest) throws(HoldfastError) {
        do {
            _ = try DataDirectory.join(at: directory, request) { layout, identity throws(DirectoryError) in
                do throws(LogError) {
                    try LogStore.format(directory: layout.log, identity: identity.incarnation.low)
                } catch {
                    throw DirectoryError(.inputOutput, "the log of \(layout.root) could not be made: \(error)")
                }
            }
        } catch {
            throw HoldfastError(opening: error, at: directory)
        }
    }

    private static func open(
        _ path: String, _ configuration: NodeConfiguration, _ budget: ResourceBudget, _ logger: Logger,
        _ recovers: Bool
    ) throws -> MemberStores {
        let known = Int(configuration.featureVersionKnown)
        let directory = try DataDirectory.open(at: path, formatVersionMax: known, recovers: recovers)
        let rowOptions = RowStoreOptions(configuration, budget, reserveBytes: directory.reserveBytes)
        let rows = try openRows(directory, rowOptions, logger)
        let (log, recovered) = try openLog(directory, rows, logger)
        if recovered.repairedCopies {
            logger.notice("a copy of term and vote, or of the log's start, was bad or old and was written again")
        }
        if recovered.tornBytes > 0 {
            logger.notice(
                "the end of the log was torn by a crash and cut off", metadata: ["bytes": "\(recovered.tornBytes)"])
        }
        let first = Members(voters: directory.identity.members.map(\.node))
        var state = try AppliedState(loading: rows)
        if state.index == 0, recovered.previousIndex == 0 {
            var batch = WriteBatch()
            Applier.format(members: first, into: &batch)
            try rows.write(batch)
            state = try AppliedState(loading: rows)
        }
        let applier = try Applier(loading: rows)
        let staging = SnapshotStaging(directory.layout)
        if let interrupted = staging.interrupted(), interrupted.head.state.index <= state.index {
            // A crash came between putting the snapshot in force and removing what it was made of.
            try staging.clear()
        }
        guard applier.featureVersion <= FeatureVersion.known else {
            throw HoldfastError(
                .incompatible,
                "the rows of \(path) are of feature version \(applier.featureVersion), and this build knows "
                    + "\(FeatureVersion.known): a node may not go back to an older build; use the newer one")
        }
        guard state.index >= recovered.previousIndex else {
            log.close()
            throw doubt(
                directory,
                "the rows end at log index \(state.index), but the log begins after \(recovered.previousIndex)")
        }
        guard recovered.hardState.term >= state.term else {
            // Term and vote are durable before any entry of their term is, so what the log holds of them is older than it was.
            throw HoldfastError(
                .corrupted,
                "the log of \(path) is at term \(recovered.hardState.term), but its rows hold entries of term "
                    + "\(state.term): its votes were lost; rebuild this node from its peers under a new ID")
        }
        if let lineage = applier.lineage, !recovers {
            // A crash may have come between the rows' write and this one.
            try directory.recordLineage(lineage)
        }
        let chunks = try ChunkStore(path: directory.layout.chunks, quarantine: directory.layout.quarantine)
        let published = try ModelReader.list(at: ReadPoint(state), rows: rows).map(\.publishedRevision).max() ?? 0
        return MemberStores(
            directory: directory, log: log, rows: rows, rowOptions: rowOptions, chunks: chunks, applier: applier,
            lineage: applier.lineage,
            publishedRevision: published,
            start: try start(recovered, state, applier.members, log, directory))
    }

    /// Opens the rows at a path. RocksDB writes a little to open; on a full disk the reserve gives the room, so that things can be deleted there.
    static func openStore(
        _ path: String, _ directory: DataDirectory, _ options: RowStoreOptions, _ logger: Logger
    ) throws -> RowStore {
        if try directory.space().free < UInt64(directory.reserveBytes) / 2, try directory.releaseReserve() {
            logger.warning("the disk is nearly at its end; the rows are opened with the reserve's room")
        }
        do throws(RowStoreError) {
            return try RowStore(path: path, options: options)
        } catch {
            guard error.cause == .noSpace, try directory.releaseReserve() else { throw error }
            logger.warning("the disk is full; the rows are opened with the reserve's room")
            return try RowStore(path: path, options: options)
        }
    }

    /// What consensus starts from; a log that does not hold the last applied entry (a crash within the install of a state snapshot)
    /// begins anew behind it.
    private static func start(
        _ recovered: RecoveredLog, _ state: AppliedState, _ members: Members, _ log: LogStore,
        _ directory: DataDirectory
    ) throws(LogError) -> RaftStart {
        var needsReset = false
        var start = try RaftStart(
            recovered, applied: EntryID(term: state.term, index: state.index), configuration: members.confState,
            log: log, needsReset: &needsReset)
        if needsReset { log.submit(.reset(sequence: 0, index: state.index, term: state.term)) }
        start.withholdsVotes = directory.repairMarks.contains { $0.cause == .log }
        return start
    }
}

extension RowStoreOptions {
    /// How a node opens its rows. On a full disk the room of its reserve must take all write buffers: what cannot be flushed would hold
    /// up deletions too.
    init(_ configuration: NodeConfiguration, _ budget: ResourceBudget, reserveBytes: Int) {
        self.init()
        openFilesMax = budget.tables
        blockCacheBytes = configuration.rowCacheBytes
        writeBufferBytes = min(writeBufferBytes, max(1 << 20, reserveBytes / writeBuffersMax))
        createsIfMissing = false
    }
}

extension HoldfastError {
    /// A store that could not be opened, in a sentence that says what to do.
    init(opening error: any Error, at path: String) {
        switch error {
        case let error as HoldfastError:
            self = error
        case let error as DirectoryError:
            self.init(error.cause.code, error.message)
        case let error as RowStoreError:
            self.init(error.cause == .corruption ? .corrupted : .unavailable, error.message)
        case let error as RowError:
            self.init(error)
        case let error as LogError:
            self.init(log: error, at: path)
        default:
            self.init(.unavailable, "the data directory \(path) could not be opened: \(error)")
        }
    }

    /// A failure of the log.
    init(log error: LogError, at path: String) {
        switch error {
        case .corrupted(let index, let detail):
            self.init(
                .corrupted,
                "the log of \(path) is damaged at index \(index) (\(detail)): the entry was acknowledged or may have been, "
                    + "so it is not cut off; rebuild this node from its peers", details: ["index": "\(index)"])
        case .hardStateLost(let detail):
            self.init(
                .corrupted,
                "both copies of term and vote in \(path) are damaged (\(detail)): this node may not vote; rebuild it "
                    + "from its peers under a new ID")
        case .noSpace(let detail):
            self.init(.resourceExhausted, "no space for the log of \(path): \(detail); free space and restart the node")
        case .failed(let operation, let file, let code):
            self.init(
                .unavailable,
                "the log failed: cannot \(operation) \(file): \(String(cString: strerror(code))); nothing after it was "
                    + "acknowledged; check the disk and restart the node", details: ["path": file])
        default:
            self.init(.unavailable, "the log of \(path) failed: \(error); check the disk and restart the node")
        }
    }
}

extension DirectoryError.Cause {
    fileprivate var code: HoldfastError.Code {
        switch self {
        case .notFormatted: .notFound
        case .alreadyFormatted, .notEmpty, .halfFormatted: .alreadyExists
        case .foreign, .version, .lineageDiffers, .removed: .incompatible
        case .locked: .unavailable
        case .corrupted: .corrupted
        case .invalidArgument: .invalidArgument
        case .noSpace: .resourceExhausted
        case .inputOutput: .unavailable
        }
    }
}
