internal import ReplicaCore

/// What each history that was ever made comes to: its keys and what they hold, worked out from the effects of its revisions with plain dictionaries. Named by
/// the chain hash at its end.
struct SiteStates {
    struct Key: Hashable {
        var space: Keyspace
        var bytes: Bytes
    }

    private var states: [Digest: [Key: KeyValue]] = [.zero: [:]]
    /// What the feed keeps of a revision: its row's hash and its effects, with their values. By the chain hash after it.
    private var entryBytes: [Digest: UInt64] = [:]

    /// A site has made, or applied, a revision.
    mutating func made(_ revision: UInt64, _ entry: FeedEntry, hash: Digest, after previous: Digest) {
        guard entryBytes[hash] == nil else { return }
        entryBytes[hash] = UInt64(entry.bytes.count + Digest.byteCount)
        guard var state = states[previous], let effects = try? entry.decoded().effects else { return }
        for effect in effects {
            switch effect {
            case .put(let space, let key, let value, let lease):
                let before = state[Key(space: space, bytes: key)]
                state[Key(space: space, bytes: key)] = KeyValue(
                    key: key, value: value, createRevision: before?.createRevision ?? revision, modRevision: revision,
                    version: (before?.version ?? 0) + 1, lease: lease)
            case .delete(let space, let keys):
                for key in state.keys where key.space == space && keys.contains(key.bytes) { state[key] = nil }
            }
        }
        states[hash] = state
    }

    /// The state at the end of a history; nil if nobody has made it.
    func state(at hash: Digest) -> [Key: KeyValue]? { states[hash] }

    /// The bytes that the feed keeps of a revision; nil if nobody has made it.
    func bytes(of hash: Digest) -> UInt64? { entryBytes[hash] }

    /// What rows answer whoever reads them at the site's own revision.
    static func served(_ rows: SimulatedRows, at point: ReadPoint) throws(QueryError) -> [Key: KeyValue] {
        var served: [Key: KeyValue] = [:]
        for space in Keyspace.allCases {
            for kv in try History.range(RangeQuery(.prefix([]), space: space), at: point, bytesMax: .max, rows: rows)
                .kvs
            {
                served[Key(space: space, bytes: kv.key)] = kv
            }
        }
        return served
    }
}
