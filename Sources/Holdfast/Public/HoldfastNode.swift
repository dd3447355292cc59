public import CoreMetrics
public import Logging
internal import NIOCore
internal import NIOPosix
internal import ReplicaCore
public import ServiceLifecycle
internal import Storage
internal import Synchronization
internal import Transport

/// A node of Holdfast in this process: a member of a cluster, a client of one, or a local store.
///
/// ```swift
/// let node = try HoldfastNode(NodeConfiguration(.local(directory: "models")), logger: logger)
/// try await node.start()
/// let value = try await node.store.get("greeting")
/// await node.stop()
/// ```
/// As a `Service` it starts in `run()` and stops when the service group shuts down gracefully. Every function may be called from
/// any task.
public final class HoldfastNode: Service, Sendable {
    private enum Phase {
        case idle
        case running(Running)
        case stopped
    }

    private struct Running {
        var store: Store
        var member: Member?
        var router: Router
        var group: MultiThreadedEventLoopGroup
        var fault: Member.Fault
    }

    private let configuration: NodeConfiguration
    private let logger: Logger
    private let registry: MetricsRegistry
    private let factory: any MetricsFactory
    private let phase = Mutex(Phase.idle)

    /// A node that has not started yet; throws `invalidArgument` for a configuration that cannot work.
    ///
    /// - Parameter metrics: also gets every metric; `Store.metrics()` works without it.
    public init(
        _ configuration: NodeConfiguration, logger: Logger, metrics: (any MetricsFactory)? = nil
    ) throws(HoldfastError) {
        try configuration.check()
        self.configuration = configuration
        self.logger = logger
        let registry = MetricsRegistry()
        self.registry = registry
        factory = metrics.map { MultiplexMetricsHandler(factories: [registry, $0]) } ?? registry
    }

    // MARK: What a running node is

    /// Keys and models. Traps before `start` has returned.
    public var store: Store { running.store }

    /// The address that a member listens on, `HOST:PORT`; nil for other kinds.
    public var endpoint: String? {
        guard case .member = configuration.kind else { return nil }
        return running.member?.endpoint
    }

    /// The node's ID; nil for a client.
    public var id: UInt64? { running.member?.stores.directory.identity.node }

    /// The chunks of a member or a local node.
    var chunks: NodeChunks? { running.member?.chunks }
    /// Consensus and apply of a member or a local node.
    var replica: Replica? { running.member?.replica }

    private var running: Running {
        phase.withLock { phase in
            guard case .running(let running) = phase else {
                preconditionFailure("the node is not running; call start() first")
            }
            return running
        }
    }

    // MARK: Life

    /// Starts the node; returns when it serves (a member may still be looking for a leader).
    ///
    /// Throws `notFound` for a directory that is not formatted, `incompatible` for a foreign one, `unavailable` for a locked one or an
    /// address in use, `corrupted` for a damaged one; each says what to do.
    public func start() async throws(HoldfastError) {
        let isIdle = phase.withLock { phase in
            if case .idle = phase { return true }
            return false
        }
        guard isIdle else { throw HoldfastError(.invalidArgument, "a node is started once") }
        switch configuration.kind {
        case .client(let endpoints): try startClient(endpoints)
        case .local(let directory): try await startMember(directory, isLocal: true)
        case .member(let directory): try await startMember(directory, isLocal: false)
        }
    }

    /// Hands leadership over, answers what can be answered, flushes and closes; the directory may then be opened again. Calling it
    /// again does nothing.
    public func stop() async { await shutDown()?.released() }

    /// Everything of `stop`, and what must be let go until the directory may be opened again.
    private func shutDown() async -> HeldStores? {
        let taken = phase.withLock { phase -> Running? in
            defer { phase = .stopped }
            if case .running(let running) = phase { return running }
            return nil
        }
        guard let taken else { return nil }
        if let member = taken.member { await member.stop() }
        taken.router.close()
        taken.fault.end()
        do {
            try await taken.group.shutdownGracefully()
        } catch {
            logger.error("event loops did not end in order", metadata: ["error": "\(error)"])
        }
        return taken.member.map { HeldStores($0.stores) }
    }

    /// Runs the node as a service: starts, waits for graceful shutdown or a failure that the node cannot survive, stops.
    public func run() async throws {
        try await start()
        if let failure = await failure() {
            await stop()
            throw failure
        }
        await stop()
    }

    /// Waits until the node cannot go on (a disk that failed, a cluster that refuses it) and says why; nil when it was stopped or the
    /// service group shuts down.
    public func failure() async -> HoldfastError? {
        let fault = running.fault
        return await withGracefulShutdownHandler {
            await withTaskCancellationHandler {
                await fault.wait()
            } onCancel: {
                fault.end()
            }
        } onGracefulShutdown: {
            fault.end()
        }
    }

    /// Formats a directory for a first member of a cluster and returns the bootstrap ID, 64 hex digits, which all first members share.
    ///
    /// - Parameters:
    ///   - members: the addresses of all first members by ID, `HOST:PORT`.
    ///   - token: tells clusters with the same name and members apart.
    /// - Throws: `alreadyExists` for a directory that is not empty, with nothing touched; `invalidArgument`.
    public static func format(
        directory: String, id: UInt64, cluster: String, members: [UInt64: String], token: String = ""
    ) throws(HoldfastError) -> String {
        try MemberStores.format(
            directory,
            FormatRequest(
                node: id, cluster: cluster, token: token,
                members: members.sorted { $0.key < $1.key }.map { .init(node: $0.key, endpoint: $0.value) },
                nowMilliseconds: WallClock.milliseconds))
    }

    /// Formats a directory for a node that joins a cluster that runs. The node is started and then added with `Store.addLearner`.
    ///
    /// - Parameters:
    ///   - id: an ID that was never used in the cluster; nil takes the lowest above all that were.
    ///   - endpoints: nodes of the cluster, `HOST:PORT`; one that answers is enough.
    ///   - listen: where the node will listen, `HOST:PORT`; nil if the configuration says so at each start.
    /// - Returns: the node's ID.
    /// - Throws: `alreadyExists` for a directory that is not empty or an ID that was used, with nothing touched; `unavailable` where no
    ///   node answers.
    @discardableResult
    public static func format(
        directory: String, id: UInt64? = nil, joining endpoints: [String], listen: String? = nil, logger: Logger
    ) async throws(HoldfastError) -> UInt64 {
        let client = try HoldfastNode(NodeConfiguration(.client(endpoints: endpoints)), logger: logger)
        try await client.start()
        let report: MembershipReport
        do throws(HoldfastError) {
            report = try await client.store.membership(.stale)
            await client.stop()
        } catch {
            await client.stop()
            throw error
        }
        let node = id ?? report.nextID
        try report.checkUnused(node)
        var request = JoinRequest(
            node: node, cluster: report.cluster, bootstrap: report.bootstrap, lineage: report.lineage,
            members: report.first.map { .init(node: $0.node, endpoint: $0.endpoint) }, address: listen,
            nowMilliseconds: WallClock.milliseconds)
        request.formatVersion = max(request.formatVersion, Int(report.featureVersion))
        try MemberStores.join(directory, request)
        return node
    }

    // MARK: Kinds

    private func startClient(_ endpoints: [String]) throws(HoldfastError) {
        var targets: [Endpoint] = []
        for text in endpoints {
            guard let endpoint = Endpoint(text), endpoint.port > 0 else {
                throw HoldfastError(.invalidArgument, "'\(text)' is not an endpoint; write HOST:PORT")
            }
            targets.append(endpoint)
        }
        let group = MultiThreadedEventLoopGroup(numberOfThreads: 2)
        let loops = ClientLoops(request: group.next(), bulk: group.next())
        let settings = TransportSettings(logger: logger)
        let make: @Sendable (Endpoint) -> any RequestTarget = { endpoint in
            RemoteNode(endpoint, loops: loops, settings: settings) {
                Hello(purpose: $0, identity: PeerIdentity(role: .client, featureVersion: FeatureVersion.known))
            }
        }
        let router = Router(targets.map(make), learns: true, logger: logger, makeTarget: make)
        let source = RoutedChunks(
            router: router, timeout: .milliseconds(Int64(configuration.timeoutMilliseconds)), local: nil)
        began(
            Running(
                store: Store(
                    router: router, chunkSource: source, timeoutMilliseconds: configuration.timeoutMilliseconds),
                member: nil, router: router, group: group, fault: Member.Fault()))
    }

    private func startMember(_ directory: String, isLocal: Bool) async throws(HoldfastError) {
        // Before anything is opened: a limit that is too low is a refusal, not a failure in the middle of the work.
        let budget = try ResourceBudget(
            isLocal ? .local : .member, files: ProcessLimits.raiseFiles(), mappings: ProcessLimits.mappings)
        let group = MultiThreadedEventLoopGroup(numberOfThreads: 2)
        let loops = ClientLoops(request: group.next(), bulk: group.next())
        var settings = TransportSettings(logger: logger)
        settings.allowPlaintext = configuration.allowPlaintext
        settings.connectionsMax = budget.connections
        settings.bulkConnectionsMax = budget.bulkConnections
        let held = Mutex<HeldStores?>(nil)
        do throws(HoldfastError) {
            began(try await runMember(directory, budget, isLocal: isLocal, group, loops, settings, held))
        } catch {
            // The first error is the one to report.
            _ = try? await group.shutdownGracefully()
            await held.withLock { $0 }?.released()
            throw error
        }
    }

    /// Opens the stores and starts the member on them; tells in `held` what it opened.
    private func runMember(
        _ directory: String, _ budget: ResourceBudget, isLocal: Bool, _ group: MultiThreadedEventLoopGroup,
        _ loops: ClientLoops, _ settings: TransportSettings, _ held: borrowing Mutex<HeldStores?>
    ) async throws(HoldfastError) -> Running {
        let stores = try await openWholeStores(directory, budget, isLocal: isLocal, loops, settings)
        held.withLock { $0 = HeldStores(stores) }
        let admission = Relay<Admit>()
        var listener: Listener?
        var made: Member?
        do throws(HoldfastError) {
            if !isLocal { listener = try await bind(stores, loops, settings, admission) }
            let member = Member(
                stores: stores, configuration: configuration, loops: loops, listener: listener, registry: registry,
                factory: factory, settings: settings, logger: logger)
            made = member
            try await member.start()
            if isLocal { try await member.settle() }
            admission.set { [weak member] hello, remote in
                member?.admit(hello, remote) ?? .refuse(.unavailable, "the node is stopping")
            }
            let source = RoutedChunks(
                router: member.router, timeout: .milliseconds(Int64(configuration.timeoutMilliseconds)),
                local: member.chunks)
            return Running(
                store: Store(
                    router: member.router, chunkSource: source,
                    timeoutMilliseconds: configuration.timeoutMilliseconds),
                member: member, router: member.router, group: group, fault: member.fault)
        } catch {
            if let made {
                await made.stop()
            } else {
                await listener?.close()
                stores.log.close()
            }
            throw error
        }
    }

    private func began(_ running: Running) { phase.withLock { $0 = .running(running) } }

    /// Opens the stores; rows that cannot be read are fetched from the peers first.
    private func openWholeStores(
        _ directory: String, _ budget: ResourceBudget, isLocal: Bool, _ loops: ClientLoops,
        _ settings: TransportSettings
    ) async throws(HoldfastError) -> MemberStores {
        do throws(HoldfastError) {
            return try await openStores(directory, budget, isLocal: isLocal)
        } catch {
            guard !isLocal, error.details[MemberStores.needsRows] != nil else { throw error }
        }
        let repair = RowsRepair(
            path: directory, configuration: configuration, budget: budget, loops: loops, settings: settings,
            logger: logger)
        let result = await cancelWhenGracefulShutdown { () async -> Result<Void, HoldfastError> in
            do throws(HoldfastError) {
                try await repair.run()
                return .success(())
            } catch {
                return .failure(error)
            }
        }
        try result.get()
        return try await openStores(directory, budget, isLocal: isLocal)
    }

    private func openStores(
        _ directory: String, _ budget: ResourceBudget, isLocal: Bool
    ) async throws(HoldfastError) -> MemberStores {
        let configuration = self.configuration
        let logger = self.logger
        let result = await withCheckedContinuation {
            (continuation: CheckedContinuation<Result<MemberStores, HoldfastError>, Never>) in
            LaneThread.start("hf-open") {
                do throws(HoldfastError) {
                    if isLocal { try Self.formatIfAbsent(directory) }
                    let stores = try MemberStores.open(
                        at: directory, configuration: configuration, budget: budget, logger: logger)
                    if isLocal { try Self.checkAlone(stores, directory) }
                    continuation.resume(returning: .success(stores))
                } catch {
                    continuation.resume(returning: .failure(error))
                }
            }
        }
        return try result.get()
    }

    /// A local node makes its own directory: one member that nobody dials.
    private static func formatIfAbsent(_ directory: String) throws(HoldfastError) {
        guard DataDirectory.isAbsentOrEmpty(directory) else { return }
        _ = try format(directory: directory, id: 1, cluster: "local", members: [1: "localhost:1"])
    }

    /// A member of several has no quorum without its peers: a local node would wait for them in vain.
    private static func checkAlone(_ stores: MemberStores, _ directory: String) throws(HoldfastError) {
        let identity = stores.directory.identity
        let members = stores.applier.members.everyone
        guard members != [identity.node] else { return }
        stores.log.close()
        throw HoldfastError(
            .incompatible,
            "\(directory) belongs to node \(identity.node) of cluster '\(identity.cluster)', which has \(members.count) "
                + "members and works only with a quorum of them; run: holdfast serve --data \(directory)")
    }

    private func bind(
        _ stores: MemberStores, _ loops: ClientLoops, _ settings: TransportSettings, _ admission: Relay<Admit>
    ) async throws(HoldfastError) -> Listener {
        let identity = stores.directory.identity
        let own = identity.members.first { $0.node == identity.node }?.endpoint
        let record = stores.applier.roster[identity.node]?.endpoint ?? ""
        guard let text = configuration.listen ?? stores.directory.address ?? own ?? (record.isEmpty ? nil : record)
        else {
            throw HoldfastError(
                .invalidArgument,
                "node \(identity.node) was formatted without an address; give one with --listen HOST:PORT")
        }
        guard let endpoint = Endpoint(text) else {
            throw HoldfastError(.invalidArgument, "'\(text)' is not an address to listen on; write HOST:PORT")
        }
        do throws(TransportError) {
            return try await Listener.bind(
                endpoint, controlLoop: loops.request, bulkLoop: loops.bulk, settings: settings,
                admit: { hello, remote in
                    admission.body?(hello, remote)
                        ?? .refuse(.unavailable, "the node is starting; try again in a moment")
                })
        } catch {
            let code: HoldfastError.Code
            if case .plaintextRefused = error { code = .permissionDenied } else { code = .unavailable }
            throw HoldfastError(code, "\(error)")
        }
    }
}

/// The locks of a member that has stopped: they go with the last reference, which an answer under way may hold a moment longer.
private struct HeldStores: Sendable {
    let directory: Closing
    let rows: Closing

    init(_ stores: MemberStores) {
        directory = stores.directory.closing
        rows = stores.rows.closing
    }

    /// Waits until both are let go, five seconds at most: longer than any question to a peer that was closed.
    func released() async {
        let deadline = NIODeadline.now() + .seconds(5)
        while !directory.hasEnded || !rows.hasEnded, .now() < deadline {
            // Detached, so that a cancelled caller waits as well.
            await Task.detached { try? await Task.sleep(nanoseconds: 1_000_000) }.value
        }
    }
}

extension NodeConfiguration {
    fileprivate func check() throws(HoldfastError) {
        guard heartbeatMilliseconds > 0, electionMilliseconds >= 2 * heartbeatMilliseconds else {
            throw HoldfastError(
                .invalidArgument,
                "electionMilliseconds (\(electionMilliseconds)) must be at least twice heartbeatMilliseconds "
                    + "(\(heartbeatMilliseconds))")
        }
        guard timeoutMilliseconds > 0 else {
            throw HoldfastError(.invalidArgument, "timeoutMilliseconds must be positive")
        }
        if let featureVersionMax, featureVersionMax < 1 {
            throw HoldfastError(.invalidArgument, "featureVersionMax (\(featureVersionMax)) must be 1 or more")
        }
        guard rowCacheBytes >= 0 else {
            throw HoldfastError(.invalidArgument, "rowCacheBytes (\(rowCacheBytes)) must not be negative")
        }
        if case .client(let endpoints) = kind, endpoints.isEmpty {
            throw HoldfastError(.invalidArgument, "a client needs at least one endpoint, HOST:PORT")
        }
    }
}
