package import ReplicaCore

/// Who a data directory belongs to. It never changes after `DataDirectory.format`; only the format version in front of it rises
/// (`DataDirectory.seal`).
package struct NodeIdentity: Sendable, Equatable {
    /// A member of the first configuration.
    package struct Member: Sendable, Hashable {
        package var node: UInt64
        /// HOST:PORT.
        package var endpoint: String

        package init(node: UInt64, endpoint: String) {
            self.node = node
            self.endpoint = endpoint
        }
    }

    /// The format versions of a data directory that this build reads: the feature version that a build must know to open it. A new
    /// directory has the first.
    package static let formatVersions = Int(FeatureVersion.first)...Int(FeatureVersion.known)

    package let node: UInt64
    /// One life of this disk: random at every format, so that a wiped node is told from the one it was.
    package let incarnation: Incarnation
    package let cluster: String
    /// What the first members of a cluster must share (see `bootstrapID`).
    package let bootstrap: Digest
    /// The first members, ascending by node.
    package let members: [Member]
    /// When the directory was formatted, in milliseconds since 1970.
    package let createdMilliseconds: UInt64

    /// SHA-256 over the cluster's name, the token and the members ascending by node, each text with its length before
    /// it (u32, little-endian), each node ID as u64, little-endian, after the words "holdfast bootstrap 1".
    package static func bootstrapID(cluster: String, token: String, members: [Member]) -> Digest {
        var bytes = Array("holdfast bootstrap 1".utf8)
        func append(_ text: String) {
            bytes.append(contentsOf: littleEndian(UInt32(clamping: text.utf8.count)))
            bytes.append(contentsOf: text.utf8)
        }
        append(cluster)
        append(token)
        for member in members.sorted(by: { $0.node < $1.node }) {
            bytes.append(contentsOf: littleEndian(member.node))
            append(member.endpoint)
        }
        return SHA256.digest(of: bytes)
    }

    private static func littleEndian(_ value: some FixedWidthInteger) -> [UInt8] {
        withUnsafeBytes(of: value.littleEndian) { Array($0) }
    }
}

extension NodeIdentity {
    static let kind = "identity"

    /// The file's text in a new directory.
    var text: SealedText { text(version: NodeIdentity.formatVersions.lowerBound) }

    /// The file's text in a directory of a format version.
    func text(version: Int) -> SealedText {
        SealedText(
            kind: NodeIdentity.kind, version: version,
            fields: [
                ("node", String(node)), ("incarnation", incarnation.hex), ("cluster", cluster),
                ("bootstrap", bootstrap.hex),
                ("members", members.map { "\($0.node)=\($0.endpoint)" }.joined(separator: ",")),
                ("created", String(createdMilliseconds)),
            ])
    }

    /// The identity that `text` holds; nil if a field is missing or malformed.
    init?(_ text: SealedText) {
        guard let values = text.values("node", "incarnation", "cluster", "bootstrap", "members", "created"),
            let node = UInt64(values[0]), let incarnation = Incarnation(hex: values[1]),
            let bootstrap = Digest(hex: values[3]), let created = UInt64(values[5])
        else { return nil }
        var members: [Member] = []
        for part in values[4].split(separator: ",", omittingEmptySubsequences: false) {
            guard let member = Member(text: part) else { return nil }
            members.append(member)
        }
        self.init(
            node: node, incarnation: incarnation, cluster: values[2], bootstrap: bootstrap, members: members,
            createdMilliseconds: created)
    }
}

extension NodeIdentity.Member {
    /// A member written as ID=HOST:PORT; nil for anything else.
    package init?(text: some StringProtocol) {
        guard let mark = text.firstIndex(of: "="), let node = UInt64(text[..<mark]), node > 0 else { return nil }
        let endpoint = String(text[text.index(after: mark)...])
        guard NodeIdentity.Member.isEndpoint(endpoint) else { return nil }
        self.init(node: node, endpoint: endpoint)
    }

    /// HOST:PORT with a host of letters, digits and `.-_:[]%` and a port of 1 to 65535.
    static func isEndpoint(_ text: String) -> Bool {
        guard let colon = text.lastIndex(of: ":"), let port = UInt16(text[text.index(after: colon)...]), port > 0
        else { return false }
        let host = text[..<colon].utf8
        let isWord = host.allSatisfy { byte in
            switch byte {
            case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
                UInt8(ascii: "0")...UInt8(ascii: "9"):
                true
            default: ".-_:[]%".utf8.contains(byte)
            }
        }
        return !host.isEmpty && host.count <= 255 && isWord
    }
}
