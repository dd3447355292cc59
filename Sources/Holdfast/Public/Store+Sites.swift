internal import NIOCore
internal import ReplicaCore

/// Two sites: one writes, the other follows and can take over. Every verb is carried out by the leader of the cluster that is asked.
extension Store {
    /// What this cluster is in a pair of sites.
    public func siteStatus() async throws(HoldfastError) -> SiteStatus {
        let answer = try await router.send(.siteStatus, ByteBuffer(), to: .leader, deadline: deadline)
        return try Self.decode(answer) { reader throws(DecodeError) in try SiteStatus.decode(from: &reader) }
    }

    /// A token with which one other cluster may follow this one, once, within an hour.
    public func enrollSite() async throws(HoldfastError) -> String {
        var answer = try await verb(.enroll(milliseconds: 3_600_000))
        return answer.readString(length: answer.readableBytes) ?? ""
    }

    /// Makes this cluster, which must be new, the standby of another.
    ///
    /// - Parameters:
    ///   - endpoints: nodes of the primary, `HOST:PORT`; one that answers is enough.
    ///   - token: of `enrollSite` there.
    /// - Throws: `permissionDenied` for a token that was used or has expired; `preconditionFailed` for a cluster that has a history.
    public func followSite(at endpoints: [String], token: String) async throws(HoldfastError) {
        _ = try await verb(.follow(endpoints: endpoints, token: token))
    }

    /// Hands the role of the primary to the other site; loses nothing. Returns when it has taken over and this one follows.
    ///
    /// - Throws: `unavailable` where the standby does not answer: nothing was begun. `preconditionFailed` where it does not get there in
    ///   time: given up, and this site writes on. After the standby was given leave there is no way back: `outcomeUnknown`.
    public func switchOverSite() async throws(HoldfastError) { _ = try await verb(.switchOver) }

    /// Makes this standby, or fenced site, the primary without the other's leave. What it does not have is lost to it.
    ///
    /// - Parameter seconds: the loss that is accepted, in time; nil accepts one that nobody knows.
    /// - Throws: `preconditionFailed` where more than that may be lost.
    public func promoteSite(acceptingLossOf seconds: Double?) async throws(HoldfastError) {
        _ = try await verb(.promote(acceptedMilliseconds: seconds.map { UInt64(max($0, 0) * 1_000) }))
    }

    /// Lets this site follow the other one again: what only this one has is kept as orphans, and undone. Returns when it follows.
    public func rejoinSite() async throws(HoldfastError) { _ = try await verb(.rejoin) }

    /// What was undone by rewinds of this site and is kept, up to `limit` after one of them, in the order of the rewinds.
    public func siteOrphans(after last: SiteOrphan? = nil, limit: Int = 1_000) async throws(HoldfastError)
        -> [SiteOrphan]
    {
        var orphans: [SiteOrphan] = []
        var (rewind, revision) = (last?.rewind ?? 0, last?.revision ?? 0)
        while orphans.count < limit {
            let answer = try await router.send(
                .siteOrphans,
                .written {
                    $0.varint(rewind)
                    $0.varint(revision)
                }, to: .leader, deadline: deadline)
            let page = try Self.decode(answer) { reader throws(DecodeError) in
                var page: [SiteOrphan] = []
                for _ in 0..<(try reader.count(itemBytes: 1)) {
                    page.append(try SiteOrphan(reader.varint(), Orphan.decode(from: &reader)))
                }
                return page
            }
            guard let end = page.last else { break }
            (rewind, revision) = (end.rewind, end.revision)
            orphans += page
        }
        return Array(orphans.prefix(limit))
    }

    /// Forgets the orphans of all rewinds through one (`SiteOrphan.rewind`); the chunks that only they named go with the next sweep.
    public func dropSiteOrphans(through rewind: UInt64) async throws(HoldfastError) {
        _ = try await verb(.dropOrphans(through: rewind))
    }

    /// What the feed may keep for a standby that does not keep up: bytes of entries, and their age. Past either it must be seeded anew.
    public func limitSite(bytes: UInt64, seconds: UInt64) async throws(HoldfastError) {
        _ = try await verb(.limit(SiteCaps(bytes: bytes, milliseconds: seconds * 1_000)))
    }

    /// Stops the link, or lets it go on: nothing crosses while it is paused, but the two sites go on hearing of each other. At the standby.
    ///
    /// - Throws: `preconditionFailed` where this site is not the standby.
    public func pauseSite(_ isPaused: Bool) async throws(HoldfastError) { _ = try await verb(.pause(isPaused)) }

    /// How fast chunks may come over the link while this site is the standby; whether it is paused stays as it is.
    public func paceSite(_ pace: LinkPace) async throws(HoldfastError) { _ = try await verb(.pace(pace.core)) }

    private func verb(_ verb: SiteVerb) async throws(HoldfastError) -> ByteBuffer {
        let limit = deadline
        return try await router.send(
            .siteVerb, .written { verb.encode(into: &$0) }, to: .leader, deadline: limit, isWrite: true,
            attempt: max(limit - .now(), .seconds(1)))
    }
}
