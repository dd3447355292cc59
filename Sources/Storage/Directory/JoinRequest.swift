internal import CHoldfast
package import ReplicaCore

/// What `DataDirectory.join` needs to know: what the cluster says of itself, and who the new node is.
package struct JoinRequest: Sendable {
    package var node: UInt64
    package var cluster: String
    package var bootstrap: Digest
    /// Zero if the cluster has not named it yet.
    package var lineage: Lineage
    /// The members of the first configuration: what the log begins with.
    package var members: [NodeIdentity.Member]
    /// Where the node listens, `HOST:PORT`; nil if it is said at each start.
    package var address: String?
    /// The feature version that the cluster uses: a build that does not know it cannot open the directory.
    package var formatVersion = NodeIdentity.formatVersions.lowerBound
    /// Milliseconds since 1970.
    package var nowMilliseconds: UInt64
    package var reserveBytes: Int?

    package init(
        node: UInt64, cluster: String, bootstrap: Digest, lineage: Lineage, members: [NodeIdentity.Member],
        address: String?, nowMilliseconds: UInt64
    ) {
        self.node = node
        self.cluster = cluster
        self.bootstrap = bootstrap
        self.lineage = lineage
        self.members = members
        self.address = address
        self.nowMilliseconds = nowMilliseconds
    }

    func validate() throws(DirectoryError) {
        guard node > 0 else {
            throw DirectoryError(.invalidArgument, "node ID 0 is not valid; give a number from 1")
        }
        guard FormatRequest.isName(cluster), !members.isEmpty, members.allSatisfy({ $0.node > 0 }) else {
            throw DirectoryError(.invalidArgument, "the cluster to join has no valid name or no first members")
        }
        guard !members.contains(where: { $0.node == node }) else {
            throw DirectoryError(
                .invalidArgument, "node \(node) is a first member of the cluster; a node that joins needs a new ID")
        }
        guard NodeIdentity.formatVersions.contains(formatVersion) else {
            throw DirectoryError(
                .version(found: formatVersion, reads: NodeIdentity.formatVersions.upperBound),
                "the cluster uses feature version \(formatVersion), and this build knows \(NodeIdentity.formatVersions.upperBound); "
                    + "format the node with the release that the others run")
        }
        if let address, !NodeIdentity.Member.isEndpoint(address) {
            throw DirectoryError(.invalidArgument, "'\(address)' is not an address; write HOST:PORT")
        }
    }

    func makeIdentity() throws(DirectoryError) -> NodeIdentity {
        NodeIdentity(
            node: node, incarnation: try Identifier.random(), cluster: cluster, bootstrap: bootstrap,
            members: members.sorted { $0.node < $1.node }, createdMilliseconds: nowMilliseconds)
    }
}

extension Identifier {
    /// Random bytes of the kernel, not zero.
    package static func random() throws(DirectoryError) -> Identifier {
        var random = [UInt8](repeating: 0, count: Identifier.byteCount)
        let number = chf_random(&random, random.count)
        guard number == 0, let identifier = Identifier(random), identifier != .zero else {
            throw DirectoryError(
                FileError(action: "read random bytes from", path: "the kernel", number: number), doing: "format")
        }
        return identifier
    }
}
