internal import Logging
internal import RaftCore
internal import ReplicaCore
internal import Storage
internal import Transport

/// What an applied configuration means for the parts of a node: links, clients' addresses, and the node's own end.
///
/// Called on the control loop, after the configuration shows in the state.
struct Configured: Sendable {
    let node: NodeID
    let state: MemberState
    let peers: Peers
    let service: RequestService
    let router: Router
    let departure: Departure
    let logger: Logger

    /// Some configuration entries were applied, or a state that holds another configuration was installed.
    func applied(_ outcomes: [ConfigurationOutcome]) {
        for outcome in outcomes {
            if let refusal = outcome.refusal {
                service.figures.configurationsRefused.increment()
                logger.notice(
                    "a configuration change did nothing",
                    metadata: ["index": "\(outcome.index)", "reason": "\(refusal.message)"])
            } else {
                service.figures.configurations.increment()
                logger.notice(
                    "configuration", metadata: ["index": "\(outcome.index)", "members": "\(outcome.members)"])
            }
        }
        take()
    }

    /// Brings everything in line with the configuration in the state.
    func take() {
        let now = state.now
        let removed = Set(now.roster.records.filter(\.isRemoved).map(\.node))
        peers.configure(now.endpoints, removed: removed)
        service.dropMembers { removed.contains($0) }
        router.know(now.others(than: node))
        if removed.contains(node) {
            departure.refused(
                .removed, "node \(node) was removed from the cluster at log index \(now.roster[node]?.removed ?? 0)")
        }
    }
}

/// The end of a node that is told that it belongs to its cluster no more: it says so durably and stops.
struct Departure: Sendable {
    let directory: DataDirectory
    let fault: Member.Fault

    /// A member's word on why this node is not let in; only what can never change ends the node.
    func refused(_ code: RefusalCode, _ sentence: String) {
        switch code {
        case .otherIncarnation, .featureVersion:
            fault.report(HoldfastError(.incompatible, sentence))
        case .removed:
            do throws(DirectoryError) {
                try directory.recordRemoval(sentence)
            } catch {
                // It is told again at the next start.
            }
            fault.report(HoldfastError(.incompatible, sentence))
        default:
            break
        }
    }
}

extension MemberState.Values {
    /// The addresses of the members that have one.
    var endpoints: [NodeID: Endpoint] {
        var endpoints: [NodeID: Endpoint] = [:]
        for node in members.everyone { endpoints[node] = endpoint(of: node).flatMap { Endpoint($0) } }
        return endpoints
    }

    /// The addresses of all other members, in order of their IDs.
    func others(than node: NodeID) -> [Endpoint] {
        endpoints.filter { $0.key != node }.sorted { $0.key < $1.key }.map { $0.value }
    }
}
