internal import ReplicaCore

// The public values and the state machine's: one is what callers write, the other what the log and the wire carry.

extension KeyScope {
    var selector: KeySelector {
        switch self {
        case .key(let key): .key(key.bytes[...])
        case .prefix(let prefix): .prefix(prefix.bytes[...])
        case .range(let from, let below): .range(from: from.bytes[...], below: below.bytes[...])
        }
    }
}

extension KeyValue {
    init(_ kv: ReplicaCore.KeyValue) {
        self.init(
            key: Key(Array(kv.key)), value: Array(kv.value), revision: kv.modRevision,
            createRevision: kv.createRevision,
            version: kv.version)
    }
}

extension KeyList {
    init(_ result: RangeResult) {
        self.init(keys: result.kvs.map(KeyValue.init), more: result.more, revision: result.revision)
    }
}

extension Change {
    init(_ event: WatchEvent) {
        self.init(kind: event.kind == .put ? .put : .delete, keyValue: KeyValue(event.kv))
    }
}

extension Transaction {
    var command: ReplicaCore.Transaction {
        ReplicaCore.Transaction(
            compares: compare.map(\.command), then: then.map(\.command), otherwise: otherwise.map(\.command))
    }
}

extension Transaction.Compare {
    fileprivate var command: ReplicaCore.Compare {
        let relation: ReplicaCore.Compare.Relation =
            switch self.relation {
            case .equal: .equal
            case .notEqual: .notEqual
            case .less: .less
            case .greater: .greater
            }
        let operand: ReplicaCore.Compare.Operand =
            switch target {
            case .revision(let revision): .modRevision(revision)
            case .createRevision(let revision): .createRevision(revision)
            case .version(let version): .version(version)
            case .value(let value): .value(value[...])
            }
        return ReplicaCore.Compare(key: key.bytes[...], relation, operand)
    }
}

extension Transaction.Operation {
    fileprivate var command: ReplicaCore.Operation {
        switch self {
        case .put(let key, let value): .put(key: key.bytes[...], value: value[...], lease: 0)
        case .delete(let scope): .delete(scope.selector)
        case .get(let scope, let limit): .range(RangeQuery(scope.selector, limit: UInt64(max(limit, 0))))
        }
    }
}

extension TransactionResult {
    init(_ result: ReplicaCore.TransactionResult) {
        self.init(
            succeeded: result.succeeded, revision: result.revision,
            answers: result.results.map { answer in
                switch answer {
                case .put: .put
                case .deleted(let count): .deleted(Int(count))
                case .range(let found): .keys(KeyList(found))
                }
            })
    }
}

extension Transaction {
    /// The result to give to the caller, who must never take what was not kept for what was not there; nil: nothing was changed, so it may be
    /// asked for once more.
    ///
    /// A lost answer comes again from the client's session, which keeps no large results.
    ///
    /// - Throws: `outcomeUnknown` where the transaction changed something and what it read is lost.
    func result(_ result: ReplicaCore.TransactionResult) throws(HoldfastError) -> TransactionResult? {
        guard result.resultsDropped else { return TransactionResult(result) }
        let ran = result.succeeded ? then : otherwise
        let puts = ran.count { if case .put = $0 { true } else { false } }
        if puts == ran.count {
            return TransactionResult(
                succeeded: result.succeeded, revision: result.revision, answers: ran.map { _ in .put })
        }
        let reads = ran.count { if case .get = $0 { true } else { false } }
        if reads == ran.count { return nil }
        throw HoldfastError(
            .outcomeUnknown,
            "the transaction was applied at revision \(result.revision), but its first answer was lost, and what it read is too large "
                + "to be kept; read the keys at that revision",
            details: ["revision": "\(result.revision)", "succeeded": "\(result.succeeded)"])
    }
}

extension ModelVersion {
    init(_ version: ReplicaCore.ModelVersion) {
        self.init(
            name: version.name, version: version.version, root: version.record.root.hex,
            revision: version.publishedRevision, bytes: version.record.bytes, files: Int(version.record.files),
            chunks: Int(version.record.chunks), publishedMilliseconds: version.record.time,
            retired: version.record.isRetired)
    }
}
