@testable import ReplicaCore

/// Random values of everything that has a binary form.
extension SeededRandom {
    mutating func text() -> String { ["", "a", "größe", "org/model-1.2", "x\u{1F600}y"][below(5)] }
    mutating func number() -> UInt64 { next() >> UInt64(below(64)) }
    mutating func some<Value>(_ make: (inout SeededRandom) -> Value, upTo bound: Int = 4) -> [Value] {
        (0..<below(bound)).map { _ in make(&self) }
    }

    mutating func selector() -> KeySelector {
        switch below(4) {
        case 0: .key(bytes(below(9)))
        case 1: .prefix(bytes(below(9)))
        case 2: .range(from: bytes(below(9)), below: bytes(below(9)))
        default: .from(bytes(below(9)))
        }
    }

    mutating func query() -> RangeQuery {
        RangeQuery(
            selector(), space: chance(1, in: 2) ? .user : .system, revision: number(), limit: number(),
            order: chance(1, in: 2) ? .ascending : .descending, keysOnly: chance(1, in: 2), countOnly: chance(1, in: 2))
    }

    mutating func compare() -> Compare {
        let operands: [Compare.Operand] = [
            .value(bytes(3)), .version(number()), .createRevision(number()), .modRevision(number()), .lease(number()),
        ]
        let relations: [Compare.Relation] = [.equal, .notEqual, .less, .greater]
        return Compare(key: bytes(below(5)), relations[below(4)], operands[below(5)])
    }

    mutating func operation() -> Operation {
        switch below(3) {
        case 0: .put(key: bytes(below(5)), value: bytes(below(40)), lease: number())
        case 1: .delete(selector())
        default: .range(query())
        }
    }

    mutating func transaction() -> Transaction {
        Transaction(
            compares: some { $0.compare() }, then: some { $0.operation() }, otherwise: some { $0.operation() })
    }

    mutating func publication() -> Publication {
        Publication(
            upload: identifier(), name: text(), version: chance(1, in: 2) ? text() : nil, root: digest(),
            bytes: number(),
            chunks: number(), files: number(),
            durableOn: some { Publication.Receipt(node: $0.number(), incarnation: $0.identifier()) })
    }

    mutating func command() -> Command {
        switch below(17) {
        case 0: .put(key: bytes(below(9)), value: bytes(below(300)), lease: number())
        case 1: .delete(selector())
        case 2: .transaction(transaction())
        case 3: .compact(revision: number())
        case 4: .openSession
        case 5: .closeSession
        case 6: .lineage(identifier())
        case 7: .uploadBegin(identifier(), name: text(), version: chance(1, in: 2) ? text() : nil)
        case 8: .uploadAdd(identifier(), first: number(), ids: some { $0.digest() })
        case 9: .uploadAbort(identifier())
        case 10: .uploadExpire(before: number())
        case 11: .publish(publication())
        case 12: .retire(name: text(), version: text())
        case 14, 15: .site(siteCommand())
        case 13: .raiseFeatures(to: UInt32(truncatingIfNeeded: number()))
        default:
            .complete(
                node: number(), incarnation: identifier(), through: number(),
                rewound: chance(1, in: 2) ? 0 : number())
        }
    }

    mutating func envelope() -> Envelope {
        Envelope(
            session: number(), sequence: number(), lowestUnanswered: number(), time: number(), command: command())
    }

    mutating func keyValue() -> KeyValue {
        KeyValue(
            key: bytes(below(9)), value: bytes(below(20)), createRevision: number(), modRevision: number(),
            version: number(), lease: number())
    }

    mutating func rangeResult() -> RangeResult {
        RangeResult(revision: number(), kvs: some { $0.keyValue() }, more: chance(1, in: 2), count: number())
    }

    mutating func watchEvent() -> WatchEvent {
        WatchEvent(
            kind: chance(1, in: 2) ? .put : .delete, space: chance(1, in: 2) ? .user : .system, kv: keyValue(),
            previous: chance(1, in: 2) ? keyValue() : nil)
    }

    mutating func model() -> ModelVersion {
        ModelVersion(
            name: text(), version: text(),
            record: ModelRecord(
                root: digest(), bytes: number(), chunks: number(), files: number(), upload: identifier(),
                uploadNumber: number(), time: number(), isRetired: chance(1, in: 2)),
            publishedRevision: number(), modRevision: number())
    }

    mutating func upload() -> UploadInfo {
        UploadInfo(
            id: identifier(), number: number(), name: text(), version: chance(1, in: 2) ? text() : nil, begun: number(),
            lastActive: number(), count: number(), prefix: number())
    }

    mutating func outcome() -> Outcome {
        switch below(7) {
        case 0: return .done(revision: number())
        case 1: return .deleted(revision: number(), count: number())
        case 2:
            let results = some { random -> OperationResult in
                switch random.below(3) {
                case 0: .put
                case 1: .deleted(count: random.number())
                default: .range(random.rangeResult())
                }
            }
            return .transaction(
                TransactionResult(
                    revision: number(), succeeded: chance(1, in: 2), results: results, resultsDropped: chance(1, in: 2))
            )
        case 3: return .upload(upload())
        case 4: return .uploadsClosed(count: number())
        case 5: return .model(model())
        default:
            let code = ErrorCode.allCases[below(ErrorCode.allCases.count)]
            return .refused(Refusal(code, text(), earliestRevision: number()))
        }
    }

    mutating func members() -> Members {
        Members(
            voters: some { $0.number() }, outgoingVoters: some { $0.number() }, learners: some { $0.number() },
            nextLearners: some { $0.number() }, leavesAutomatically: chance(1, in: 2))
    }
}
