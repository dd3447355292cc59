internal import ReplicaCore

extension ClusterStatus.Node {
    private static let roles: [Role] = [.leader, .follower, .candidate, .learner, .unreachable]

    func encode(into writer: inout ByteWriter) {
        writer.varint(id)
        writer.text(endpoint)
        writer.byte(UInt8(Self.roles.firstIndex(of: role) ?? 4))
        for number in [applied, commit, revision, completeRevision, missingBytes] { writer.varint(number) }
        writer.bool(complete)
        writer.bool(quarantined)
        writer.text(feedHash)
    }

    static func decode(from reader: inout ByteReader) throws(DecodeError) -> ClusterStatus.Node {
        let id = try reader.varint()
        let endpoint = try reader.text()
        let role = try reader.byte()
        guard Int(role) < roles.count else { throw .unknownTag(what: "role", role) }
        var node = ClusterStatus.Node(id: id, endpoint: endpoint, role: roles[Int(role)])
        node.applied = try reader.varint()
        node.commit = try reader.varint()
        node.revision = try reader.varint()
        node.completeRevision = try reader.varint()
        node.missingBytes = try reader.varint()
        node.complete = try reader.bool()
        node.quarantined = try reader.bool()
        node.feedHash = try reader.text()
        return node
    }
}

/// What a member says of itself to another one.
struct NodeReport: Sendable {
    var node: ClusterStatus.Node
    /// The highest revision that published a model, as far as the node has applied.
    var publishedRevision: Revision

    func encode(into writer: inout ByteWriter) {
        node.encode(into: &writer)
        writer.varint(publishedRevision)
    }

    static func decode(from reader: inout ByteReader) throws(DecodeError) -> NodeReport {
        NodeReport(node: try ClusterStatus.Node.decode(from: &reader), publishedRevision: try reader.varint())
    }
}

extension ClusterStatus {
    func encode(into writer: inout ByteWriter) {
        writer.text(cluster)
        writer.text(lineage)
        writer.varint(term)
        writer.varint(leader ?? 0)
        writer.varint(revision)
        writer.varint(nodes.count)
        for node in nodes { node.encode(into: &writer) }
    }

    static func decode(from reader: inout ByteReader) throws(DecodeError) -> ClusterStatus {
        let cluster = try reader.text()
        let lineage = try reader.text()
        let term = try reader.varint()
        let leader = try reader.varint()
        let revision = try reader.varint()
        var nodes: [Node] = []
        for _ in 0..<(try reader.count(itemBytes: 10)) { nodes.append(try Node.decode(from: &reader)) }
        return ClusterStatus(
            cluster: cluster, lineage: lineage, term: term, leader: leader == 0 ? nil : leader, revision: revision,
            nodes: nodes)
    }
}
