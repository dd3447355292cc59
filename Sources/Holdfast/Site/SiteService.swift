internal import Logging
internal import NIOCore
internal import RaftCore
internal import ReplicaCore
internal import Storage
internal import Synchronization

/// A node's part in a pair of sites: it answers operators and the other site, and polls that one while it leads.
final class SiteService: Sendable {
    private let stores: SiteStores
    private let plane: SitePlane
    private let source: SiteSource
    private let leader: SiteLeader
    private let fork: SiteFork
    private let isDrilling = Mutex(false)
    private let logger: Logger

    private static let pauseNanoseconds: UInt64 = 20_000_000
    /// The answer must be on its way before the caller gives up.
    private static let answerTime = TimeAmount.milliseconds(300)
    private static let enrolmentMillisecondsMax: UInt64 = 24 * 3_600_000

    init(stores: SiteStores, plane: SitePlane, fork: SiteFork, logger: Logger) {
        self.stores = stores
        self.plane = plane
        self.fork = fork
        self.logger = logger
        source = SiteSource(stores: stores, logger: logger)
        leader = SiteLeader(stores: stores, plane: plane, logger: logger)
    }

    /// Removes what a crash left of a drill, then polls the other site while this node leads; until the task is cancelled.
    func run() async {
        do throws(HoldfastError) {
            try await fork.sweep()
        } catch {
            logger.error("a fork is in the way of drills", metadata: ["error": "\(error.message)"])
        }
        await leader.run()
    }

    /// Closes the connections to the other site.
    func stop() { plane.close() }

    /// Answers one request.
    func answer(_ kind: FrameKind, _ body: ByteBuffer, deadline: NIODeadline) async throws(HoldfastError) -> ByteBuffer
    {
        switch kind {
        case .sitePoll: return try await source.poll(body, deadline: deadline)
        case .siteChunks: return try await source.chunks(body)
        case .siteUploads: return try await source.uploads()
        case .siteHashes: return try await source.hashes(body, deadline: deadline)
        case .siteOrphans: return try await source.orphans(body)
        case .siteEpoch: return try await source.heard(body)
        case .siteSeed: return try await source.seed(body, deadline: deadline)
        case .siteRows: return try await source.rows(body, deadline: deadline)
        case .siteStatus:
            try await requireLeader(deadline)
            let status = try await status()
            return .written { status.encode(into: &$0) }
        case .siteVerify:
            try await requireLeader(deadline)
            let step = try Store.decode(body) { reader throws(DecodeError) in
                try SiteVerifier.Step.decode(from: &reader)
            }
            return try await verify(step)
        case .siteDrill:
            try await requireLeader(deadline)
            let sample = try Store.decode(body) { reader throws(DecodeError) in try reader.varint() }
            let result = try await drill(chunks: sample)
            return .written { result.encode(into: &$0) }
        case .siteVerb:
            try await requireLeader(deadline)
            let verb = try Store.decode(body) { reader throws(DecodeError) in try SiteVerb.decode(from: &reader) }
            if !stores.state.now.isActive(.sites) {
                throw HoldfastError(
                    .preconditionFailed,
                    "this needs feature version \(Feature.sites.since), and some member of the cluster is not known to have "
                        + "it; upgrade every member ('cluster status' shows their versions), then ask again")
            }
            return try await carryOut(verb, deadline: deadline - Self.answerTime)
        default: throw HoldfastError(.incompatible, "request kind \(kind) is none of a site")
        }
    }

    /// Refused where another leads. Returns once all that was committed is applied here: a leader that has just started would tell of the
    /// state that it last wrote, or of none.
    private func requireLeader(_ deadline: NIODeadline) async throws(HoldfastError) {
        try stores.requireLeader()
        try await stores.replica.barrier(deadline: deadline)
        try stores.requireLeader()
    }

    private func carryOut(_ verb: SiteVerb, deadline: NIODeadline) async throws(HoldfastError) -> ByteBuffer {
        switch verb {
        case .enroll(let milliseconds): return try await enroll(milliseconds)
        case .follow(let endpoints, let token): try await follow(endpoints, token, deadline: deadline)
        case .admit(let token, let peer): return try await admit(token, peer)
        case .switchOver: try await switchOver(deadline: deadline)
        case .promote(let accepted): try await promote(accepted)
        case .rejoin: try await rejoin(deadline: deadline)
        case .dropOrphans(let rewind):
            // A bounded number at a time.
            while NIODeadline.now() < deadline {
                guard case .deleted(_, let count) = try await stores.propose(.dropOrphans(rewind: rewind)), count > 0
                else { break }
            }
        case .limit(let caps): try await stores.propose(.limit(caps))
        case .pause(let isPaused):
            var pace = try await stores.view().record.pace
            pace.isPaused = isPaused
            try await stores.propose(.pace(pace))
        case .pace(var pace):
            pace.isPaused = try await stores.view().record.pace.isPaused
            try await stores.propose(.pace(pace))
        }
        return ByteBuffer()
    }

    // MARK: Joining

    private func enroll(_ milliseconds: UInt64) async throws(HoldfastError) -> ByteBuffer {
        let token = Identifier(UInt64.random(in: 0...(.max)), UInt64.random(in: 1...(.max))).hex
        let expires = WallClock.milliseconds + min(milliseconds, Self.enrolmentMillisecondsMax)
        try await stores.propose(.enroll(token: Self.digest(token), expires: expires))
        return ByteBuffer(string: token)
    }

    private func admit(_ token: String, _ peer: SitePeer) async throws(HoldfastError) -> ByteBuffer {
        try await stores.propose(.admit(token: Self.digest(token), peer))
        try await stores.replica.barrier(deadline: .now() + .seconds(5))
        let view = try await stores.view()
        guard let report = view.report else { throw HoldfastError(.unavailable, "the cluster has no lineage yet") }
        let answer = SitePollAnswer(
            answer: SiteAnswer(
                report: report, asked: .start,
                relation: try await stores.read { rows in
                    try SiteFeed.relation(of: .start, at: view.state, rows: rows)
                }, hash: .zero, branches: view.record.branches),
            endpoints: stores.endpoints, heldBytes: 0)
        return .written { answer.encode(into: &$0) }
    }

    private func follow(
        _ endpoints: [String], _ token: String, deadline: NIODeadline
    ) async throws(HoldfastError) {
        let view = try await stores.view()
        guard let own = view.site else { throw HoldfastError(.unavailable, "the cluster has no lineage yet") }
        guard view.record.role == .alone, view.position == .start else {
            throw HoldfastError(
                .preconditionFailed,
                "this cluster is \(view.record.role) at revision \(view.state.revision); only a new cluster begins to follow"
            )
        }
        let verb = SiteVerb.admit(token: token, SitePeer(site: own, endpoints: stores.endpoints))
        let body = try await plane.router(to: endpoints).send(
            .siteVerb, .written { verb.encode(into: &$0) }, to: .leader, deadline: deadline)
        let answer = try Store.decode(body) { reader throws(DecodeError) in
            try SitePollAnswer.decode(from: &reader)
        }
        // A new cluster has nothing that the primary does not have, wherever its feed begins.
        guard answer.answer.relation != .diverged else {
            throw HoldfastError(.incompatible, "the primary says that a new cluster has another history than itself")
        }
        let report = answer.answer.report
        try await stores.propose(
            .follow(
                SiteFollow(
                    primary: SitePeer(site: report.site, endpoints: answer.endpoints), lineage: report.lineage,
                    epoch: report.epoch, position: .start, branches: answer.answer.branches)))
    }

    private static func digest(_ token: String) -> Digest {
        var hash = SHA256()
        Array(token.utf8).withUnsafeBytes { hash.update($0) }
        return hash.finish()
    }

    // MARK: Changing the primary

    private func switchOver(deadline: NIODeadline) async throws(HoldfastError) {
        let before = try await stores.view().record
        let id: Identifier
        if let underWay = before.switchover, before.role == .primary || underWay.grant != nil {
            // The client that began it may have lost its answer, and asks again.
            id = underWay.id
        } else {
            try requireStandby(before)
            id = Identifier(UInt64.random(in: 0...(.max)), UInt64.random(in: 1...(.max)))
            try await stores.propose(.freeze(id))
        }
        let end = min(deadline, .now() + SiteLeader.freezePatience)
        var wasFrozen = false
        while NIODeadline.now() < deadline, stores.leads {
            let record = stores.state.now.site
            if record.role == .standby { return }
            let isFrozen = record.switchover?.id == id
            wasFrozen = wasFrozen || isFrozen
            let isGivenUp = wasFrozen && !isFrozen
            if record.role == .primary, isGivenUp || NIODeadline.now() >= end {
                if !isGivenUp { try await stores.propose(.unfreeze(id)) }
                // No code that a client repeats: each time would refuse writes anew.
                throw HoldfastError(
                    .preconditionFailed,
                    "the standby did not get to the last revision in time and the switchover was given up; this site is the "
                        + "primary, and writes go on")
            }
            await pause()
        }
        throw HoldfastError(
            .outcomeUnknown, "the switchover goes on by itself; 'site status' says how far it is")
    }

    /// What is known to make a switchover wait in vain is refused before any write is.
    private func requireStandby(_ record: SiteRecord) throws(HoldfastError) {
        guard record.role == .primary else {
            throw HoldfastError(
                .preconditionFailed, "this site is \(record.role); switch over at the primary",
                details: stores.state.now.fenceDetails)
        }
        let known = leader.snapshot
        if known.link == .paused {
            throw HoldfastError(
                .preconditionFailed,
                "the link is paused at the standby, which would not get to the last revision; run "
                    + "'site resume' there first")
        }
        // These two a client asks again until its deadline: a standby that has just come back is one a moment later.
        if known.link == .unreachable {
            throw HoldfastError(.unavailable, "the standby does not answer; nothing was begun, and writes go on here")
        }
        if known.report?.role == .fenced {
            throw HoldfastError(
                .unavailable,
                "the other site is fenced and follows nobody; run 'site rejoin' there first. Nothing was begun, and writes "
                    + "go on here")
        }
    }

    private func promote(_ accepted: UInt64?) async throws(HoldfastError) {
        let view = try await stores.view()
        if view.record.role == .primary {
            throw HoldfastError(.preconditionFailed, "this site is the primary already")
        }
        if let accepted {
            guard let loss = leader.recoveryPoint(view).map({ $0 / 1_000_000 }) else {
                throw HoldfastError(
                    .preconditionFailed,
                    "it is not known how much would be lost: this leader has not heard of the primary; look at 'site status'"
                )
            }
            guard loss <= accepted else {
                throw HoldfastError(
                    .preconditionFailed,
                    "writes of the last \(Double(loss) / 1_000) seconds may be lost, more than is accepted",
                    details: ["lossMilliseconds": String(loss)])
            }
        }
        try await stores.propose(.force(seen: view.record.seen))
        logger.warning("this site was promoted by force", metadata: ["revision": "\(view.state.revision)"])
    }

    private func rejoin(deadline: NIODeadline) async throws(HoldfastError) {
        while NIODeadline.now() < deadline {
            try stores.requireLeader()
            if try await leader.rejoinOnce() { return }
        }
        throw HoldfastError(.outcomeUnknown, "the rewind is not over yet; ask again to go on")
    }

    private func pause() async {
        // Cancelled or not, the loop ends by its conditions.
        try? await Task.sleep(nanoseconds: Self.pauseNanoseconds)
    }

    // MARK: Checks

    private func verify(_ step: SiteVerifier.Step) async throws(HoldfastError) -> ByteBuffer {
        let verifier = SiteVerifier(chunks: stores.chunks)
        switch step {
        case .compare:
            let view = try await stores.view()
            guard let peer = view.record.peer else {
                throw HoldfastError(.preconditionFailed, "this cluster belongs to no pair of sites")
            }
            var standing = try await verifier.standing()
            // What one of the two does not have yet cannot be compared.
            if let there = leader.snapshot.report?.position.revision, there < standing.revision {
                standing.revision = there
                standing.hash = try await verifier.hash(after: there)
            }
            do throws(HoldfastError) {
                standing.otherHash = try await leader.hashes(after: [standing.revision], at: peer).first ?? .zero
                if standing.otherHash == .zero, standing.revision > 0 {
                    standing.silence = "the other site does not have revision \(standing.revision), or gave it up"
                }
            } catch {
                standing.silence = error.message
            }
            return .written { standing.encode(into: &$0) }
        case .rows(let first, let through):
            let page = try await verifier.rows(first, through: through)
            return .written { page.encode(into: &$0) }
        case .chunks(let place, let stride):
            let page = try await verifier.chunks(from: place, stride: stride)
            return .written { page.encode(into: &$0) }
        }
    }

    /// Tries out a fork of this node, and keeps what came of it.
    private func drill(chunks sample: UInt64) async throws(HoldfastError) -> SiteDrill {
        let record = stores.state.now.site
        guard record.role == .standby else {
            throw HoldfastError(.preconditionFailed, "this site is \(record.role); a drill tries out the standby")
        }
        guard
            isDrilling.withLock({ drilling in
                defer { drilling = true }
                return !drilling
            })
        else { throw HoldfastError(.alreadyExists, "a drill is under way") }
        defer { isDrilling.withLock { $0 = false } }
        let verifier = SiteVerifier(chunks: stores.chunks)
        let result = await fork.run(chunks: sample) { revision throws(HoldfastError) in
            try await verifier.hash(after: revision)
        }
        if result.failure.isEmpty {
            logger.notice("a drill passed", metadata: ["milliseconds": "\(result.milliseconds)"])
        } else {
            logger.error("a drill failed", metadata: ["error": "\(result.failure)"])
        }
        try await stores.propose(.drilled(result))
        return result
    }

    // MARK: Status

    private func status() async throws(HoldfastError) -> SiteStatus {
        let view = try await stores.view()
        let known = leader.snapshot
        let role: SiteStatus.Role =
            switch view.record.role {
            case .alone: .alone
            case .primary: .primary
            case .standby: .standby
            case .fenced: .fenced
            }
        // A leader that has not asked yet has had no answer either.
        let link: SiteStatus.Link =
            view.record.peer == nil ? .none : known.link == .none ? .unreachable : known.link
        var status = SiteStatus(
            role: role, epoch: view.record.epoch, lineage: view.record.role == .alone ? "" : view.record.lineage.hex,
            link: link, revision: view.state.revision,
            peer: view.record.peer?.endpoints ?? [], isFrozen: view.record.switchover != nil)
        status.peerRevision = known.report?.position.revision
        // Another primary, and a fenced site, follow nobody: revisions of theirs are none of this history.
        let follows = role == .standby || known.report?.role == .standby
        if let peer = status.peerRevision, follows, known.link == .connected || known.link == .paused {
            let (behind, ahead) =
                role == .standby ? (view.state.revision, peer) : (peer, view.state.revision)
            status.missingEntries = ahead > behind ? ahead - behind : 0
            let held = role == .standby ? known.heldBytes : view.progress.heldBytes
            // Nothing is counted once nothing is kept.
            status.missingBytes = status.missingEntries == 0 ? 0 : held > 0 ? held : nil
        }
        status.recoveryPointSeconds = leader.recoveryPoint(view).map { Double($0) / 1_000_000_000 }
        status.epochSeen = view.record.seen
        status.lastDrill = view.record.lastDrill.map(SiteDrillResult.init)
        status.pace = LinkPace(view.record.pace)
        status.rateBytesPerSecond = view.record.pace.rate(at: WallClock.milliseconds)
        status.seeding = view.seed.map { seed in
            SiteStatus.Seeding(
                revision: seed.target.revision, rows: seed.rows, bytes: seed.bytes, sameRanges: seed.sameRanges,
                changedRanges: seed.changedRanges)
        }
        if role == .primary { status.retentionHeadroomBytes = view.progress.headroomBytes }
        return status
    }
}
