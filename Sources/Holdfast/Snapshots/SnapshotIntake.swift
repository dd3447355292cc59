internal import Logging
internal import NIOCore
internal import RaftCore
internal import ReplicaCore
internal import Storage

/// The follower's side of a state snapshot: hears a leader's offers, has the state fetched, and tells consensus once it is here.
///
/// ```
///   idle ── offer ──▶ fetching ── rows ready ──▶ ready ── consensus takes it ──▶ installing ── in force ──▶ idle
///    ▲                  │ failed                   │ not wanted any more             (Replica+Snapshots)
///    └──────────────────┴──────────────────────────┘
/// ```
/// Consensus hears of the snapshot last, so a fetch of hours holds up nothing: elections and heartbeats go on, and a newer leader's
/// offer takes the place of the one before. Rows that are ready answer every offer that they are new enough for.
///
/// `@unchecked Sendable`: every variable is touched only on the control loop.
final class SnapshotIntake: @unchecked Sendable {
    private let replica: Replica
    private let peers: Peers
    let fetch: SnapshotFetch
    private let counters: SnapshotCounters
    private let logger: Logger
    /// The newest offer that stands.
    private var offer: Message?
    private var task: Task<Void, Never>?
    /// Verified rows that consensus has not been told of.
    private var ready: StagedRows?
    private var isStopped = false
    /// A snapshot that was offered while an older state was at hand, and by whom: who offered it must not wait for it.
    private var superseded: (index: LogIndex, by: NodeID)?
    /// Grows with every failure in a row, so that a full disk is not filled in a circle.
    private var pause = RetryPause()
    /// The staging area is used for something else; offers wait.
    private var isLent = false

    init(replica: Replica, peers: Peers, fetch: SnapshotFetch, counters: SnapshotCounters, logger: Logger) {
        self.replica = replica
        self.peers = peers
        self.fetch = fetch
        self.counters = counters
        self.logger = logger
    }

    /// A leader offers a snapshot.
    func offered(_ message: Message) {
        guard !isStopped, let snapshot = message.snapshot, message.term >= replica.raft.hardState.term else { return }
        // The state is here already, or the log reaches that far: consensus answers by itself.
        if snapshot.index <= replica.raft.commitIndex || replica.raft.term(at: snapshot.index) == snapshot.term {
            return replica.receive(message)
        }
        // One is being installed; the leader hears how that ended.
        guard replica.install == nil, replica.snapshots.staged == nil else { return }
        offer = message
        if isLent { return refuse(isBad: false) }
        if ready != nil { return takeReady() }
        guard task == nil else { return }
        let manifest: SnapshotManifest
        do throws(HoldfastError) {
            manifest = try SnapshotManifest.decode(ByteBuffer(bytes: snapshot.data))
            try fetch.check(manifest)
        } catch {
            logger.error("a state snapshot was refused", metadata: ["from": "\(message.from)", "error": "\(error)"])
            return refuse(isBad: true)
        }
        begin(.exactly(manifest, from: message.from))
    }

    /// The install is durable.
    func installed() {
        pause.reset()
        guard let superseded else { return }
        self.superseded = nil
        // The leader's log may reach back to the state that was installed; else it offers another.
        peers.sendSnapshotRefusal(SnapshotRefusal(index: superseded.index, isBad: false), to: superseded.by)
    }

    /// Looks whether what is being fetched is still wanted; called about once a second.
    func check() {
        guard let wanted = offer?.snapshot, replica.raft.commitIndex >= wanted.index else { return }
        // The log brought what the snapshot would have.
        offer = nil
        task?.cancel()
        dropReady()
    }

    /// Lends the staging area, unless a snapshot is on its way through it; until it is given back offers are refused.
    func lend() -> Bool {
        guard !isStopped, !isLent, task == nil, ready == nil, replica.install == nil, replica.snapshots.staged == nil
        else { return false }
        isLent = true
        return true
    }

    /// Takes the staging area back.
    func giveBack() { isLent = false }

    /// Ends what is under way.
    func stop() {
        isStopped = true
        offer = nil
        task?.cancel()
        ready = nil
    }

    private func begin(_ wish: SnapshotFetch.Wish) {
        logger.notice("fetching a state snapshot", metadata: ["index": "\(wish.index)"])
        task = Task { [fetch, loop = replica.loop] in
            let result: Result<StagedRows, HoldfastError>
            do throws(HoldfastError) {
                result = .success(try await fetch.run(wish))
            } catch {
                result = .failure(error)
            }
            loop.execute { self.fetched(result) }
        }
    }

    private func fetched(_ result: Result<StagedRows, HoldfastError>) {
        task = nil
        switch result {
        case .success(let rows):
            ready = rows
            if isStopped || offer == nil { dropReady() } else { takeReady() }
        case .failure(let error):
            guard !isStopped, offer != nil else { return }
            logger.warning("a state snapshot could not be fetched", metadata: ["error": "\(error.message)"])
            let isBad = error.code == .corrupted || error.code == .notFound || error.code == .incompatible
            replica.loop.assumeIsolated().scheduleTask(in: pause.next()) {
                if !self.isStopped, self.task == nil, self.offer != nil { self.refuse(isBad: isBad) }
            }
        }
    }

    /// Tells consensus. What it does not take is of no use any more, unless the offer was of an earlier term: then the next leader's
    /// offer comes.
    private func takeReady() {
        guard let rows = ready, let message = offer else { return }
        if replica.accept(message, rows) {
            if let offered = message.snapshot?.index, offered > rows.index { superseded = (offered, message.from) }
            ready = nil
            offer = nil
            counters.count { $0.installed += 1 }
        } else if message.term < replica.raft.hardState.term {
            offer = nil
        } else if rows.index > replica.raft.commitIndex {
            refuse(isBad: true)
            dropReady()
        } else {
            offer = nil
            dropReady()
        }
    }

    private func dropReady() {
        ready?.discard()
        ready = nil
    }

    private func refuse(isBad: Bool) {
        guard let message = offer, let index = message.snapshot?.index else { return }
        offer = nil
        peers.sendSnapshotRefusal(SnapshotRefusal(index: index, isBad: isBad), to: message.from)
    }
}
