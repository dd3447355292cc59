internal import RaftCore
internal import ReplicaCore

/// Published means that a quorum holds every chunk durably: when it is published, and after every change of the configuration and every unlinked file.
struct PublishedChunks {
    private struct Version {
        var upload: UploadID
        var number: UInt64
        var chunks: [ChunkID]
        /// The revisions that published it and, once it is, retired it.
        var published: UInt64
        var retired: UInt64 = .max
    }

    private struct Upload: Hashable {
        var id: UploadID
        var number: UInt64
    }

    private var versions: [Version] = []
    private var gone: [Version] = []
    private var closed: Set<Upload> = []

    /// A version became visible somewhere.
    mutating func publish(_ model: ModelVersion, chunks: [ChunkID]) {
        let upload = Upload(id: model.record.upload, number: model.record.uploadNumber)
        guard closed.insert(upload).inserted else { return }
        versions.append(
            Version(upload: upload.id, number: upload.number, chunks: chunks, published: model.publishedRevision))
    }

    /// Everything above a revision was undone: versions published there are none, those retired there are live again.
    mutating func rewind(through revision: UInt64) {
        for version in versions + gone where version.published > revision {
            closed.remove(Upload(id: version.upload, number: version.number))
        }
        versions += gone.filter { $0.retired > revision }
        versions.removeAll { $0.published > revision }
        gone.removeAll { $0.retired > revision }
    }

    /// A seed has brought a revision, at which these versions are live: all others were retired on the way, some of them under the name of another.
    mutating func seed(_ live: [ModelVersion], at revision: UInt64) {
        let uploads = Set(live.map { Upload(id: $0.record.upload, number: $0.record.uploadNumber) })
        for var version in versions where !uploads.contains(Upload(id: version.upload, number: version.number)) {
            version.retired = revision
            gone.append(version)
        }
        versions.removeAll { !uploads.contains(Upload(id: $0.upload, number: $0.number)) }
    }

    /// A version was retired: its chunks may go.
    mutating func retire(_ model: ModelVersion) {
        guard
            let place = versions.firstIndex(where: {
                $0.upload == model.record.upload && $0.number == model.record.uploadNumber
            })
        else { return }
        var version = versions.remove(at: place)
        version.retired = model.modRevision
        gone.append(version)
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
