internal import Logging
internal import NIOCore
internal import NIOPosix
internal import ReplicaCore
internal import Storage
internal import Transport

/// Fetches the rows of a node anew whose own cannot be read, before the node starts. Its log stays as it is.
///
/// ```
///   mark repair-rows ─▶ a state snapshot of any peer, at or above the log's start ─▶ in force ─▶ the old rows to the
///   quarantine ─▶ mark removed ─▶ the node starts as ever: its log is applied on top
/// ```
/// A restart at any point begins at the front, and the fetch goes on where it was.
struct RowsRepair {
    let path: String
    let configuration: NodeConfiguration
    let budget: ResourceBudget
    let loops: ClientLoops
    let settings: TransportSettings
    let logger: Logger

    /// Returns when the rows of the directory are whole. Asks its peers again and again, for as long as it takes.
    ///
    /// - Throws: `corrupted` where there is no peer; `unavailable` when cancelled; what the disk refuses.
    func run() async throws(HoldfastError) {
        weak var opened: DataDirectory?
        do {
            let directory = try await onThread { () throws(HoldfastError) in
                do throws(DirectoryError) {
                    return try DataDirectory.open(
                        at: path, formatVersionMax: Int(configuration.featureVersionKnown))
                } catch {
                    throw HoldfastError(opening: error, at: path)
                }
            }
            opened = directory
            try await repair(directory)
        }
        // The directory is opened again in a moment: everything that held it must be gone.
        let deadline = NIODeadline.now() + .seconds(5)
        while opened != nil, .now() < deadline {
            await Task.detached { try? await Task.sleep(nanoseconds: 1_000_000) }.value
        }
    }

    private func repair(_ directory: DataDirectory) async throws(HoldfastError) {
        let identity = directory.identity
        guard identity.members.count > 1 else {
            throw HoldfastError(
                .corrupted,
                "the rows of \(path) cannot be read and node \(identity.node) has no peers to fetch them from; "
                    + "restore the directory from a snapshot file")
        }
        let own = identity.members.first { $0.node == identity.node }.flatMap { Endpoint($0.endpoint) }
        let endpoint = own ?? Endpoint(host: "local", port: 0)
        let seal = FeatureSeal(directory: directory, configuration: configuration)
        // The rows would know members that came later; the first ones are what the directory itself says.
        let state = MemberState(
            MemberState.Values(
                applied: AppliedState(), members: Members(voters: identity.members.map(\.node)), roster: Roster(),
                firstEndpoints: Dictionary(uniqueKeysWithValues: identity.members.map { ($0.node, $0.endpoint) }),
                completeness: [], lineage: directory.lineage, publishedRevision: 0, startIndex: 0))
        let rules = AdmissionRules(
            directory: directory, state: state, featureVersion: seal.known, activeFeatureVersion: { 0 })
        let peers = Peers(
            members: state.now.endpoints, self: identity.node, loops: loops, settings: settings, logger: logger,
            check: { rules.check($0, $1) },
            hello: { Hello(purpose: $0, target: $1, identity: rules.identity(endpoint: "\(endpoint)")) })
        let threads = ChunkThreads(count: 1)
        let fetch = SnapshotFetch(
            plane: PeerSnapshots(peers: peers), staging: SnapshotStaging(directory.layout), threads: threads,
            options: RowStoreOptions(configuration, budget, reserveBytes: directory.reserveBytes),
            cluster: identity.cluster, lineage: { directory.lineage },
            seal: { version throws(HoldfastError) in try await seal.seal(version) }, counters: SnapshotCounters(),
            logger: logger)
        let result: Result<Void, HoldfastError>
        do throws(HoldfastError) {
            result = .success(try await fetchAndAdopt(directory, fetch))
        } catch {
            result = .failure(error)
        }
        await withCheckedContinuation { (continuation: CheckedContinuation<Void, Never>) in
            loops.request.execute {
                peers.stop()
                continuation.resume()
            }
        }
        await threads.stop()
        try result.get()
    }

    private func fetchAndAdopt(_ directory: DataDirectory, _ fetch: SnapshotFetch) async throws(HoldfastError) {
        let layout = directory.layout
        let least = try await onThread { () throws(HoldfastError) in
            do throws(LogError) {
                return try LogStore.previousIndex(directory: layout.log) ?? 0
            } catch {
                throw HoldfastError(log: error, at: path)
            }
        }
        logger.critical(
            "the rows cannot be read: fetching them from the peers before this node starts",
            metadata: ["found": "\(directory.repairMarks.first { $0.cause == .rows }?.detail ?? "")"])
        try await onThread { () throws(HoldfastError) in
            do throws(DirectoryError) {
                try RowsPlace(layout).setDamagedPointerAside(below: layout.quarantine)
            } catch {
                throw HoldfastError(opening: error, at: path)
            }
        }
        try await onThread { () throws(HoldfastError) in
            do throws(DirectoryError) {
                try RowsPlace(layout).setDamagedPointerAside(below: layout.quarantine)
            } catch {
                throw HoldfastError(opening: error, at: path)
            }
        }
        let staged = try await fetched(atLeast: max(least, 1), fetch)
        try await onThread { () throws(HoldfastError) in
            do {
                // Before the rows: a log whose term is below theirs would pass for one that lost its votes.
                try LogStore.enter(term: staged.manifest.head.state.term, directory: layout.log)
                try staged.putInForce()
                try RowsPlace(layout).setOthersAside(below: layout.quarantine)
                try directory.clearRepairMarks([.rows, .feed])
            } catch let error as SnapshotError {
                throw HoldfastError(error)
            } catch {
                throw HoldfastError(opening: error, at: path)
            }
        }
        logger.notice("the rows were fetched anew", metadata: ["index": "\(staged.index)"])
    }

    private func fetched(
        atLeast index: UInt64, _ fetch: SnapshotFetch
    ) async throws(HoldfastError) -> StagedRows {
        var pause = RetryPause()
        while true {
            do throws(HoldfastError) {
                return try await fetch.run(.atLeast(index))
            } catch {
                if Task.isCancelled { throw HoldfastError(.unavailable, "the node was stopped while it was repaired") }
                if error.code == .resourceExhausted { throw error }
                logger.warning("no peer gives the rows yet", metadata: ["reason": "\(error.message)"])
                await pause.wait()
            }
        }
    }

    private func onThread<Value: Sendable>(
        _ body: @escaping @Sendable () throws(HoldfastError) -> Value
    ) async throws(HoldfastError) -> Value {
        let result = await withCheckedContinuation {
            (continuation: CheckedContinuation<Result<Value, HoldfastError>, Never>) in
            LaneThread.start("hf-repair") {
                do throws(HoldfastError) {
                    continuation.resume(returning: .success(try body()))
                } catch {
                    continuation.resume(returning: .failure(error))
                }
            }
        }
        return try result.get()
    }
}
