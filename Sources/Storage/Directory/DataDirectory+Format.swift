internal import CHoldfast
internal import Glibc
internal import ReplicaCore

/// What `DataDirectory.format` needs to know.
package struct FormatRequest: Sendable {
    package var node: UInt64
    /// `[A-Za-z0-9][A-Za-z0-9._-]*`, at most 64 bytes.
    package var cluster: String
    /// Tells two clusters of one name and the same members apart; any text of at most 1,024 bytes.
    package var token: String
    /// The first members, this node among them.
    package var members: [NodeIdentity.Member]
    /// Milliseconds since 1970.
    package var nowMilliseconds: UInt64
    /// Bytes of the reserve; nil lets the disk decide.
    package var reserveBytes: Int?

    package init(
        node: UInt64, cluster: String, token: String = "", members: [NodeIdentity.Member], nowMilliseconds: UInt64
    ) {
        self.node = node
        self.cluster = cluster
        self.token = token
        self.members = members
        self.nowMilliseconds = nowMilliseconds
    }
}

extension DataDirectory {
    /// Makes a data directory where there is none or an empty one. The identity is written last, so that a directory is
    /// formatted or recognised as half-made.
    ///
    /// - Parameter prepare: makes the stores that this type does not know of (the log), before the identity is written.
    /// - Throws: `alreadyFormatted`, `halfFormatted`, `notEmpty` or `invalidArgument` with nothing touched.
    package static func format(
        at path: String, _ request: FormatRequest,
        prepare: (DataLayout, NodeIdentity) throws(DirectoryError) -> Void = { _, _ in }
    ) throws(DirectoryError) -> NodeIdentity {
        try request.validate()
        let layout = DataLayout(path)
        try requireUnformatted(layout)
        return try make(
            layout, try request.makeIdentity(), NodeIdentity.formatVersions.lowerBound, request.reserveBytes,
            prepare: prepare)
    }

    /// The directory of a node that joins a cluster that exists; else as `format`.
    package static func join(
        at path: String, _ request: JoinRequest,
        prepare: (DataLayout, NodeIdentity) throws(DirectoryError) -> Void = { _, _ in }
    ) throws(DirectoryError) -> NodeIdentity {
        try request.validate()
        let layout = DataLayout(path)
        try requireUnformatted(layout)
        return try make(layout, try request.makeIdentity(), request.formatVersion, request.reserveBytes) {
            layout, identity throws(DirectoryError) in
            try prepare(layout, identity)
            do throws(FileError) {
                if request.lineage != .zero {
                    try FileTree.replace(layout.lineage, with: text(request.lineage).bytes)
                }
                if let address = request.address {
                    try FileTree.replace(layout.address, with: text(address: address).bytes)
                }
            } catch {
                throw DirectoryError(error, doing: "format \(layout.root)")
            }
        }
    }

    /// Makes everything, the identity last.
    private static func make(
        _ layout: DataLayout, _ identity: NodeIdentity, _ version: Int, _ reserveBytes: Int?,
        prepare: (DataLayout, NodeIdentity) throws(DirectoryError) -> Void
    ) throws(DirectoryError) -> NodeIdentity {
        do {
            try FileTree.makeDirectories(layout.root)
            // Exclusive: of two that format one directory, one is refused.
            try OpenFile(layout.formatting, O_WRONLY | O_CREAT | O_EXCL).sync()
            try FileTree.syncDirectory(layout.root)
            for directory in [layout.log, layout.rows, layout.quarantine] {
                try FileTree.makeDirectory(directory)
                try FileTree.syncDirectory(directory)
            }
            try ChunkStore.makeTree(at: layout.chunks)
            try OpenFile(layout.lock, O_RDWR | O_CREAT).sync()
            try FileTree.replace(layout.peers, with: PeerPins.text([:]).bytes)
            try SpaceReserve(path: layout.reserve, bytes: DataDirectory.reserveBytes(reserveBytes, on: layout.root))
                .restore()
        } catch {
            throw DirectoryError(error, doing: "format \(layout.root)")
        }
        do {
            try RowStore(path: layout.rows).flush()
        } catch {
            throw DirectoryError(.inputOutput, "cannot format \(layout.root): \(error.message)")
        }
        try prepare(layout, identity)
        do {
            try FileTree.syncDirectory(layout.root)
            try FileTree.replace(layout.identity, with: identity.text(version: version).bytes)
            try FileTree.remove(layout.formatting)
            try FileTree.syncDirectory(layout.root)
        } catch {
            throw DirectoryError(error, doing: "format \(layout.root)")
        }
        return identity
    }

    /// Refuses what is there already. Changes nothing.
    private static func requireUnformatted(_ layout: DataLayout) throws(DirectoryError) {
        let names: [String]
        do {
            names = try FileTree.names(in: layout.root).filter { $0 != "lost+found" }
        } catch {
            if error.isMissing { return }
            throw DirectoryError(error, doing: "format \(layout.root)")
        }
        if names.contains("identity") {
            throw DirectoryError(
                .alreadyFormatted,
                "\(layout.root) is formatted already and was not touched; give another path, or "
                    + "remove it if its data is no longer needed")
        }
        if names.contains("formatting") {
            throw DirectoryError(
                .halfFormatted, "formatting of \(layout.root) was interrupted; remove what is in it and try again")
        }
        guard names.isEmpty else {
            throw DirectoryError(
                .notEmpty,
                "\(layout.root) is not empty (it holds \(names[0])) and was not touched; give an empty or "
                    + "a new directory")
        }
    }
}

extension FormatRequest {
    fileprivate func validate() throws(DirectoryError) {
        func refuse(_ sentence: String) -> DirectoryError {
            DirectoryError(.invalidArgument, sentence)
        }
        guard node > 0 else { throw refuse("node ID 0 is not valid; give a number from 1") }
        guard FormatRequest.isName(cluster) else {
            throw refuse(
                "the cluster name '\(cluster)' is not valid; use letters, digits, '.', '_' and '-', at most 64")
        }
        guard token.utf8.count <= 1024 else { throw refuse("the token is longer than 1,024 bytes; shorten it") }
        guard !members.isEmpty, members.count <= 64 else {
            throw refuse("there are \(members.count) members; give 1 to 64")
        }
        for member in members where member.node == 0 || !NodeIdentity.Member.isEndpoint(member.endpoint) {
            throw refuse("the member '\(member.node)=\(member.endpoint)' is not valid; write it as ID=HOST:PORT")
        }
        guard Set(members.map(\.node)).count == members.count else {
            throw refuse("two members have the same ID; give each its own")
        }
        guard Set(members.map(\.endpoint)).count == members.count else {
            throw refuse("two members have the same endpoint; give each its own")
        }
        guard members.contains(where: { $0.node == node }) else {
            throw refuse("node \(node) is not among the members; add it or correct its ID")
        }
    }

    fileprivate func makeIdentity() throws(DirectoryError) -> NodeIdentity {
        NodeIdentity(
            node: node, incarnation: try Identifier.random(), cluster: cluster,
            bootstrap: NodeIdentity.bootstrapID(cluster: cluster, token: token, members: members),
            members: members.sorted { $0.node < $1.node }, createdMilliseconds: nowMilliseconds)
    }

    static func isName(_ text: String) -> Bool {
        guard let first = text.utf8.first, text.utf8.count <= 64 else { return false }
        let others = text.utf8.allSatisfy { isLetterOrDigit($0) || "._-".utf8.contains($0) }
        return isLetterOrDigit(first) && others
    }

    private static func isLetterOrDigit(_ byte: UInt8) -> Bool {
        switch byte {
        case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
            UInt8(ascii: "0")...UInt8(ascii: "9"):
            true
        default: false
        }
    }
}
