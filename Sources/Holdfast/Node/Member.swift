internal import CoreMetrics
internal import Logging
internal import NIOCore
internal import NIOPosix
internal import RaftCore
internal import ReplicaCore
internal import Storage
internal import Synchronization
internal import Transport

/// A running member (or a local node, which is a member without peers): its stores, threads, connections and their wiring.
///
/// The order of starting: stores, replica, chunk plane, log thread, links, listener, clock. Stopping goes the other way, after
/// leadership was handed over.
final class Member: Sendable {
    let stores: MemberStores
    let router: Router
    let chunks: NodeChunks
    let endpoint: String
    let fault: Fault
    let listener: Listener?
    private let rules: AdmissionRules
    private let tickMilliseconds: Int
    let replica: Replica
    let state: MemberState
    let peers: Peers
    let service: RequestService
    let maintenance: LogMaintenance
    private let versions: PeerVersions
    private let raiser: FeatureRaiser
    let shelf: SnapshotShelf
    let intake: SnapshotIntake
    let fetchThreads = ChunkThreads(count: 1)
    private let departure: Departure
    let space: SpaceWatch
    private let aside: MemberRequests
    private let figures: FigureSampler
    private let feedCheck: FeedCheck
    /// Gives the vote back after the log was damaged; nil where it was not.
    private let logRepair: LogRepair?
    let site: SiteService
    let rebuild: Rebuild
    let damage: RowsDamage
    private let scrub: Scrub
    let logger: Logger
    let running = Mutex(Running())

    struct Running {
        var clocks: [RepeatedTask] = []
        var repair: Task<Void, Never>?
        var scrub: Task<Void, Never>?
        var site: Task<Void, Never>?
    }

    /// The first failure that a member cannot survive.
    final class Fault: Sendable {
        private struct State {
            var error: HoldfastError?
            var waiting: [CheckedContinuation<HoldfastError?, Never>] = []
            var isOver = false
        }

        private let state = Mutex(State())
        /// Hears of the first failure at once, on whatever thread met it.
        let first = Relay<@Sendable (HoldfastError) -> Void>()

        /// Reports a failure; the first one counts.
        func report(_ error: HoldfastError) {
            let (isFirst, waiting) = state.withLock { state in
                let isFirst = state.error == nil
                if isFirst { state.error = error }
                defer { state.waiting = [] }
                return (isFirst, state.waiting)
            }
            if isFirst { first.body?(error) }
            for continuation in waiting { continuation.resume(returning: error) }
        }

        /// Ends every wait without a failure.
        func end() {
            let waiting = state.withLock { state in
                state.isOver = true
                defer { state.waiting = [] }
                return state.waiting
            }
            for continuation in waiting { continuation.resume(returning: nil) }
        }

        /// Waits for a failure, or nil for the member's orderly end.
        func wait() async -> HoldfastError? {
            await withCheckedContinuation { continuation in
                let (isOver, error) = state.withLock { state -> (Bool, HoldfastError?) in
                    if state.isOver || state.error != nil { return (true, state.error) }
                    state.waiting.append(continuation)
                    return (false, nil)
                }
                if isOver { continuation.resume(returning: error) }
            }
        }
    }

    /// Wires everything; nothing but the apply and read threads runs before `start`. `listener` is nil for a local node.
    init(
        stores: MemberStores, configuration: NodeConfiguration, loops: ClientLoops, listener: Listener?,
        registry: MetricsRegistry, factory: any MetricsFactory, settings: TransportSettings, logger: Logger
    ) {
        self.stores = stores
        self.logger = logger
        self.listener = listener
        tickMilliseconds = configuration.heartbeatMilliseconds
        let identity = stores.directory.identity
        let endpoint = listener?.endpoint ?? Endpoint(host: "local", port: 0)
        let figures = NodeFigures(factory: factory)
        let fault = Fault()
        self.fault = fault
        let state = MemberState(
            MemberState.Values(
                applied: stores.applier.state, members: stores.applier.members, roster: stores.applier.roster,
                firstEndpoints: Dictionary(uniqueKeysWithValues: identity.members.map { ($0.node, $0.endpoint) }),
                completeness: stores.applier.completeness, lineage: stores.lineage,
                featureVersion: stores.applier.featureVersion, site: stores.applier.site,
                isSeeding: stores.applier.seed != nil,
                publishedRevision: stores.publishedRevision,
                startIndex: stores.start.lastIndex))
        self.state = state
        self.endpoint = "\(endpoint)"

        let seal = FeatureSeal(directory: stores.directory, configuration: configuration)
        let versions = PeerVersions()
        self.versions = versions
        let rules = AdmissionRules(
            directory: stores.directory, state: state, featureVersion: seal.known,
            activeFeatureVersion: { state.now.featureVersion })
        self.rules = rules
        let hello: @Sendable (Purpose, NodeID) -> Hello = { purpose, target in
            Hello(purpose: purpose, target: target, identity: rules.identity(endpoint: "\(endpoint)"))
        }
        let peers = Peers(
            members: state.now.endpoints, self: identity.node, loops: loops, settings: settings, logger: logger,
            check: { rules.check($0, $1) }, hello: hello)
        self.peers = peers

        // The apply thread reports to parts that are made after it.
        let applied = Relay<@Sendable (AppliedGroup) -> Void>()
        let installed = Relay<@Sendable (InstalledState) -> Void>()
        let room = RoomWait()
        let space = SpaceWatch(
            directory: stores.directory, log: stores.log, rows: stores.rows, rowsWait: room, logger: logger,
            onFault: { fault.report($0) })
        self.space = space
        let readLane = ReadLane(rows: stores.rows)
        let applyLane = ApplyLane(
            rows: stores.rows, applier: stores.applier, room: room, figures: figures,
            listener: ApplyLane.Listener(
                onApplied: { applied.body?($0) }, onInstalled: { installed.body?($0) },
                onSwept: { readLane.release { space.historyDropped() } },
                onFault: { [directory = stores.directory] in
                    // The next start fetches the rows anew before it serves.
                    if $0.code == .corrupted { _ = MemberStores.doubt(directory, $0.message) }
                    fault.report($0)
                }))
        let replies = ReplyQueue(loop: loops.request)
        let replica = Replica(
            loop: loops.request, raft: Raft(configuration: Self.raft(identity, configuration), start: stores.start),
            log: stores.log, applyLane: applyLane, readLane: readLane, replies: replies, peers: peers,
            figures: figures, logger: logger)
        self.replica = replica
        fault.first.set { [weak replica] error in
            guard let replica else { return }
            replica.loop.execute { replica.disable(error) }
        }
        let watches = WatchHub(
            loop: loops.request, readLane: readLane, replies: replies, figures: figures,
            revision: stores.applier.state.revision)

        let targetCell = TargetCell(name: "\(endpoint)")
        let router = Router([targetCell], learns: false, logger: logger) { endpoint in
            RemoteNode(endpoint, loops: loops, settings: settings) { hello($0, 0) }
        }
        router.know(state.now.others(than: identity.node))
        self.router = router
        let commands = MemberCommands(
            identity: identity, state: state, rows: stores.rows, replica: replica, router: router)
        var options = ChunkOptions()
        options.uploadIdleMilliseconds = UInt64(max(configuration.uploadIdleMilliseconds, 0))
        options.sweepMilliseconds = UInt64(max(configuration.sweepMilliseconds, 1))
        options.isFull = { [space] in space.report.isFull }
        options.roomRefusal = { [space] in space.refusal(ofChunk: $0) }
        let chunks = NodeChunks(
            store: stores.chunks, commands: commands, peers: PeerChunks(peers: peers), options: options, logger: logger)
        self.chunks = chunks
        let snapshotCounters = SnapshotCounters()
        let shelf = SnapshotShelf(
            directory: stores.directory.layout.snapshots, cluster: identity.cluster, rows: stores.rows,
            bytesPerSecond: configuration.snapshotBytesPerSecond, refusal: { state.now.quarantine },
            counters: snapshotCounters, logger: logger)
        self.shelf = shelf
        let intake = SnapshotIntake(
            replica: replica, peers: peers,
            fetch: SnapshotFetch(
                plane: PeerSnapshots(peers: peers),
                staging: SnapshotStaging(stores.directory.layout, onStep: configuration.onInstallStep),
                threads: fetchThreads, options: stores.rowOptions, cluster: identity.cluster,
                lineage: { [recorded = stores.directory.lineage] in state.now.lineage ?? recorded },
                seal: { version throws(HoldfastError) in try await seal.seal(version) }, counters: snapshotCounters,
                logger: logger),
            counters: snapshotCounters, logger: logger)
        self.intake = intake
        self.figures = FigureSampler(
            factory: factory, log: stores.log, rows: stores.rows, state: state, meter: settings.meter, chunks: chunks,
            shelf: shelf, snapshots: snapshotCounters, space: space)
        let quarantine = Quarantine(
            directory: stores.directory, state: state, replica: replica, watches: watches, chunks: chunks, fault: fault,
            figures: figures, logger: logger)
        maintenance = LogMaintenance(
            replica: replica, peers: peers,
            retention: LogRetention(
                entriesMax: UInt64(configuration.logEntriesMax),
                absenceMax: UInt64(configuration.absenceMilliseconds) / 1_000),
            logBytesMax: UInt64(configuration.logBytesMax), flushBytes: UInt64(configuration.flushBytes),
            rows: stores.rows, logger: logger)
        let rebuild = Rebuild(
            directory: stores.directory, replica: replica, log: stores.log, commands: commands, intake: intake,
            maintenance: maintenance, quarantine: quarantine, fault: fault, figures: figures, logger: logger)
        self.rebuild = rebuild
        let damage = RowsDamage(quarantine: quarantine, rebuild: rebuild, logger: logger)
        self.damage = damage
        // The replica is reached from what repairs it, which must not keep it.
        replica.onDamage.set { [weak damage] error in Task { [weak damage] in await damage?.found(error.message) } }
        let scrub = Scrub(
            chunks: chunks, rows: stores.rows, damage: damage, bytesPerSecond: configuration.scrubBytesPerSecond,
            intervalMilliseconds: configuration.scrubMilliseconds, logger: logger)
        self.scrub = scrub
        self.figures.scrub.set { scrub.report }
        let integrity = IntegrityService(
            identity: identity, commands: commands, replica: replica, peers: IntegrityPeers(peers: peers),
            quarantine: quarantine, rebuild: rebuild, scrub: scrub)
        let site = SiteService(
            stores: SiteStores(replica: replica, state: state, commands: commands, chunks: chunks),
            plane: SitePlane(loops: loops, settings: settings, logger: logger),
            fork: SiteFork(directory: stores.directory, rows: stores.rows, chunks: chunks, logger: logger),
            logger: logger)
        self.site = site
        let aside = MemberRequests(
            identity: identity, endpoint: "\(endpoint)", replica: replica, state: state, peers: peers, chunks: chunks,
            integrity: integrity, snapshots: shelf, seal: seal, versions: versions, space: space,
            membership: MembershipRequests(
                identity: identity, replica: replica, state: state,
                visit: { node, endpoint in
                    await Self.visit(endpoint, hello(.request, node), loops.request, settings)
                }, logger: logger),
            site: site,
            metricsText: { [figures = self.figures] in
                figures.sample()
                return registry.text()
            })
        self.aside = aside
        service = RequestService(replica: replica, watches: watches, aside: aside, figures: figures, logger: logger)
        targetCell.set(
            LocalTarget(
                name: "\(endpoint)", service: service, chunks: chunks, snapshots: shelf,
                identity: rules.identity(endpoint: "\(endpoint)")))
        feedCheck = FeedCheck(
            node: identity.node, state: state, peers: IntegrityPeers(peers: peers), quarantine: quarantine,
            figures: figures, logger: logger)
        logRepair =
            stores.start.withholdsVotes
            ? LogRepair(
                node: identity.node, directory: stores.directory, replica: replica, state: state,
                peers: IntegrityPeers(peers: peers), figures: figures, logger: logger) : nil
        state.update { $0.hasNoVote = stores.start.withholdsVotes }
        let raiser = FeatureRaiser(
            replica: replica, peers: peers, versions: versions, state: state, seal: seal, logger: logger)
        self.raiser = raiser
        departure = Departure(directory: stores.directory, fault: fault)
        let configured = Configured(
            node: identity.node, state: state, peers: peers, service: service, router: router, departure: departure,
            logger: logger)
        applied.set { [state, logger, directory = stores.directory] group in
            Self.applied(
                group, state: state, replica: replica, watches: watches, chunks: chunks, directory: directory,
                configured: configured, fault: fault, logger: logger)
        }
        replica.mayAcknowledge = { [state] heard in state.now.site.mayAcknowledge(heard: heard) }
        replica.fenceDetails = { [state] in state.now.fenceDetails }
        service.guardsAnswers = { [state] in state.now.site.guardsAnswers }
        service.fence = { [state] in state.now.fence }
        replica.isActive = { [state] in state.now.isActive($0) }
        replica.isComplete = { [state] node in
            let now = state.now
            return now.completeness.contains { $0.node == node && $0.through >= now.publishedRevision }
        }
        installed.set { [state, logger, directory = stores.directory, maintenance, shelf] snapshot in
            Self.installed(
                snapshot, state: state, replica: replica, watches: watches, chunks: chunks, directory: directory,
                maintenance: maintenance, configured: configured, fault: fault, logger: logger)
            // Whoever sent the rows is sound: these are, too, and checkpoints of those before are not.
            if quarantine.isOn {
                shelf.forgetAll()
                quarantine.leaveReporting()
            }
        }
        rebuild.onRebuilt.set { [state, directory = stores.directory, shelf] snapshot in
            Self.show(snapshot, state: state, replica: replica, chunks: chunks, directory: directory, fault: fault)
            shelf.forgetAll()
        }
        Self.wireSnapshots(replica, service, shelf, intake)
        replica.snapshots.onInstalled = { [configuration, weak intake] in
            intake?.installed()
            configuration.onInstallStep(.done)
        }
        service.roomRefusal = { [space, state] in space.refusal(ofCommand: $0, members: state.now.members) }
        service.onLogFloor = { [maintenance] in maintenance.heardFloor($0) }
        replica.onLeadership = { [state, logger, weak raiser] leadership in
            state.update { $0.leadership = leadership }
            raiser?.check()
            Self.leadershipChanged(leadership, state: state, router: router, logger: logger)
        }
    }

    // MARK: Starting and stopping

    /// Starts the log thread, the links and the clock.
    func start() async throws(HoldfastError) {
        let replica = self.replica
        let fault = self.fault
        let path = stores.directory.layout.root
        do throws(LogError) {
            try stores.log.start(
                onDurable: { sequence in
                    replica.loop.execute { replica.persisted(through: sequence) }
                },
                onFailure: { fault.report(HoldfastError(log: $0, at: path)) })
        } catch {
            throw HoldfastError(log: error, at: path)
        }
        chunks.start()
        let interval = TimeAmount.milliseconds(Int64(tickMilliseconds))
        await run(on: replica.loop) { [self] in
            let events = PeerEvents(
                replica: replica, peers: peers, versions: versions, logger: logger,
                check: { [rules] in rules.check($0, $1) }, onUp: { [weak raiser] in raiser?.check() },
                onRefusal: {
                    [departure, state, own = rules.directory.identity.node, logger] node, code, sentence, isNews in
                    // A node that waits to be added is refused until it is.
                    let waits = code == .notMember && !state.now.members.contains(own)
                    logger.log(
                        level: waits || !isNews ? .debug : .error, "refused by a peer",
                        metadata: ["node": "\(node)", "reason": "\(sentence)"])
                    departure.refused(code, sentence)
                })
            peers.start(events)
            let now = state.now
            if !now.members.contains(replica.raft.id) {
                logger.notice(
                    "this node is no member yet and waits to be added",
                    metadata: [
                        "command": "holdfast cluster add-learner \(replica.raft.id)=\(endpoint)",
                        "members": "\(now.members.everyone.compactMap { now.endpoint(of: $0) }.joined(separator: ","))",
                    ])
            }
            let clock = replica.loop.scheduleRepeatedTask(initialDelay: interval, delay: interval) { [self] _ in
                replica.tick(now: .now())
                state.update { state in
                    state.commit = replica.raft.commitIndex
                    state.compacted = replica.raft.firstIndex - 1
                }
                replica.preferComplete(state.now, lacks: lacks)
            }
            let care = replica.loop.scheduleRepeatedTask(initialDelay: .seconds(1), delay: .seconds(1)) { [self] _ in
                maintenance.check()
                raiser.check()
                feedCheck.begin()
                intake.check()
                expireCheckpoints()
                checkSpace()
            }
            let repair = logRepair.map { repair in Task { await repair.run() } }
            running.withLock {
                $0.clocks = [clock, care]
                $0.repair = repair
                $0.scrub = Task { [scrub] in await scrub.run() }
                $0.site = Task { [site] in await site.run() }
            }
            if replica.raft.confState.voters == [replica.raft.id] { replica.campaign() }
        }
    }

    /// Returns when a leader is known and everything that was committed is applied here: a local node then leads itself.
    func settle() async throws(HoldfastError) { try await replica.barrier(deadline: .now() + .seconds(10)) }

    /// Looks at this node's disk and, on the leader, asks the other voters about theirs (on the control loop).
    private func checkSpace() {
        space.check()
        guard replica.raft.role == .leader else { return space.forgetOthers() }
        let voters = replica.raft.confState.voters + replica.raft.confState.votersOutgoing
        space.askOthers { [aside] in await aside.fullMembers(among: voters) }
    }

    /// Whether this node lacks published chunks; nil while it has not looked.
    private var lacks: Bool? {
        let (through, missing) = chunks.completeness
        if missing > 0 { return true }
        return through >= state.now.publishedRevision ? false : nil
    }

    // MARK: Wiring

    /// This node's word on a hello (on the control loop).
    func admit(_ hello: Hello, _ remote: String) -> Admission {
        if let (code, sentence) = rules.refusal(of: hello) {
            logger.warning(
                "connection refused", metadata: ["remote": "\(remote)", "reason": "\(sentence)"])
            return .refuse(code, sentence)
        }
        if hello.identity.role == .member, hello.purpose == .consensus {
            peers.heard(from: hello.identity.nodeID, at: hello.identity.endpoint)
        }
        let welcome = Welcome(identity: rules.identity(endpoint: endpoint))
        if hello.purpose == .bulk {
            return .accept(welcome) { [chunks, shelf] _ in BulkConnection(chunks: chunks, snapshots: shelf) }
        }
        return .accept(welcome) { [service] _ in ServerConnection(service: service) }
    }
}

/// The local target, which is made after the router that holds it.
private final class TargetCell: RequestTarget {
    let name: String
    private let target = Mutex<LocalTarget?>(nil)

    init(name: String) { self.name = name }

    func set(_ target: LocalTarget) { self.target.withLock { $0 = target } }

    private var local: LocalTarget {
        guard let target = target.withLock({ $0 }) else { preconditionFailure("asked before the node was wired") }
        return target
    }

    func call(_ kind: FrameKind, _ body: ByteBuffer, deadline: NIODeadline) async throws(CallFailure) -> ByteBuffer {
        try await local.call(kind, body, deadline: deadline)
    }

    func watch(
        _ request: WatchRequest, deadline: NIODeadline,
        take: @escaping @Sendable (Result<WatchFrame, HoldfastError>) -> Void
    ) async throws(CallFailure) -> @Sendable () -> Void {
        try await local.watch(request, deadline: deadline, take: take)
    }
}
