internal import Logging
internal import NIOCore
internal import ReplicaCore
internal import Synchronization
internal import Transport

/// The connections of a node to the nodes of the other site: it asks them as a client does.
final class SitePlane: Sendable {
    private struct Line {
        var endpoints: [String]
        var router: Router
    }

    private let loops: ClientLoops
    private let settings: TransportSettings
    private let logger: Logger
    private let line = Mutex<Line?>(nil)

    init(loops: ClientLoops, settings: TransportSettings, logger: Logger) {
        self.loops = loops
        self.settings = settings
        self.logger = logger
    }

    /// A router over these nodes; the one before is used as long as they are the same.
    func router(to endpoints: [String]) throws(HoldfastError) -> Router {
        if let known = line.withLock({ $0.flatMap { $0.endpoints == endpoints ? $0.router : nil } }) { return known }
        var targets: [Endpoint] = []
        for text in endpoints {
            guard let endpoint = Endpoint(text), endpoint.port > 0 else {
                throw HoldfastError(.invalidArgument, "'\(text)' is not an endpoint; write HOST:PORT")
            }
            targets.append(endpoint)
        }
        guard !targets.isEmpty else { throw HoldfastError(.invalidArgument, "no node of the other site is named") }
        let make: @Sendable (Endpoint) -> any RequestTarget = { [loops, settings] endpoint in
            RemoteNode(endpoint, loops: loops, settings: settings) {
                Hello(purpose: $0, identity: PeerIdentity(role: .client, featureVersion: FeatureVersion.known))
            }
        }
        let router = Router(targets.map(make), learns: false, logger: logger, makeTarget: make)
        let old = line.withLock { line in
            defer { line = Line(endpoints: endpoints, router: router) }
            return line
        }
        old?.router.close()
        return router
    }

    /// Closes the connections.
    func close() {
        let old = line.withLock { line in
            defer { line = nil }
            return line
        }
        old?.router.close()
    }
}
