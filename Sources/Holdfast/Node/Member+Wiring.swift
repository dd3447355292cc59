internal import Logging
internal import NIOCore
internal import RaftCore
internal import ReplicaCore
internal import Storage
internal import Transport

// What the wired parts tell each other.
extension Member {
    /// A group is in the rows: tell everyone (on the apply thread).
    static func applied(
        _ group: AppliedGroup, state: MemberState, replica: Replica, watches: WatchHub, chunks: NodeChunks,
        directory: DataDirectory, configured: Configured, fault: Fault, logger: Logger
    ) {
        let output = group.output
        state.update { values in
            values.take(output)
            for case .published(let model) in output.models {
                values.publishedRevision = max(values.publishedRevision, model.publishedRevision)
            }
            if let rewound = output.rewound { values.publishedRevision = rewound.publishedRevision }
            if let site = output.site { values.site = site }
            if let isSeeding = output.isSeeding { values.isSeeding = isSeeding }
            if let lineage = output.lineage { values.lineage = lineage }
            if let version = output.featureVersion { values.featureVersion = version }
        }
        if let version = output.featureVersion, version > FeatureVersion.known {
            fault.report(
                HoldfastError(
                    .incompatible,
                    "the cluster rose to feature version \(version), and this build knows \(FeatureVersion.known); start "
                        + "this node with the release that the others run"))
        }
        if let lineage = output.lineage {
            do throws(DirectoryError) {
                try directory.recordLineage(lineage)
            } catch {
                fault.report(HoldfastError(.incompatible, error.message))
            }
        }
        // Completeness hears of a publish before its index shows.
        chunks.applied(output)
        state.update { $0.applied = group.state }
        let index = group.state.index
        let revision = group.state.revision
        let outcomes = output.outcomes
        let configurations = output.configurations
        let hasRewound = output.rewound != nil
        replica.loop.execute {
            if !configurations.isEmpty { configured.applied(configurations) }
            replica.applied(through: index, outcomes: outcomes, configurations: configurations)
            if hasRewound { watches.rewound(to: revision) }
            watches.applied(revision)
        }
    }

    /// The first leader of a new cluster names its lineage (design: bootstrap).
    static func leadershipChanged(
        _ leadership: Leadership, state: MemberState, router: Router, logger: Logger
    ) {
        logger.info(
            "leadership",
            metadata: [
                "role": "\(leadership.role)", "leader": "\(leadership.leader)", "term": "\(leadership.term)",
            ])
        guard leadership.role == .leader, state.now.lineage == nil else { return }
        Task {
            let lineage = Lineage(UInt64.random(in: 1...(.max)), UInt64.random(in: 0...(.max)))
            do throws(HoldfastError) {
                _ = try await router.proposeUnnumbered(.lineage(lineage), deadline: .now() + .seconds(10))
            } catch {
                // Another leader's lineage came first, or the next leader proposes one.
                logger.debug("lineage not set", metadata: ["reason": "\(error)"])
            }
        }
    }

    /// Looks who is at an address where a node is to join.
    static func visit(
        _ endpoint: Endpoint, _ hello: Hello, _ loop: any EventLoop, _ settings: TransportSettings
    ) async -> MembershipRequests.VisitOutcome {
        do throws(TransportError) {
            let channel = try await RequestChannel.dial(
                endpoint, hello: hello, on: loop, settings: settings, deadline: .seconds(2))
            let peer = channel.connection.peer
            channel.close()
            return Incarnation(peer.incarnation).map { .found($0) } ?? .silent
        } catch {
            guard case .refused(let code, let sentence) = error, code != .unavailable, code != .overloaded else {
                return .silent
            }
            return .refused("the node at \(endpoint) cannot join: \(sentence)")
        }
    }

    static func raft(_ identity: NodeIdentity, _ configuration: NodeConfiguration) -> RaftConfiguration {
        var raft = RaftConfiguration(id: identity.node)
        raft.electionTicks = max(2, configuration.electionMilliseconds / configuration.heartbeatMilliseconds)
        raft.heartbeatTicks = 1
        raft.seed = UInt64.random(in: 0...(.max))
        return raft
    }
}
