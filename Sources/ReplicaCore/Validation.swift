/// What makes a command wrong whatever the state is. A leader refuses such a command before it proposes it, and apply again.
extension Command {
    /// Why this command can never be applied, if so.
    package var refusal: Refusal? {
        switch self {
        case .put(let key, let value, let lease): return Check.put(key, value, lease)
        case .delete(let keys): return keys.refusal
        case .transaction(let transaction): return transaction.refusal
        case .uploadBegin(let id, let name, let version):
            if id == .zero { return Refusal(.invalidArgument, "an upload ID must not be zero") }
            return Check.name(name) ?? version.flatMap(Check.version)
        case .uploadAdd(_, let first, let ids):
            if ids.isEmpty || ids.count > Limits.uploadAddMax {
                return Refusal(
                    .invalidArgument, "\(ids.count) chunk IDs in one addition; give 1 to \(Limits.uploadAddMax)")
            }
            if first > Limits.uploadChunksMax || first + UInt64(ids.count) > Limits.uploadChunksMax {
                return Refusal(.resourceExhausted, "an upload has at most \(Limits.uploadChunksMax) chunks")
            }
            return nil
        case .publish(let publication):
            if publication.durableOn.count > Limits.membersMax {
                return Refusal(.invalidArgument, "\(publication.durableOn.count) receipts; a cluster is smaller")
            }
            return Check.name(publication.name) ?? publication.version.flatMap(Check.version)
        case .retire(let name, let version): return Check.name(name) ?? Check.version(version)
        case .lineage(let lineage):
            return lineage == .zero ? Refusal(.invalidArgument, "a lineage must not be zero") : nil
        case .raiseFeatures(let version):
            return version > FeatureVersion.first
                ? nil : Refusal(.invalidArgument, "feature version \(version) is what every cluster has")
        case .site(let command): return command.refusal
        case .compact, .openSession, .closeSession, .uploadAbort, .uploadExpire, .complete: return nil
        }
    }
}

extension SiteCommand {
    /// Why this command can never be applied, if so.
    var refusal: Refusal? {
        switch self {
        case .stage(let stage):
            if stage.upload == .zero || stage.number == 0 {
                return Refusal(.invalidArgument, "an upload that is staged has an ID and a number")
            }
            return Check.name(stage.name) ?? Check.version(stage.version)
                ?? Command.uploadAdd(stage.upload, first: stage.first, ids: stage.ids).refusal
        case .apply(let shipment):
            guard shipment.entries.count <= Limits.shipmentEntriesMax, shipment.durableOn.count <= Limits.membersMax
            else { return Refusal(.invalidArgument, "\(shipment.entries.count) revisions in one shipment") }
            return nil
        case .admit(_, let peer), .meet(let peer): return peer.refusal
        case .follow(let follow): return follow.primary.refusal
        case .limit(let caps):
            return caps.bytes > 0 && caps.milliseconds > 0
                ? nil : Refusal(.invalidArgument, "a cap of the feed must not be zero")
        case .pace(let pace): return pace.refusal
        case .seedStep(let step):
            guard step.spans.count <= Limits.seedLeavesMax, step.durableOn.count <= Limits.membersMax else {
                return Refusal(.invalidArgument, "\(step.spans.count) ranges in one step of a seed")
            }
            return nil
        case .enroll, .acknowledge, .freeze, .unfreeze, .grant, .promote, .force, .fence, .rewind, .tick, .dropOrphans,
            .drilled, .holdForSeed, .seed, .seedEnd, .seedClear:
            return nil
        }
    }
}

extension SitePeer {
    fileprivate var refusal: Refusal? {
        let isSound =
            site != .zero && !endpoints.isEmpty && endpoints.count <= Limits.siteEndpointsMax
            && endpoints.allSatisfy { !$0.isEmpty && $0.utf8.count <= Limits.endpointBytesMax }
        return isSound ? nil : Refusal(.invalidArgument, "another site needs a name, and addresses to be reached at")
    }
}

extension KeySelector {
    /// Why these keys can never be meant, if so.
    package var refusal: Refusal? {
        switch self {
        case .key(let key): Check.key(key)
        case .prefix(let bytes), .from(let bytes): Check.bound(bytes)
        case .range(let from, let below): Check.bound(from) ?? Check.bound(below)
        }
    }
}

extension Transaction {
    /// Why this transaction can never be applied, if so.
    package var refusal: Refusal? {
        for count in [compares.count, then.count, otherwise.count] where count > Limits.transactionItemsMax {
            return Refusal(
                .invalidArgument, "\(count) items in one list of a transaction; at most \(Limits.transactionItemsMax)")
        }
        var bytes = 0
        for compare in compares {
            if let refusal = Check.key(compare.key) { return refusal }
            bytes += compare.key.count
            if case .value(let value) = compare.operand { bytes += value.count }
        }
        for list in [then, otherwise] {
            for operation in list {
                if let refusal = operation.refusal { return refusal }
                if case .put(let key, let value, _) = operation { bytes += key.count + value.count }
            }
            if let refusal = Transaction.refusal(ofRepeatedKeysIn: list) { return refusal }
        }
        guard bytes <= Limits.transactionBytesMax else {
            return Refusal(
                .invalidArgument,
                "a transaction of \(bytes) bytes; at most \(Limits.transactionBytesMax): split it")
        }
        return nil
    }

    /// One revision changes a key once: no key put twice, or put and deleted, in one list.
    private static func refusal(ofRepeatedKeysIn list: [Operation]) -> Refusal? {
        guard list.count > 1 else { return nil }
        var puts: [Bytes] = []
        for case .put(let key, _, _) in list { puts.append(key) }
        puts.sort { $0.lexicographicallyPrecedes($1) }
        for (left, right) in zip(puts, puts.dropFirst()) where left == right {
            return Refusal(.invalidArgument, "a key is put twice in one transaction")
        }
        for case .delete(let keys) in list where puts.contains(where: keys.contains) {
            return Refusal(.invalidArgument, "a key is put and deleted in one transaction")
        }
        return nil
    }
}

extension Operation {
    fileprivate var refusal: Refusal? {
        switch self {
        case .put(let key, let value, let lease): Check.put(key, value, lease)
        case .delete(let keys): keys.refusal
        case .range(let query):
            query.space == .system
                ? Refusal(.permissionDenied, "a transaction reads only user keys") : query.keys.refusal
        }
    }
}

/// Single checks.
private enum Check {
    static func key(_ key: Bytes) -> Refusal? {
        guard !key.isEmpty else { return Refusal(.invalidArgument, "the key is empty") }
        return bound(key)
    }

    static func bound(_ bytes: Bytes) -> Refusal? {
        guard bytes.count > Limits.keyBytesMax else { return nil }
        return Refusal(.invalidArgument, "a key of \(bytes.count) bytes; at most \(Limits.keyBytesMax)")
    }

    static func put(_ key: Bytes, _ value: Bytes, _ lease: UInt64) -> Refusal? {
        if let refusal = Check.key(key) { return refusal }
        if value.count > Limits.valueBytesMax {
            return Refusal(
                .invalidArgument,
                "a value of \(value.count) bytes; at most \(Limits.valueBytesMax): push larger data as a model")
        }
        return lease == 0 ? nil : Refusal(.invalidArgument, "lease \(lease) is unknown: leases do not exist yet")
    }

    static func name(_ name: String) -> Refusal? {
        ModelName.isValid(name)
            ? nil
            : Refusal(
                .invalidArgument,
                "'\(name)' is not a model name: use NAME or ORG/NAME of letters, digits, '.', '_', '-', "
                    + "at most \(Limits.nameBytesMax) bytes")
    }

    static func version(_ version: String) -> Refusal? {
        ModelName.isValidVersion(version)
            ? nil
            : Refusal(
                .invalidArgument,
                "'\(version)' is not a version: use letters, digits, '.', '_', '-', "
                    + "at most \(Limits.versionBytesMax) bytes")
    }
}
