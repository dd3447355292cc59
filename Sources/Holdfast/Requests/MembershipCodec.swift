internal import ReplicaCore

extension MembershipRequest {
    func encode(into writer: inout ByteWriter) {
        switch self {
        case .addLearner(let node, let endpoint):
            writer.byte(1)
            writer.varint(node)
            writer.text(endpoint)
        case .promote(let node):
            writer.byte(2)
            writer.varint(node)
        case .remove(let node):
            writer.byte(3)
            writer.varint(node)
        case .replace(let old, let new, let endpoint):
            writer.byte(4)
            writer.varint(old)
            writer.varint(new)
            writer.text(endpoint)
        }
    }

    static func decode(from reader: inout ByteReader) throws(DecodeError) -> MembershipRequest {
        switch try reader.byte() {
        case 1: .addLearner(try reader.varint(), endpoint: try reader.text())
        case 2: .promote(try reader.varint())
        case 3: .remove(try reader.varint())
        case 4: .replace(old: try reader.varint(), new: try reader.varint(), endpoint: try reader.text())
        case let tag: throw .unknownTag(what: "membership request", tag)
        }
    }
}

/// What a node tells of its cluster's members: to callers, to clients that look for more endpoints, and to a node that joins.
struct MembershipReport: Sendable, Hashable {
    var cluster: String
    var bootstrap: Digest
    /// Zero until it is named.
    var lineage: Lineage
    /// The members of the first configuration, ascending by ID, as the first members were formatted with them.
    var first: [MemberAddress]
    /// The configuration as applied there.
    var members: Members
    /// The members' addresses, ascending by ID; an incarnation where a change has named one.
    var addresses: [MemberAddress]
    /// IDs that were used and are not any more, ascending.
    var removed: [UInt64]
    /// The lowest ID above all that were ever used.
    var nextID: UInt64
    /// The replicated feature version.
    var featureVersion: UInt32
    /// The cluster's pair of sites, if it belongs to one.
    var site: SiteWord?

    func encode(into writer: inout ByteWriter) {
        writer.text(cluster)
        writer.digest(bootstrap)
        writer.identifier(lineage)
        writer.addresses(first)
        members.encode(into: &writer)
        writer.addresses(addresses)
        writer.varint(removed.count)
        for node in removed { writer.varint(node) }
        writer.varint(nextID)
        writer.varint(UInt64(featureVersion))
        if let site {
            // A section, as in other answers: number, length, bytes.
            var section = ByteWriter()
            site.encode(into: &section)
            writer.byte(Self.siteSection)
            writer.string(section.bytes[...])
        }
    }

    private static let siteSection: UInt8 = 4

    /// The section about sites among those that follow; what is not in the form of sections is of a later version.
    private static func site(_ reader: inout ByteReader) throws(DecodeError) -> SiteWord? {
        while reader.remaining > 0 {
            let number = try reader.byte()
            let bytes = try reader.string()
            guard number == siteSection else { continue }
            var section = ByteReader(bytes)
            return try SiteWord.decode(from: &section)
        }
        return nil
    }

    /// Bytes of later versions may follow.
    static func decode(from reader: inout ByteReader) throws(DecodeError) -> MembershipReport {
        var report = MembershipReport(
            cluster: try reader.text(), bootstrap: try reader.digest(), lineage: try reader.identifier(),
            first: try reader.addresses(), members: try Members.decode(from: &reader),
            addresses: try reader.addresses(), removed: [], nextID: 0, featureVersion: 0)
        for _ in 0..<(try reader.count(itemBytes: 1)) { report.removed.append(try reader.varint()) }
        report.nextID = try reader.varint()
        report.featureVersion = UInt32(clamping: try reader.varint())
        report.site = try? Self.site(&reader)
        return report
    }
}

extension MembershipReport {
    /// Refuses an ID that a new disk may not have. A learner that was added before its directory was made has no disk yet.
    func checkUnused(_ node: UInt64) throws(HoldfastError) {
        if removed.contains(node) || first.contains(where: { $0.node == node }) {
            throw HoldfastError(
                .alreadyExists,
                "node ID \(node) was used before, and IDs are never used again; take another, such as \(nextID)")
        }
        let address = addresses.first { $0.node == node }
        if members.voters.contains(node) || (address.map { $0.incarnation != .zero } ?? false) {
            throw HoldfastError(
                .alreadyExists,
                "node \(node) is a member already, with a disk of its own; if that disk is lost, format the new one under a new ID, such "
                    + "as \(nextID), and run: holdfast cluster replace \(node) \(nextID)=HOST:PORT")
        }
    }
}

extension ByteWriter {
    fileprivate mutating func addresses(_ addresses: [MemberAddress]) {
        varint(addresses.count)
        for address in addresses {
            varint(address.node)
            text(address.endpoint)
            identifier(address.incarnation)
        }
    }
}

extension ByteReader {
    fileprivate mutating func addresses() throws(DecodeError) -> [MemberAddress] {
        var addresses: [MemberAddress] = []
        for _ in 0..<(try count(itemBytes: 2 + Identifier.byteCount)) {
            addresses.append(
                MemberAddress(node: try varint(), endpoint: try text(), incarnation: try identifier()))
        }
        return addresses
    }
}
