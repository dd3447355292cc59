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

extension ClusterStatus.Node {
    func encodeVersions(into writer: inout ByteWriter) {
        writer.fixed32(UInt32(protocolVersion))
        writer.fixed32(featureVersion)
    }

    mutating func decodeVersions(from reader: inout ByteReader) throws(DecodeError) {
        protocolVersion = UInt8(clamping: try reader.fixed32())
        featureVersion = try reader.fixed32()
    }

    func encodeDisk(into writer: inout ByteWriter) {
        writer.bool(full)
        writer.varint(freeBytes)
    }

    mutating func decodeDisk(from reader: inout ByteReader) throws(DecodeError) {
        full = try reader.bool()
        freeBytes = try reader.varint()
    }
}

/// What a member says of itself to another one.
struct NodeReport: Sendable {
    var node: ClusterStatus.Node
    /// The highest revision that published a model, as far as the node has applied.
    var publishedRevision: Revision
    /// The replicated feature version as far as the node has applied; 0 from a node of the first release.
    var featureVersion: UInt32 = 0

    func encode(into writer: inout ByteWriter) {
        node.encode(into: &writer)
        writer.varint(publishedRevision)
        writer.section(.versions) { section in
            section.fixed32(featureVersion)
            node.encodeVersions(into: &section)
        }
        writer.section(.disk) { node.encodeDisk(into: &$0) }
    }

    static func decode(from reader: inout ByteReader) throws(DecodeError) -> NodeReport {
        var report = NodeReport(
            node: try ClusterStatus.Node.decode(from: &reader), publishedRevision: try reader.varint())
        try reader.sections { (section, body) throws(DecodeError) in
            switch section {
            case .versions:
                report.featureVersion = try body.fixed32()
                try report.node.decodeVersions(from: &body)
            case .disk: try report.node.decodeDisk(from: &body)
            }
        }
        return report
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
        writer.section(.versions) { section in
            section.fixed32(featureVersion)
            // One for each node, in the order above.
            for node in nodes { node.encodeVersions(into: &section) }
        }
        writer.section(.disk) { section in for node in nodes { node.encodeDisk(into: &section) } }
    }

    static func decode(from reader: inout ByteReader) throws(DecodeError) -> ClusterStatus {
        let cluster = try reader.text()
        let lineage = try reader.text()
        let term = try reader.varint()
        let leader = try reader.varint()
        let revision = try reader.varint()
        var nodes: [Node] = []
        for _ in 0..<(try reader.count(itemBytes: 10)) { nodes.append(try Node.decode(from: &reader)) }
        var status = ClusterStatus(
            cluster: cluster, lineage: lineage, term: term, leader: leader == 0 ? nil : leader, revision: revision,
            nodes: nodes)
        try reader.sections { (section, body) throws(DecodeError) in
            switch section {
            case .versions:
                status.featureVersion = try body.fixed32()
                for place in status.nodes.indices { try status.nodes[place].decodeVersions(from: &body) }
            case .disk:
                for place in status.nodes.indices { try status.nodes[place].decodeDisk(from: &body) }
            }
        }
        return status
    }
}
