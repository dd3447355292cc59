@testable import ReplicaCore

/// The naive truth: every key with its whole history in plain dictionaries.
struct HistoryModel {
    struct Version: Equatable {
        var revision: UInt64
        /// nil for a deletion.
        var kv: KeyValue?
    }

    private(set) var revision: UInt64 = 0
    private var histories: [Bytes: [Version]] = [:]
    /// Changes of each revision, in order.
    private(set) var events: [[WatchEvent]] = [[]]

    func get(_ key: Bytes, at revision: UInt64) -> KeyValue? {
        histories[key]?.last { $0.revision <= revision }?.kv
    }

    func range(_ query: RangeQuery) -> RangeResult {
        let at = query.revision == 0 ? revision : query.revision
        return range(query, at: at)
    }

    private func range(_ query: RangeQuery, at: UInt64) -> RangeResult {
        var kvs = histories.keys.filter(query.keys.contains).sorted { $0.lexicographicallyPrecedes($1) }
            .compactMap { get($0, at: at) }
        if query.order == .descending { kvs.reverse() }
        if query.countOnly { return RangeResult(revision: revision, kvs: [], more: false, count: UInt64(kvs.count)) }
        if query.keysOnly {
            kvs = kvs.map {
                var kv = $0; kv.value = []; return kv
            }
        }
        let limited = query.limit == 0 ? kvs : Array(kvs.prefix(Int(query.limit)))
        return RangeResult(
            revision: revision, kvs: limited, more: limited.count < kvs.count, count: UInt64(limited.count))
    }

    /// Changes of the keys meant from a revision on.
    func events(from first: UInt64, _ keys: KeySelector, withPrevious: Bool) -> [WatchEvent] {
        guard first <= revision else { return [] }
        return events[Int(first)...].joined().filter { keys.contains($0.kv.key) }.map { event in
            var event = event
            if withPrevious { event.previous = get(event.kv.key, at: event.revision - 1) }
            return event
        }
    }

    mutating func apply(_ transaction: Transaction) -> TransactionResult {
        let succeeded = transaction.compares.allSatisfy(holds)
        let next = revision + 1
        var made: [WatchEvent] = []
        var results: [OperationResult] = []
        for operation in succeeded ? transaction.then : transaction.otherwise {
            switch operation {
            case .put(let key, let value, _):
                let old = get(key, at: next)
                let kv = KeyValue(
                    key: key, value: value, createRevision: old?.createRevision ?? next, modRevision: next,
                    version: (old?.version ?? 0) + 1)
                histories[key, default: []].append(Version(revision: next, kv: kv))
                made.append(WatchEvent(kind: .put, space: .user, kv: kv))
                results.append(.put)
            case .delete(let keys):
                let live = range(RangeQuery(keys), at: next).kvs
                for kv in live {
                    histories[kv.key, default: []].append(Version(revision: next, kv: nil))
                    let gone = KeyValue(key: kv.key, value: [], createRevision: 0, modRevision: next, version: 0)
                    made.append(WatchEvent(kind: .delete, space: .user, kv: gone))
                }
                results.append(.deleted(count: UInt64(live.count)))
            case .range(let query):
                results.append(.range(range(query, at: query.revision == 0 ? next : query.revision)))
            }
        }
        if !made.isEmpty {
            revision = next
            events.append(made)
        }
        results = results.map { result in
            guard case .range(var range) = result else { return result }
            range.revision = revision
            return .range(range)
        }
        return TransactionResult(revision: revision, succeeded: succeeded, results: results)
    }

    private func holds(_ compare: Compare) -> Bool {
        let kv = get(compare.key, at: revision)
        func stands<Value: Comparable>(_ left: Value, _ right: Value) -> Bool {
            switch compare.relation {
            case .equal: left == right
            case .notEqual: left != right
            case .less: left < right
            case .greater: left > right
            }
        }
        switch compare.operand {
        case .value(let wanted): return kv.map { stands(Hex.encode($0.value), Hex.encode(wanted)) } ?? false
        case .version(let wanted): return stands(kv?.version ?? 0, wanted)
        case .createRevision(let wanted): return stands(kv?.createRevision ?? 0, wanted)
        case .modRevision(let wanted): return stands(kv?.modRevision ?? 0, wanted)
        case .lease(let wanted): return stands(kv?.lease ?? 0, wanted)
        }
    }
}

/// Commands over a few keys, so that they meet.
struct KeyTraffic {
    var random: SeededRandom
    /// The revision of the store, so that compares sometimes hold.
    var revision: UInt64 = 0

    mutating func key() -> Bytes {
        let letters: [UInt8] = [0, 1, UInt8(ascii: "a"), UInt8(ascii: "b"), 0xFF]
        return (0...random.below(2)).map { _ in letters[random.below(5)] }[...]
    }

    mutating func selector() -> KeySelector {
        switch random.below(6) {
        case 0: .prefix(key())
        case 1: .range(from: key(), below: key())
        case 2: .from(key())
        case 3: .prefix([])
        default: .key(key())
        }
    }

    mutating func query() -> RangeQuery {
        RangeQuery(
            selector(), limit: random.chance(1, in: 2) ? 0 : UInt64(random.below(6)),
            order: random.chance(1, in: 2) ? .ascending : .descending, keysOnly: random.chance(1, in: 5),
            countOnly: random.chance(1, in: 5))
    }

    mutating func transaction() -> Transaction {
        var compares: [Compare] = []
        for _ in 0..<random.below(3) {
            let around = UInt64(max(0, Int(revision) - random.below(8)))
            let operands: [Compare.Operand] = [
                .value([UInt8(random.below(4))]), .version(UInt64(random.below(4))), .createRevision(around),
                .modRevision(random.chance(1, in: 3) ? 0 : around), .lease(0),
            ]
            let relations: [Compare.Relation] = [.equal, .notEqual, .less, .greater]
            compares.append(Compare(key: key(), relations[random.below(4)], operands[random.below(5)]))
        }
        return Transaction(compares: compares, then: operations(), otherwise: operations())
    }

    private mutating func operations() -> [ReplicaCore.Operation] {
        (0..<random.below(5)).map { _ in
            switch random.below(5) {
            case 0: .delete(random.chance(4, in: 5) ? .key(key()) : selector())
            case 1: .range(query())
            default: .put(key: key(), value: [UInt8(random.below(4))], lease: 0)
            }
        }
    }

    /// A transaction, a plain put, or a plain delete.
    mutating func command() -> Command {
        switch random.below(4) {
        case 0: .put(key: key(), value: random.bytes(random.below(4)), lease: 0)
        case 1: .delete(selector())
        default: .transaction(transaction())
        }
    }
}
