package import ReplicaCore

/// What a survivor's directory becomes: written first, so that an interrupted recovery goes on to the same end.
package struct RecoveryMark: Sendable, Equatable {
    /// The lineage of the new cluster.
    package var lineage: Lineage
    /// Its only member's address, `HOST:PORT`.
    package var endpoint: String

    package init(lineage: Lineage, endpoint: String) {
        self.lineage = lineage
        self.endpoint = endpoint
    }
}

extension DataDirectory {
    private static let recoveryKind = "recovery"

    /// The recovery that began in the directory and has not ended; nil for none.
    package var recovery: RecoveryMark? {
        get throws(DirectoryError) { try DataDirectory.readRecovery(layout) }
    }

    static func readRecovery(_ layout: DataLayout) throws(DirectoryError) -> RecoveryMark? {
        guard try exists(layout.recovering) else { return nil }
        let text = try SealedText.read(layout.recovering, kind: recoveryKind, version: 1)
        guard let values = text.values("lineage", "endpoint"), let lineage = Lineage(hex: values[0]) else {
            throw DirectoryError(.corrupted, "\(layout.recovering) is damaged; restore the directory from a copy")
        }
        return RecoveryMark(lineage: lineage, endpoint: values[1])
    }

    /// Refuses a directory whose recovery was interrupted: it belongs to neither cluster.
    static func refuseRecovering(_ layout: DataLayout) throws(DirectoryError) {
        guard try exists(layout.recovering) else { return }
        throw DirectoryError(
            .halfFormatted,
            "the recovery of \(layout.root) was interrupted; finish it with: holdfast cluster recover --from-survivors --data "
                + layout.root)
    }

    /// Says durably that the directory leaves its cluster: from here on only the recovery opens it.
    package func beginRecovery(_ mark: RecoveryMark) throws(DirectoryError) {
        do {
            let text = SealedText(
                kind: Self.recoveryKind, version: 1,
                fields: [("lineage", mark.lineage.hex), ("endpoint", mark.endpoint)])
            try FileTree.replace(layout.recovering, with: text.bytes)
            // The rows say which lineage is theirs, before and after they change.
            try FileTree.remove(layout.lineage)
            try FileTree.syncDirectory(layout.root)
        } catch {
            throw DirectoryError(error, doing: "begin the recovery of \(layout.root)")
        }
    }

    /// Makes the directory that of the only member of a new cluster, once its rows and its log are, and returns the bootstrap ID. The
    /// old members have another one: they cannot connect.
    package func endRecovery(_ mark: RecoveryMark) throws(DirectoryError) -> Digest {
        let members = [NodeIdentity.Member(node: identity.node, endpoint: mark.endpoint)]
        let new = NodeIdentity(
            node: identity.node, incarnation: identity.incarnation, cluster: identity.cluster,
            bootstrap: NodeIdentity.bootstrapID(cluster: identity.cluster, token: mark.lineage.hex, members: members),
            members: members, createdMilliseconds: identity.createdMilliseconds)
        do {
            try FileTree.replace(layout.lineage, with: Self.text(mark.lineage).bytes)
            try FileTree.replace(layout.peers, with: PeerPins.text([:]).bytes)
            try FileTree.replace(layout.identity, with: new.text(version: formatVersion).bytes)
            try FileTree.remove(layout.recovering)
            try FileTree.syncDirectory(layout.root)
        } catch {
            throw DirectoryError(error, doing: "end the recovery of \(layout.root)")
        }
        return new.bootstrap
    }
}
