/// Something that stands against making a site the primary without the other's leave.
public struct SiteObjection: Sendable, Equatable {
    /// What it is about: names for programs, which do not change.
    public enum Code: String, Sendable, CaseIterable {
        /// The site is in no pair, or the primary already.
        case role
        /// The primary answers: a switchover loses nothing.
        case primaryAnswers
        /// The two have different histories.
        case diverged
        /// The primary no longer keeps what this site lacks.
        case reseedRequired
        /// Nothing crosses.
        case paused
        /// Nobody knows how much would be lost.
        case lossUnknown
        /// Revisions of the primary are not here.
        case missing
        /// A node of this site does not answer, or is in no state to serve.
        case node
        /// A node's disk is full.
        case diskFull
        /// A node lacks bytes of published versions.
        case incomplete
        /// The last drill failed, or there never was one.
        case drill
    }

    /// What it is about.
    public var code: Code
    /// One sentence for people, with what to do where something can be done.
    public var text: String

    /// What stands against promoting a site: nothing else than this is looked at, and in this order. Pure.
    ///
    /// - Parameters:
    ///   - site: as its leader knows it.
    ///   - cluster: as the same cluster's nodes say.
    public static func all(_ site: SiteStatus, _ cluster: ClusterStatus) -> [SiteObjection] {
        switch site.role {
        case .alone:
            return [SiteObjection(.role, "this cluster belongs to no pair of sites; 'site follow' makes it one")]
        case .primary: return [SiteObjection(.role, "this site is the primary already")]
        case .standby, .fenced: return ofLink(site) + ofNodes(cluster) + ofDrill(site)
        }
    }

    private init(_ code: Code, _ text: String) {
        self.code = code
        self.text = text
    }

    private static func ofLink(_ site: SiteStatus) -> [SiteObjection] {
        var found: [SiteObjection] = []
        switch site.link {
        case .connected, .paused:
            found.append(
                SiteObjection(
                    .primaryAnswers, "the other site answers; run 'site switchover' there, which loses nothing"))
            if site.link == .paused {
                found.append(SiteObjection(.paused, "the link is paused; 'site resume' lets it go on"))
            }
        case .diverged:
            found.append(
                SiteObjection(
                    .diverged,
                    "this site has revisions that the primary does not have; 'site rejoin' keeps them as orphans"))
        case .reseedRequired, .seeding:
            found.append(
                SiteObjection(
                    .reseedRequired,
                    "the primary no longer keeps what this site lacks: it is at revision \(site.revision) until it is seeded"
                ))
        case .none, .unreachable: break
        }
        if site.role == .fenced {
            found.append(
                SiteObjection(
                    .role, "this site is fenced: another began epoch \(site.epochSeen), and may be the primary"))
        } else if site.recoveryPointSeconds == nil {
            found.append(
                SiteObjection(
                    .lossUnknown,
                    "how much would be lost is not known: this leader has had no answer of the primary; only "
                        + "'--accept-loss unknown' promotes"))
        }
        if let missing = site.missingEntries, missing > 0 {
            found.append(SiteObjection(.missing, "\(missing) revisions of the primary are not here yet"))
        } else if let there = site.peerRevision, there > site.revision {
            found.append(
                SiteObjection(
                    .missing, "the primary was last heard at revision \(there), and this site is at \(site.revision)"))
        }
        return found
    }

    private static func ofNodes(_ cluster: ClusterStatus) -> [SiteObjection] {
        var found: [SiteObjection] = []
        for node in cluster.nodes {
            if node.role == .unreachable {
                found.append(SiteObjection(.node, "node \(node.id) of this site does not answer (\(node.endpoint))"))
                continue
            }
            if node.quarantined {
                found.append(
                    SiteObjection(.node, "node \(node.id) is quarantined; 'cluster rebuild \(node.id)' fetches it anew")
                )
            }
            if node.full {
                found.append(SiteObjection(.diskFull, "the disk of node \(node.id) is full: writes would be refused"))
            }
            if !node.complete {
                found.append(
                    SiteObjection(
                        .incomplete, "node \(node.id) lacks about \(node.missingBytes) bytes of published versions"))
            }
        }
        return found
    }

    private static func ofDrill(_ site: SiteStatus) -> [SiteObjection] {
        guard let drill = site.lastDrill else {
            return [SiteObjection(.drill, "nobody has tried it: 'site drill' does, without touching the link")]
        }
        guard !drill.hasPassed else { return [] }
        return [SiteObjection(.drill, "the last drill failed: \(drill.failure)")]
    }
}
