internal import ReplicaCore

// What a directory keeps of its node's place in the cluster, beside the identity that never changes.
extension DataDirectory {
    private static let addressKind = "address"
    private static let removedKind = "removed"

    static func text(address: String) -> SealedText {
        SealedText(kind: addressKind, version: 1, fields: [("endpoint", address)])
    }

    static func readAddress(_ layout: DataLayout) throws(DirectoryError) -> String? {
        guard try exists(layout.address) else { return nil }
        let text = try SealedText.read(layout.address, kind: addressKind, version: 1)
        guard let values = text.values("endpoint"), NodeIdentity.Member.isEndpoint(values[0]) else {
            throw DirectoryError(
                .corrupted,
                "\(layout.address) is damaged; remove it and give 'holdfast serve' the address with --listen")
        }
        return values[0]
    }

    /// Records durably that the node was removed from its cluster: it does not start again.
    package func recordRemoval(_ reason: String) throws(DirectoryError) {
        let line = reason.map { $0.isNewline ? " " : $0 }
        do {
            try FileTree.replace(
                layout.removed,
                with: SealedText(kind: Self.removedKind, version: 1, fields: [("reason", String(line))]).bytes)
        } catch {
            throw DirectoryError(error, doing: "record the removal")
        }
    }

    /// Refuses the directory of a node that was removed: whatever it holds, its cluster has gone on without it.
    static func refuseRemoved(_ layout: DataLayout) throws(DirectoryError) {
        guard try exists(layout.removed) else { return }
        let text = try SealedText.read(layout.removed, kind: removedKind, version: 1)
        throw DirectoryError(
            .removed,
            "\(layout.root) is of a node that was removed (\(text.values("reason")?[0] ?? "")); give a new directory and a new ID to "
                + "join again")
    }

    static func exists(_ path: String) throws(DirectoryError) -> Bool {
        do throws(FileError) {
            return try FileTree.size(path) != nil
        } catch {
            throw DirectoryError(error, doing: "read \(path)")
        }
    }
}
