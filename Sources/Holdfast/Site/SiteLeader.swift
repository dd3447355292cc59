internal import Logging
internal import NIOCore
internal import RaftCore
internal import ReplicaCore
internal import Storage
internal import Synchronization
internal import Transport

/// The leader's part in a pair of sites: it polls the other one, applies what it ships, and ends what was begun.
///
/// ```
///  poll ─▶ answer ─▶ SiteLink: fence, follow, promote ───────────────▶ proposals
///                         └─ apply: cut where a version is published
///                               ├─ rows alone ────────────────────────▶ proposal
///                               └─ stage its chunks, fetch what no member has, gather receipts ─▶ proposal
/// ```
/// Nothing is remembered that matters: whoever leads next begins with a poll.
final class SiteLeader: Sendable {
    /// What is known of the other site, for a status.
    struct Known: Sendable {
        var term: Term = 0
        var epoch: UInt64 = 0
        var recovery = RecoveryPoint()
        var report: SiteReport?
        var heldBytes: UInt64 = 0
        var link = SiteStatus.Link.none
        /// A freeze that was seen first at a time: given up if nothing comes of it.
        var frozen: (id: Identifier, since: NIODeadline)?
        /// When the caps of what is kept for the standby were looked at last.
        var ticked = NIODeadline.now()
    }

    let stores: SiteStores
    let plane: SitePlane
    let logger: Logger
    private let known = Mutex(Known())
    private let pacer: LinkPacer
    private let early: SiteEarly
    private let isUnderWay = Mutex(false)

    private static let standbyPause: UInt64 = 50
    /// Where writes come in, each poll brings those of this time: one at once would cost the primary a read round for every few of them.
    private static let shippedPause: UInt64 = 20
    private static let otherPause: UInt64 = 500
    private static let patience = TimeAmount.seconds(3)
    /// Two megabytes of rows are read and hashed for one answer, and sent.
    static let seedPatience = TimeAmount.seconds(30)
    /// How long a primary stays frozen without a grant.
    static let freezePatience = TimeAmount.seconds(10)
    /// Time alone ends a hold at most this much late.
    private static let tickPause = TimeAmount.seconds(60)

    init(stores: SiteStores, plane: SitePlane, logger: Logger) {
        self.stores = stores
        self.plane = plane
        self.logger = logger
        pacer = LinkPacer { [state = stores.state] in state.now.site.pace }
        early = SiteEarly(stores: stores, plane: plane, pacer: pacer, logger: logger)
    }

    /// Works while this node leads, until the task is cancelled.
    func run() async {
        while !Task.isCancelled {
            let now = stores.state.now
            var pause = Self.otherPause
            if stores.leads, now.site.role != .alone || now.isSeeding {
                do throws(HoldfastError) {
                    if now.isSeeding { try await clearSeed() }
                    let polled = try await pollOnce()
                    if now.site.role == .standby || now.site.switchover != nil { pause = Self.standbyPause }
                    switch polled {
                    case .nothing: break
                    case .level: pause = Self.shippedPause
                    case .behind: pause = 0
                    }
                    await bringEarly()
                    try await lookAfter()
                } catch {
                    do throws(HoldfastError) {
                        try await lookAfter()
                    } catch {
                        logger.debug("this site", metadata: ["error": "\(error.message)"])
                    }
                    known.withLock { if $0.link != .none { $0.link = Self.link(after: error) } }
                    logger.debug("the other site", metadata: ["error": "\(error.message)"])
                }
            } else {
                known.withLock { $0 = Known() }
                await early.end()
            }
            if pause > 0 { try? await Task.sleep(nanoseconds: pause * 1_000_000) }
        }
        await early.end()
    }

    /// Beside the polls, while the link lets something over and nothing is brought that is published already.
    private func bringEarly() async {
        let site = stores.state.now.site
        guard site.role == .standby else { return await early.end() }
        guard snapshot.link == .connected else { return await early.rest() }
        early.goOn()
    }

    private static func link(after error: HoldfastError) -> SiteStatus.Link {
        error.code == .reseedRequired ? .reseedRequired : .unreachable
    }

    /// What is known now; nothing if another led meanwhile.
    var snapshot: Known { known.withLock { $0 } }

    /// The recovery point in nanoseconds.
    func recoveryPoint(_ view: SiteView) -> UInt64? {
        known.withLock { known in
            known.epoch == view.record.epoch && view.record.role == .standby
                ? known.recovery.nanoseconds(now: NIODeadline.now().uptimeNanoseconds) : nil
        }
    }

    /// What a poll brought.
    enum Polled {
        case nothing
        /// All that the primary had when it answered.
        case level
        /// A part of it: there is more to be had at once.
        case behind
    }

    /// One poll and what follows from its answer. With `onlyHears` it takes no revisions.
    @discardableResult
    func pollOnce(onlyHears: Bool = false) async throws(HoldfastError) -> Polled {
        let view = try await stores.view()
        guard let peer = view.record.peer, let own = view.report else { return .nothing }
        let term = stores.state.now.leadership.term
        known.withLock { known in
            if known.term != term || known.epoch != view.record.epoch {
                let link = known.link
                known = Known(term: term, epoch: view.record.epoch)
                known.link = link == .none ? .unreachable : link
            }
        }
        let sent = NIODeadline.now().uptimeNanoseconds
        let takes = own.role == .standby && !view.record.pace.isPaused && !onlyHears
        let answer = try await ask(peer, own, bytesMax: takes ? UInt64(Limits.sitePollBytesMax) : 0)
        let other = answer.answer.report
        guard other.site == peer.site else {
            throw HoldfastError(
                .incompatible,
                "another cluster than the other site answers at its addresses: it was recovered or restored, and is to be "
                    + "paired anew")
        }
        stores.hear(other, as: view.record)
        note(answer, view, sent: sent)
        if answer.endpoints != peer.endpoints, !answer.endpoints.isEmpty {
            try await stores.propose(.meet(SitePeer(site: peer.site, endpoints: answer.endpoints)))
        }
        for command in SiteLink.commands(
            on: answer.answer, at: view.record, own: own, primaryEndpoints: answer.endpoints)
        {
            if case .apply(let shipment) = command {
                // A seed that is under way comes first; it ends above.
                guard view.seed == nil else { continue }
                try await apply(shipment, from: peer)
            } else {
                try await stores.propose(command)
            }
        }
        if takes, !answer.isPaused, SiteLink.seeds(on: answer.answer, at: view) {
            known.withLock { $0.link = .seeding }
            return try await seedOn(view, own: own, from: peer) ? .behind : .nothing
        }
        let brought = UInt64(answer.answer.entries.count)
        guard brought > 0 else { return .nothing }
        return own.position.revision + brought < other.position.revision ? .behind : .level
    }

    private func ask(
        _ peer: SitePeer, _ own: SiteReport, bytesMax: UInt64
    ) async throws(HoldfastError) -> SitePollAnswer {
        let poll = SitePoll(report: own, bytesMax: bytesMax, endpoints: stores.endpoints)
        let body = try await plane.router(to: peer.endpoints).send(
            .sitePoll, .written { poll.encode(into: &$0) }, to: .any, deadline: .now() + Self.patience)
        return try Store.decode(body) { reader throws(DecodeError) in try SitePollAnswer.decode(from: &reader) }
    }

    private func note(_ answer: SitePollAnswer, _ view: SiteView, sent: UInt64) {
        let report = answer.answer.report
        known.withLock { known in
            known.report = report
            known.heldBytes = answer.heldBytes
            // A standby that lacks something says `diverged` of its primary, too: it alone is asked to be a prefix.
            let isPrimary = report.role == .primary
            let whole: SiteStatus.Link = answer.isPaused || view.record.pace.isPaused ? .paused : .connected
            switch answer.answer.relation {
            case .diverged where isPrimary: known.link = .diverged
            case .belowFloor where isPrimary: known.link = view.seed == nil ? .reseedRequired : .seeding
            case .prefix, .diverged, .belowFloor: known.link = whole
            }
            if SiteLink.bounds(answer.answer, at: view.record) {
                known.recovery.answered(
                    sent: sent, revision: report.position.revision, durable: view.state.revision)
            }
        }
    }

    // MARK: Applying

    private func apply(_ shipment: SiteShipment, from peer: SitePeer) async throws(HoldfastError) {
        let pieces: [(shipment: SiteShipment, publishes: [SiteShipment.Publish])]
        do throws(DecodeError) {
            pieces = try shipment.pieces(hash: SHA256.self)
        } catch {
            throw HoldfastError(.corrupted, "what the primary shipped cannot be read: \(error)")
        }
        guard pieces.last?.shipment.hash == shipment.hash else {
            throw HoldfastError(.corrupted, "what the primary shipped is not what its chain hash covers")
        }
        for (piece, publishes) in pieces {
            try stores.requireLeader()
            var piece = piece
            for (place, publish) in publishes.enumerated() {
                let receipts = try await hearing { () throws(HoldfastError) in try await bring(publish, from: peer) }
                piece.durableOn = place == 0 ? receipts : piece.durableOn.filter(receipts.contains)
            }
            try await stores.propose(.apply(piece))
            let durable = piece.after.revision + UInt64(piece.entries.count)
            known.withLock { $0.recovery.advanced(durable: durable) }
        }
    }

    /// Goes on hearing of the other site while something takes long: chunks may come for hours, and epochs, what is acknowledged and what a
    /// status says must not wait for them.
    func hearing<Value: Sendable>(
        _ body: () async throws(HoldfastError) -> Value
    ) async throws(HoldfastError) -> Value {
        let beat = Task { [logger] in
            while !Task.isCancelled {
                do {
                    try await Task.sleep(nanoseconds: Self.otherPause * 1_000_000)
                    try await pollOnce(onlyHears: true)
                } catch {
                    logger.debug("the other site", metadata: ["error": "\(error)"])
                }
            }
        }
        defer { beat.cancel() }
        return try await body()
    }

    /// Makes every chunk of a version durable on a quorum here, and names those who vouch for it.
    func bring(
        _ publish: SiteShipment.Publish, from peer: SitePeer
    ) async throws(HoldfastError) -> [Publication.Receipt] {
        await early.rest()
        let record = publish.record
        let epoch = stores.state.now.site.epoch
        let router = try plane.router(to: peer.endpoints)
        var first: UInt64 = 0
        while first < record.chunks {
            let request = SiteChunksRequest(upload: record.upload, number: record.uploadNumber, first: first)
            let body = try await router.send(
                .siteChunks, .written { request.encode(into: &$0) }, to: .any, deadline: .now() + Self.patience)
            let ids = try Store.decode(body) { reader throws(DecodeError) in try SiteChunksRequest.decodeAnswer(&reader)
            }
            guard !ids.isEmpty else {
                throw HoldfastError(.unavailable, "the primary does not name all chunks of \(publish.name)")
            }
            try await stores.propose(
                .stage(
                    SiteStage(
                        upload: record.upload, number: record.uploadNumber, name: publish.name,
                        version: publish.version, first: first, ids: ids)))
            first += UInt64(ids.count)
        }
        try await stores.chunks.gather(record.upload, number: record.uploadNumber, pacer: pacer) {
            [stores] id throws(HoldfastError) in
            try stores.requireLeader()
            let site = stores.state.now.site
            guard site.role == .standby, site.epoch == epoch else {
                throw HoldfastError(.unavailable, "this site no longer follows the one that published it")
            }
            return try await router.send(
                .siteChunk, ByteBuffer(bytes: id.bytes), to: .any, deadline: .now() + ChunkLimits.fetchWait)
        }
        return try await stores.chunks.receipts(
            for: record.upload, count: record.chunks, deadline: .now() + .seconds(60))
    }

    // MARK: Ending what was begun

    /// What must go on while the other site is silent, too: caps of what is kept for it, and a freeze that no grant follows, which is given
    /// up: whoever began it may be gone.
    private func lookAfter() async throws(HoldfastError) {
        let view = try await stores.view()
        let isTickDue = known.withLock { known in
            guard known.ticked + Self.tickPause <= .now() else { return false }
            known.ticked = .now()
            return true
        }
        if isTickDue, view.record.role == .primary, let hold = view.progress.hold, hold < view.state.revision {
            try await stores.propose(.tick)
        }
        guard let switchover = view.record.switchover, switchover.grant == nil else {
            return known.withLock { $0.frozen = nil }
        }
        let isOver = known.withLock { known in
            if known.frozen?.id != switchover.id { known.frozen = (switchover.id, .now()) }
            return known.frozen.map { NIODeadline.now() - $0.since > Self.freezePatience } ?? false
        }
        if isOver { try await stores.propose(.unfreeze(switchover.id)) }
    }

    /// One step of giving up what only this site has; true when it follows.
    func rejoinOnce() async throws(HoldfastError) -> Bool {
        let view = try await stores.view()
        guard view.record.role != .standby || snapshot.link == .diverged else { return true }
        guard let peer = view.record.peer, let own = view.report else {
            throw HoldfastError(.preconditionFailed, "this cluster belongs to no pair of sites")
        }
        guard view.record.role != .primary else {
            try await pollOnce()
            let role = try await stores.view().record.role
            if role == .primary {
                throw HoldfastError(.preconditionFailed, "this site is the primary, and no later epoch is known there")
            }
            return false
        }
        let answer = try await ask(peer, own, bytesMax: 0)
        if !answer.answer.holds(all: view.record) {
            let common = try await common(view, answer.answer, peer)
            guard common >= view.state.feedFloor else {
                throw HoldfastError(
                    .reseedRequired,
                    "the sites parted at revision \(common), and the feed here begins at \(view.state.feedFloor): what only "
                        + "this site has cannot be told apart any more; keep it by 'holdfast snapshot', and let a new "
                        + "cluster follow")
            }
            if let command = SiteLink.rewind(on: answer.answer, at: view.record, own: own, common: common) {
                try await stores.propose(command)
                return false
            }
        }
        try await pollOnce()
        let after = try await stores.view()
        return after.record.role == .standby && answer.answer.holds(all: view.record)
    }

    /// The other site's chain hashes after some revisions; zero for one that its feed does not have.
    func hashes(after revisions: [UInt64], at peer: SitePeer) async throws(HoldfastError) -> [Digest] {
        let body = try await plane.router(to: peer.endpoints).send(
            .siteHashes,
            .written { writer in
                writer.varint(revisions.count)
                for revision in revisions { writer.varint(revision) }
            }, to: .any, deadline: .now() + Self.patience)
        return try Store.decode(body) { reader throws(DecodeError) in
            var hashes: [Digest] = []
            for _ in revisions { hashes.append(try reader.digest()) }
            return hashes
        }
    }

    /// The highest revision through which both sites have the same history: by its hashes as far as both feeds reach, and below that by
    /// where their epochs began.
    private func common(
        _ view: SiteView, _ answer: SiteAnswer, _ peer: SitePeer
    ) async throws(HoldfastError) -> UInt64 {
        let low = max(view.state.feedFloor, answer.feedFloor)
        let high = min(view.state.revision, answer.report.position.revision)
        if low <= high, let common = try await common(low...high, peer) { return common }
        guard let common = answer.common(with: view.record), common.revision < low else {
            throw HoldfastError(
                .reseedRequired, "nothing says any more where the sites parted; let a new cluster follow the primary")
        }
        let revision = common.revision
        let own = try await stores.read { rows in try FeedReader.hash(after: revision, rows: rows) }
        if let own, let theirs = common.hash, own != theirs {
            throw HoldfastError(.incompatible, "the sites are no copies of one another: their histories never met")
        }
        return revision
    }

    /// The highest of these revisions after which both sites have the same hash; nil if they differ at the first.
    private func common(
        _ revisions: ClosedRange<UInt64>, _ peer: SitePeer
    ) async throws(HoldfastError) -> UInt64? {
        var search = CommonRevision(floor: revisions.lowerBound, end: revisions.upperBound)
        while true {
            let probes = search.probes
            guard !probes.isEmpty else {
                guard !search.isVoid else {
                    throw HoldfastError(.unavailable, "a feed was compacted while the two were compared; ask again")
                }
                return search.found
            }
            let (ours, theirs) = try await hashes(after: probes, peer)
            search.compare(ours, theirs)
        }
    }

    /// The chain hashes after some revisions, here and there; zero outside a feed.
    private func hashes(
        after revisions: [UInt64], _ peer: SitePeer
    ) async throws(HoldfastError) -> (ours: [Digest], theirs: [Digest]) {
        let theirs = try await hashes(after: revisions, at: peer)
        let ours = try await stores.read { rows in
            try revisions.map { try FeedReader.hash(after: $0, rows: rows) ?? .zero }
        }
        return (ours, theirs)
    }
}
