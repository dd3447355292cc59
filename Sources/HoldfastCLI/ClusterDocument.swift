internal import Holdfast

/// The document of `cluster status --json`.
struct ClusterDocument: Encodable {
    /// One configured member.
    struct Node: Encodable {
        var id: UInt64
        var endpoint: String
        var role: String
        var applied: UInt64
        var commit: UInt64
        var revision: Revision
        var completeRevision: Revision
        var complete: Bool
        var missingBytes: UInt64
        var quarantined: Bool
        var feedHash: String
        var protocolVersion: UInt8
        var featureVersion: UInt32
        var full: Bool
        var freeBytes: UInt64
    }

    private var status: ClusterStatus

    init(_ status: ClusterStatus) { self.status = status }

    private enum Name: String, CodingKey {
        case cluster, lineage, term, leader, revision, featureVersion, nodes
    }

    func encode(to encoder: any Encoder) throws {
        var object = encoder.container(keyedBy: Name.self)
        try object.encode(status.cluster, forKey: .cluster)
        try object.encode(status.lineage, forKey: .lineage)
        try object.encode(status.term, forKey: .term)
        // Encoded also where it is null: the field is always there.
        try object.encode(status.leader, forKey: .leader)
        try object.encode(status.revision, forKey: .revision)
        try object.encode(status.featureVersion, forKey: .featureVersion)
        let nodes = status.nodes.map { node in
            Node(
                id: node.id, endpoint: node.endpoint, role: node.role.rawValue, applied: node.applied,
                commit: node.commit, revision: node.revision, completeRevision: node.completeRevision,
                complete: node.complete, missingBytes: node.missingBytes, quarantined: node.quarantined,
                feedHash: node.feedHash, protocolVersion: node.protocolVersion, featureVersion: node.featureVersion,
                full: node.full,
                freeBytes: node.freeBytes)
        }
        try object.encode(nodes, forKey: .nodes)
    }
}

/// What `cluster status --wait` waits for.
enum ClusterCondition: String, CaseIterable {
    /// A leader, and every configured member answers.
    case ready
    /// As ready, and every member holds every published byte.
    case complete

    /// Whether `status` fulfils it.
    func holds(in status: ClusterStatus) -> Bool {
        guard status.leader != nil, !status.nodes.isEmpty else { return false }
        return status.nodes.allSatisfy { node in
            guard node.role != .unreachable, node.role != .candidate, !node.quarantined else { return false }
            return self == .ready || node.complete
        }
    }
}
