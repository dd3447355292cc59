/// Numbers of what releases brought that all nodes of a cluster must agree on: commands of the log, replicated rows, files of a data
/// directory. Every feature belongs to one number, and a build knows every number up to its own.
///
/// A cluster has one replicated feature version. It rises by a command of the log, and only when every member is known to have a
/// build that understands it (`FeatureRise`).
package enum FeatureVersion {
    /// The first release, and what a cluster has until it is raised.
    package static let first: UInt32 = 1
    /// The newest that this build knows.
    package static let known: UInt32 = 3
}

/// What a cluster may use only once its replicated feature version says that every member knows it.
package enum Feature: Sendable, Hashable, CaseIterable {
    /// The replicated feature version itself.
    case raising
    /// Members that come, go and are replaced while the cluster runs.
    case membership
    /// State snapshots between nodes.
    case snapshots
    /// Replicas that differ are put aside and rebuilt.
    case quarantine
    /// Another site that follows and can take over.
    case sites

    /// The feature version that brought it.
    package var since: UInt32 {
        switch self {
        case .raising, .membership, .snapshots, .quarantine: 2
        case .sites: 3
        }
    }
}

extension Command {
    /// What must be active before a leader may propose this command; nil for a command of the first release.
    ///
    /// A node whose build does not know a command cannot apply it, and would go on with other rows than its peers.
    package var feature: Feature? {
        switch self {
        case .put, .delete, .transaction, .compact, .openSession, .closeSession, .lineage, .uploadBegin, .uploadAdd,
            .uploadAbort, .uploadExpire, .publish, .retire:
            nil
        case .complete(_, _, _, let rewound): rewound == 0 ? nil : .sites
        // Proposed only when every member has sealed its directory: see `FeatureRise`.
        case .raiseFeatures: nil
        case .site: .sites
        }
    }
}

/// When the replicated feature version may rise: a pure decision of the leader.
///
/// ```
///            every member states more, in the hello of its present connection
///  watching ───────────────────────────────────────────────────────────────▶ sealing: each member writes the version into
///     ▲                                                                        │      its directory, durably
///     │ applied, or given up                                                   ▼ all have
///     └─────────────────────────────────────────────────────────────────── proposed: `raiseFeatures`
/// ```
/// The seal comes first because a hello binds nobody: a node could state the version, be put back to an older build, and then
/// receive a command that it cannot apply. Once its directory is sealed, an older build refuses to open it.
package enum FeatureRise {
    /// The version that the cluster can rise to now; nil while some member is silent or knows no more than is active.
    ///
    /// - Parameter stated: what a member states; nil while it is not connected.
    package static func target(
        active: UInt32, members: Members, stated: (_ node: UInt64) -> UInt32?
    ) -> UInt32? {
        var lowest: UInt32?
        for node in members.everyone {
            guard let version = stated(node) else { return nil }
            lowest = min(lowest ?? version, version)
        }
        guard let lowest, lowest > active else { return nil }
        return lowest
    }

    /// Whether everybody who would receive the command has sealed its directory: a member that came meanwhile has not.
    package static func mayPropose(members: Members, sealed: some Collection<UInt64>) -> Bool {
        !members.voters.isEmpty && members.everyone.allSatisfy { sealed.contains($0) }
    }
}

extension DecodeError {
    /// What a replica fails with at a committed command that only a newer build can have proposed; nil for any other bytes.
    var ofNewerBuild: RowError? {
        switch self {
        case .unknownTag(what: Command.codedName, let tag), .unknownTag(what: SiteCommand.codedName, let tag):
            RowError(
                message: "the log holds a command of kind \(tag), which this build does not know; "
                    + "start this node with the release that the others run", isCorruption: false)
        case .unknownVersion(what: Envelope.codedName, let version):
            RowError(
                message: "the log holds a command in form \(version), which this build does not know; "
                    + "start this node with the release that the others run", isCorruption: false)
        default: nil
        }
    }
}
