internal import RaftCore
internal import ReplicaCore

/// Published means that a quorum holds every chunk durably: when it is published, and after every change of the configuration and every unlinked file.
struct PublishedChunks {
    private struct Version {
        var upload: UploadID
        var number: UInt64
        var chunks: [ChunkID]
    }

    private var versions: [Version] = []
    private var closed: Set<UploadID> = []

    /// A version became visible somewhere.
    mutating func publish(_ model: ModelVersion, chunks: [ChunkID]) {
        guard closed.insert(model.record.upload).inserted else { return }
        versions.append(Version(upload: model.record.upload, number: model.record.uploadNumber, chunks: chunks))
    }

    /// A version was retired: its chunks may go.
    mutating func retire(_ model: ModelVersion) {
        versions.removeAll { $0.upload == model.record.upload && $0.number == model.record.uploadNumber }
    }

    /// Looks at all live versions; `holds` answers for a node's disk.
    func check(_ members: Members, holds: (NodeID, ChunkID) -> Bool) -> String? {
        for version in versions {
            let holders = members.everyone.filter { node in version.chunks.allSatisfy { holds(node, $0) } }
            if !members.isQuorum(holders) {
                return
                    "of upload \(version.upload) only \(holders) hold every chunk, of \(members.voters) \(members.outgoingVoters)"
            }
        }
        return nil
    }

    /// Whether every version stays on a quorum without one node.
    func survives(without lost: NodeID, _ members: Members, holds: (NodeID, ChunkID) -> Bool) -> Bool {
        check(members) { node, chunk in node != lost && holds(node, chunk) } == nil
    }
}
