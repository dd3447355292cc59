internal import Holdfast
internal import Logging
internal import Processes

/// The clients' connections: kind `client` of the public library.
struct Nodes: Sendable {
    /// Asks whichever node answers.
    let any: HoldfastNode
    /// One for each client, asking whichever node answers: a session each.
    let clients: [HoldfastNode]
    /// One for each place, asking only there.
    let pinned: [HoldfastNode]
    /// The places that have a node.
    let places: MemberPlaces

    /// Connects to nodes at these endpoints.
    static func open(_ endpoints: [String], clients: Int, places: MemberPlaces) async throws -> Nodes {
        func make(_ endpoints: [String]) async throws -> HoldfastNode {
            let node = try HoldfastNode(
                NodeConfiguration(.client(endpoints: endpoints)),
                logger: Logger(label: "campaign") { _ in SwiftLogNoOpLogHandler() })
            try await node.start()
            return node
        }
        var own: [HoldfastNode] = []
        for number in 0..<clients {
            // Each begins with another node.
            let first = number % endpoints.count
            own.append(try await make(Array(endpoints[first...] + endpoints[..<first])))
        }
        var pinned: [HoldfastNode] = []
        for endpoint in endpoints { pinned.append(try await make([endpoint])) }
        return Nodes(any: try await make(endpoints), clients: own, pinned: pinned, places: places)
    }

    /// One of the nodes by itself.
    func one(_ numbers: inout SeededNumbers) -> Store {
        places.all.randomElement(using: &numbers).map { pinned[$0].store } ?? any.store
    }

    /// Ends every connection.
    func close() async {
        for node in [any] + clients + pinned { await node.stop() }
    }
}
