import Testing

@testable import ReplicaCore

@Suite struct RefusalTests {
    private func bytes(_ count: Int) -> Bytes { [UInt8](repeating: 1, count: count)[...] }

    private func put(_ key: String, _ value: String = "") -> ReplicaCore.Operation {
        .put(key: key.asBytes, value: value.asBytes, lease: 0)
    }

    private func then(_ operations: [ReplicaCore.Operation]) -> Command {
        .transaction(Transaction(compares: [], then: operations))
    }

    @Test func `keys and values have bounds`() throws {
        var replica = try TestReplica()
        let most = Command.put(key: bytes(Limits.keyBytesMax), value: bytes(Limits.valueBytesMax), lease: 0)
        #expect(try replica.run(most) == .done(revision: 1))
        let refused: [Command] = [
            .put(key: [], value: [], lease: 0),
            .put(key: bytes(Limits.keyBytesMax + 1), value: [], lease: 0),
            .put(key: [1], value: bytes(Limits.valueBytesMax + 1), lease: 0),
            .put(key: [1], value: [], lease: 1),
            .delete(.key([])),
            .delete(.prefix(bytes(Limits.keyBytesMax + 1))),
            .delete(.range(from: [], below: bytes(Limits.keyBytesMax + 1))),
            .delete(.from(bytes(Limits.keyBytesMax + 1))),
            .transaction(Transaction(compares: [Compare(key: [], .equal, .version(0))], then: [])),
        ]
        for command in refused { #expect(try replica.run(command).refusal?.code == .invalidArgument) }
        #expect(replica.applier.state.revision == 1)
    }

    @Test func `a transaction has bounds`() throws {
        var replica = try TestReplica()
        let half = bytes(Limits.transactionBytesMax / 2)
        let large = then([.put(key: [1], value: half, lease: 0), .put(key: [2], value: half, lease: 0)])
        #expect(try replica.run(large).refusal?.code == .invalidArgument)
        let many = (0...Limits.transactionItemsMax).map { put("\($0)") }
        #expect(try replica.run(then(many)).refusal?.code == .invalidArgument)
        #expect(try replica.run(then(many.dropLast())).transaction?.results.count == Limits.transactionItemsMax)
        let system = then([.range(RangeQuery(.prefix([]), space: .system))])
        #expect(try replica.run(system).refusal?.code == .permissionDenied)
    }

    @Test func `one transaction changes a key once`() throws {
        var replica = try TestReplica()
        for operations in [
            [put("a"), put("b"), put("a")], [put("a"), .delete(.key("a".asBytes))],
            [.delete(.prefix("a".asBytes)), put("ab")], [put("a"), .delete(.from("A".asBytes))],
        ] as [[ReplicaCore.Operation]] {
            #expect(try replica.run(then(operations)).refusal?.code == .invalidArgument)
        }
        let both = Transaction(compares: [], then: [put("a")], otherwise: [put("a")])
        #expect(try replica.run(.transaction(both)).transaction?.revision == 1)
    }

    @Test func `a transaction that reads what is gone or not yet made changes nothing`() throws {
        var replica = try TestReplica()
        for value in ["1", "2", "3"] { _ = try replica.put("a", value) }
        _ = try replica.run(.compact(revision: 3))
        func reading(_ revision: UInt64) -> Command {
            then([put("b"), .range(RangeQuery(.key("a".asBytes), revision: revision))])
        }
        let gone = try replica.run(reading(2)).refusal
        #expect(gone?.code == .compacted && gone?.earliestRevision == 3)
        #expect(try replica.run(reading(4)).refusal?.code == .invalidArgument)
        #expect(try replica.get("b") == nil)
        #expect(try replica.run(reading(3)).transaction?.revision == 4)
    }

    @Test func `a transaction that changes nothing makes no revision`() throws {
        var replica = try TestReplica()
        _ = try replica.put("a", "1")
        let reads = then([.range(RangeQuery(.prefix([]))), .delete(.key("b".asBytes))])
        let result = try #require(try replica.run(reads).transaction)
        #expect(result.revision == 1 && replica.output.chain.isEmpty && replica.output.events.isEmpty)
        #expect(result.results.last == .deleted(count: 0))
        guard case .range(let range)? = result.results.first else {
            Issue.record("no range")
            return
        }
        #expect(range.revision == 1 && range.kvs.count == 1)
    }

    @Test func `putting only if absent or unchanged`() throws {
        var replica = try TestReplica()
        func putIf(_ revision: UInt64) -> Command {
            .transaction(
                Transaction(
                    compares: [Compare(key: "a".asBytes, .equal, .modRevision(revision))], then: [put("a", "x")]))
        }
        #expect(try replica.run(putIf(0)).transaction?.succeeded == true)
        #expect(try replica.run(putIf(0)).transaction?.succeeded == false)
        #expect(try replica.run(putIf(1)).transaction?.succeeded == true)
        #expect(try replica.run(putIf(1)).transaction?.succeeded == false)
        _ = try replica.run(.delete(.key("a".asBytes)))
        #expect(try replica.run(putIf(0)).transaction?.succeeded == true)
        #expect(try replica.get("a")?.createRevision == 4)
    }

    @Test func `compacting the future, nothing or the past is refused`() throws {
        var replica = try TestReplica()
        for value in ["1", "2", "3"] { _ = try replica.put("a", value) }
        #expect(try replica.run(.compact(revision: 4)).refusal?.code == .invalidArgument)
        #expect(try replica.run(.compact(revision: 0)).refusal?.code == .invalidArgument)
        #expect(try replica.run(.compact(revision: 2)) == .done(revision: 3))
        #expect(replica.output.compacted == 2)
        for revision in [UInt64(1), 2] {
            let refusal = try replica.run(.compact(revision: revision)).refusal
            #expect(refusal?.code == .compacted && refusal?.earliestRevision == 2)
        }
        try replica.restart()
        #expect(replica.point.compactRevision == 2 && replica.point.feedFloor == 2)
    }

    @Test func `what a transaction reads is bounded`() throws {
        var replica = try TestReplica()
        for key in ["a", "b", "c"] {
            _ = try replica.run(.put(key: key.asBytes, value: bytes(Limits.valueBytesMax), lease: 0))
        }
        let all = ReplicaCore.Operation.range(RangeQuery(.prefix([])))
        let results = try #require(try replica.run(then([all, all])).transaction?.results)
        let shapes = results.map { result -> [Int] in
            guard case .range(let range) = result else { return [] }
            return [range.kvs.count, range.more ? 1 : 0]
        }
        #expect(shapes == [[1, 1], [1, 1]])
    }

    @Test func `every error code has the name and the number of the reference`() {
        #expect(
            ErrorCode.allCases.map(\.rawValue) == [
                "invalidArgument", "notFound", "alreadyExists", "preconditionFailed", "unauthenticated",
                "permissionDenied", "notLeader", "unavailable", "overloaded", "deadlineExceeded", "outcomeUnknown",
                "sessionExpired", "compacted", "resourceExhausted", "fenced", "reseedRequired", "corrupted",
                "incompatible",
            ])
        #expect(ErrorCode.allCases.map(\.tag) == Array(1...18))
        #expect(ErrorCode(tag: 0) == nil && ErrorCode(tag: 19) == nil)
    }
}
