// Keys: the revision being made, puts, deletes, transactions.
extension Applier {
    /// The revision that the command at hand makes if it changes anything.
    var nextRevision: UInt64 { state.revision + 1 }

    /// Begins the effects of `nextRevision`.
    func begin(_ group: inout ApplyGroup) {
        group.effects.begin(revision: nextRevision, previous: state.feedHash)
    }

    /// Ends the effects: with any, a revision is made, chained and fed. The latest revision either way.
    mutating func commit(_ group: inout ApplyGroup) -> UInt64 {
        guard group.effects.count > 0 else { return state.revision }
        state.revision += 1
        state.feedHash = group.effects.hashed.withUnsafeBytes(group.digest)
        group.effects.encodeHead(hash: state.feedHash, into: &group.rowHead)
        group.overlay.put(RowKey.feed(state.revision), group.rowHead, group.effects.effects[...])
        if siteProgress.isCounting {
            siteProgress.count(group.effects.hashed.count, revision: state.revision, time: group.time)
            isProgressTouched = true
            raiseFeedFloor(&group)
        }
        group.output.chain.append(ApplyOutput.ChainLink(revision: state.revision, hash: state.feedHash))
        return state.revision
    }

    /// The row of a key that holds now: one look-up, or one seek below the overlay (3).
    mutating func current(_ versions: [UInt8], _ group: borrowing ApplyGroup) throws(RowError) -> KeyState {
        if let known = knownKeys[versions] { return known }
        var found = KeyState.absent(since: 0)
        let end = RowKey.end(ofVersions: versions)
        try group.overlay.base.forEach(from: versions, below: end) { row, value throws(RowError) in
            guard row.count == versions.count + RowKey.revisionBytes, let record = VersionRecord(value) else {
                throw .corrupted("a version row")
            }
            found = KeyState(
                modRevision: RowKey.revision(of: row), createRevision: record.createRevision, version: record.version,
                lease: record.lease)
            return false
        }
        return found
    }

    /// Writes a put at `nextRevision`.
    mutating func put(
        _ key: Bytes,
        _ value: Bytes,
        lease: UInt64,
        in space: Keyspace,
        _ group: inout ApplyGroup
    ) throws(RowError) {
        let versions = RowKey.versions(of: key, in: space)
        let old = try current(versions, group)
        let revision = nextRevision
        let new = KeyState(
            modRevision: revision, createRevision: old.isLive ? old.createRevision : revision, version: old.version + 1,
            lease: lease)
        group.rowKey.removeAll(keepingCapacity: true)
        group.rowKey.append(contentsOf: versions)
        RowKey.append(revision: revision, to: &group.rowKey)
        VersionRecord.encodePut(
            createRevision: new.createRevision, version: new.version, lease: lease, into: &group.rowHead)
        group.overlay.put(group.rowKey, group.rowHead, value)
        knownKeys[versions] = new
        group.effects.put(space, key: key, value: value, lease: lease)
        if group.output.collectsEvents {
            let kv = KeyValue(
                key: key, value: value, createRevision: new.createRevision, modRevision: revision, version: new.version,
                lease: lease)
            group.output.events.append(WatchEvent(kind: .put, space: space, kv: kv))
        }
    }

    /// Writes a deletion at `nextRevision`; false if the key does not exist.
    private mutating func remove(_ key: Bytes, _ group: inout ApplyGroup) throws(RowError) -> Bool {
        let versions = RowKey.versions(of: key, in: .user)
        guard try current(versions, group).isLive else { return false }
        group.rowKey.removeAll(keepingCapacity: true)
        group.rowKey.append(contentsOf: versions)
        RowKey.append(revision: nextRevision, to: &group.rowKey)
        group.overlay.put(group.rowKey, VersionRecord.tombstone)
        knownKeys[versions] = .absent(since: nextRevision)
        if group.output.collectsEvents {
            let kv = KeyValue(key: key, value: [], createRevision: 0, modRevision: nextRevision, version: 0)
            group.output.events.append(WatchEvent(kind: .delete, space: .user, kv: kv))
        }
        return true
    }

    /// Deletes the keys meant at `nextRevision`, as one effect; how many there were.
    mutating func remove(_ keys: KeySelector, _ group: inout ApplyGroup) throws(RowError) -> UInt64 {
        var count: UInt64 = 0
        if case .key(let key) = keys {
            count = try remove(key, &group) ? 1 : 0
        } else {
            for key in try live(keys, limit: 0, &group) where try remove(key, &group) { count += 1 }
        }
        if count > 0 { group.effects.delete(.user, keys) }
        return count
    }

    /// The keys meant that exist now, at most `limit` (0: all).
    private func live(_ keys: KeySelector, limit: Int, _ group: inout ApplyGroup) throws(RowError) -> [Bytes] {
        let query = RangeQuery(keys, limit: UInt64(limit), keysOnly: true)
        return try read(query, bytesMax: .max, &group).kvs.map(\.key)
    }

    /// Answers a query as of now, with the changes of the command at hand.
    func read(_ query: RangeQuery, bytesMax: Int, _ group: inout ApplyGroup) throws(RowError) -> RangeResult {
        group.overlay.settle()
        var point = readPoint
        point.revision = nextRevision
        return try History.read(query, at: point, bytesMax: bytesMax, rows: group.overlay)
    }

    /// Why a delete would remove too much, if so.
    private func refusal(ofDeleting keys: KeySelector, _ group: inout ApplyGroup) throws(RowError) -> Refusal? {
        if case .key = keys { return nil }
        guard try live(keys, limit: Limits.deleteRangeKeysMax + 1, &group).count > Limits.deleteRangeKeysMax else {
            return nil
        }
        return Refusal(
            .resourceExhausted,
            "the range holds more than \(Limits.deleteRangeKeysMax) keys; delete it in smaller ranges")
    }

    mutating func delete(_ keys: KeySelector, _ group: inout ApplyGroup) throws(RowError) -> Outcome {
        if let refusal = try refusal(ofDeleting: keys, &group) { return .refused(refusal) }
        begin(&group)
        let count = try remove(keys, &group)
        return .deleted(revision: commit(&group), count: count)
    }

    mutating func perform(_ transaction: Transaction, _ group: inout ApplyGroup) throws(RowError) -> Outcome {
        var succeeded = true
        for compare in transaction.compares where succeeded { succeeded = try holds(compare, &group) }
        let operations = succeeded ? transaction.then : transaction.otherwise
        for operation in operations {
            switch operation {
            case .put: break
            case .delete(let keys):
                if let refusal = try refusal(ofDeleting: keys, &group) { return .refused(refusal) }
            case .range(let query):
                if let refusal = History.refusal(of: query, at: readPoint) { return .refused(refusal) }
            }
        }
        begin(&group)
        var results: [OperationResult] = []
        var bytesLeft = Limits.transactionReadBytesMax
        for operation in operations {
            switch operation {
            case .put(let key, let value, let lease):
                try put(key, value, lease: lease, in: .user, &group)
                results.append(.put)
            case .delete(let keys): results.append(.deleted(count: try remove(keys, &group)))
            case .range(let query):
                let result = try read(query, bytesMax: bytesLeft, &group)
                for kv in result.kvs { bytesLeft -= kv.key.count + kv.value.count }
                bytesLeft = max(bytesLeft, 0)
                results.append(.range(result))
            }
        }
        let revision = commit(&group)
        results = results.map { result in
            guard case .range(var range) = result else { return result }
            range.revision = revision
            return .range(range)
        }
        return .transaction(TransactionResult(revision: revision, succeeded: succeeded, results: results))
    }

    private mutating func holds(_ compare: Compare, _ group: inout ApplyGroup) throws(RowError) -> Bool {
        if case .value(let wanted) = compare.operand {
            guard let kv = try read(RangeQuery(.key(compare.key)), bytesMax: .max, &group).kvs.first else {
                return false
            }
            switch compare.relation {
            case .equal: return kv.value == wanted
            case .notEqual: return kv.value != wanted
            case .less: return kv.value.lexicographicallyPrecedes(wanted)
            case .greater: return wanted.lexicographicallyPrecedes(kv.value)
            }
        }
        let now = try current(RowKey.versions(of: compare.key, in: .user), group)
        switch compare.operand {
        case .value: return false
        case .version(let wanted): return compare.relation.holds(now.version, wanted)
        case .createRevision(let wanted): return compare.relation.holds(now.createRevision, wanted)
        case .modRevision(let wanted): return compare.relation.holds(now.isLive ? now.modRevision : 0, wanted)
        case .lease(let wanted): return compare.relation.holds(now.lease, wanted)
        }
    }
}

extension Compare.Relation {
    fileprivate func holds(_ left: UInt64, _ right: UInt64) -> Bool {
        switch self {
        case .equal: left == right
        case .notEqual: left != right
        case .less: left < right
        case .greater: left > right
        }
    }
}
