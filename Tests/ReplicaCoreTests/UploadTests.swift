import Testing

@testable import ReplicaCore

@Suite struct UploadTests {
    private let id = UploadID(1, 1)
    private func chunks(_ range: ClosedRange<UInt64>) -> [ChunkID] { range.map { ChunkID(0, 0, 0, $0) } }

    private func publication(
        _ upload: UploadID,
        _ name: String = "m",
        version: String? = nil,
        root: UInt64 = 0,
        chunks: UInt64 = 3,
        on nodes: [UInt64] = [1, 2]
    ) -> Command {
        .publish(
            Publication(
                upload: upload, name: name, version: version, root: ChunkID(0, 0, 0, root), bytes: 10,
                chunks: chunks, files: 1,
                durableOn: nodes.map { .init(node: $0, incarnation: .zero) }))
    }

    /// Begins an upload, adds chunks 0...2 and publishes it.
    @discardableResult
    private func push(
        _ replica: inout TestReplica,
        _ upload: UInt64,
        _ name: String = "m",
        version: String? = nil,
        root: UInt64 = 0
    ) throws -> Outcome {
        let id = UploadID(9, upload)
        _ = try replica.run(.uploadBegin(id, name: name, version: version))
        _ = try replica.run(.uploadAdd(id, first: 0, ids: chunks(0...2)))
        return try replica.run(publication(id, name, version: version, root: root))
    }

    private func pinned(_ replica: TestReplica) throws -> [UInt64] {
        let all = try Pins.pinned(from: .zero, limit: 1_000, at: replica.point, rows: replica.rows)
        for chunk in UInt64(0)..<20 {
            let isPinned = try Pins.isPinned(ChunkID(0, 0, 0, chunk), at: replica.point, rows: replica.rows)
            #expect(isPinned == all.contains(ChunkID(0, 0, 0, chunk)))
        }
        var paged: [ChunkID] = []
        var next: ChunkID? = .zero
        while let from = next {
            let page = try Pins.pinned(from: from, limit: 2, at: replica.point, rows: replica.rows)
            paged += page.filter { $0 != paged.last }
            next = page.count == 2 ? page.last.map { Digest($0.word0, $0.word1, $0.word2, $0.word3 + 1) } : nil
        }
        #expect(paged == all)
        return all.map(\.word3)
    }

    @Test func `an upload names chunks once, whatever is repeated or overlaps`() throws {
        var replica = try TestReplica()
        #expect(try replica.run(.uploadBegin(id, name: "m", version: nil)).upload?.count == 0)
        #expect(try replica.run(.uploadBegin(id, name: "m", version: nil)).upload?.number == 1)
        #expect(try replica.run(.uploadAdd(id, first: 2, ids: chunks(2...3))).upload?.prefix == 0)
        #expect(try replica.run(.uploadAdd(id, first: 0, ids: chunks(0...5))).upload?.prefix == 6)
        let added = replica.output.uploads
        #expect(added == [.added(id, first: 0, ids: chunks(0...1)), .added(id, first: 4, ids: chunks(4...5))])
        #expect(try replica.run(.uploadAdd(id, first: 1, ids: chunks(1...4))).upload?.count == 6)
        #expect(replica.output.uploads.isEmpty)
        let listed = try ModelReader.chunks(of: id, number: 1, from: 1, limit: 4, rows: replica.rows)
        #expect(listed.map(\.ordinal) == [1, 2, 3, 4] && listed.map(\.id.word3) == [1, 2, 3, 4])
        #expect(try pinned(replica) == [0, 1, 2, 3, 4, 5])
        try replica.restart()
        #expect(try ModelReader.upload(id, rows: replica.rows) == replica.applier.uploads.first?.info)
        #expect(try ModelReader.uploads(rows: replica.rows).count == 1)
    }

    @Test func `another chunk at a named ordinal is refused and adds nothing`() throws {
        var replica = try TestReplica()
        _ = try replica.run(.uploadBegin(id, name: "m", version: nil))
        _ = try replica.run(.uploadAdd(id, first: 0, ids: chunks(0...3)))
        let rows = replica.rows.rows.filter { $0.key.first != UInt8(ascii: "m") }
        let refused = try replica.run(.uploadAdd(id, first: 2, ids: chunks(2...2) + chunks(9...9) + chunks(4...4)))
        #expect(refused.refusal?.code == .alreadyExists)
        #expect(refused.refusal?.message.contains("ordinal 3") == true)
        #expect(replica.rows.rows.filter { $0.key.first != UInt8(ascii: "m") } == rows)
    }

    @Test func `additions that overlap in one group see each other`() throws {
        var replica = try TestReplica()
        let envelopes = [
            Command.uploadBegin(id, name: "m", version: nil), .uploadAdd(id, first: 0, ids: chunks(0...3)),
            .uploadAdd(id, first: 3, ids: chunks(8...9)), .uploadAdd(id, first: 3, ids: chunks(3...4)),
            publication(id, root: 4, chunks: 5), .uploadAdd(id, first: 5, ids: chunks(5...5)),
            publication(id, root: 4, chunks: 5),
        ].map { Envelope(time: 1, command: $0) }
        let outcomes = try replica.apply(envelopes)
        #expect(outcomes.map(\.refusal?.code) == [nil, nil, .alreadyExists, nil, nil, .preconditionFailed, nil])
        #expect(outcomes[4] == outcomes[6] && outcomes[4].model?.version == "1")
    }

    @Test func `wrong additions are refused`() throws {
        var replica = try TestReplica()
        let one = chunks(1...1)
        #expect(try replica.run(.uploadAdd(id, first: 0, ids: one)).refusal?.code == .notFound)
        _ = try replica.run(.uploadBegin(id, name: "m", version: nil))
        #expect(try replica.run(.uploadAdd(id, first: 0, ids: [])).refusal?.code == .invalidArgument)
        #expect(try replica.run(.uploadAdd(id, first: .max, ids: one)).refusal?.code == .resourceExhausted)
        let many = [ChunkID](repeating: one[0], count: Limits.uploadAddMax + 1)
        #expect(try replica.run(.uploadAdd(id, first: 0, ids: many)).refusal?.code == .invalidArgument)
        for gap in 0..<UInt64(Limits.uploadRangesMax) { _ = try replica.run(.uploadAdd(id, first: gap * 2, ids: one)) }
        let gap = try replica.run(.uploadAdd(id, first: UInt64(Limits.uploadRangesMax) * 2, ids: one))
        #expect(gap.refusal?.code == .resourceExhausted)
        #expect(try replica.run(.uploadBegin(id, name: "n", version: nil)).refusal?.code == .alreadyExists)
        #expect(try replica.run(.uploadBegin(.zero, name: "m", version: nil)).refusal?.code == .invalidArgument)
        for name in ["", "-m", "a/b/c", "a//b", "a b", "ä", String(repeating: "x", count: 97)] {
            let refused = try replica.run(.uploadBegin(UploadID(3, 3), name: name, version: nil))
            #expect(refused.refusal?.code == .invalidArgument, "\(name)")
        }
        for version in ["", ".1", "a/b", String(repeating: "1", count: 65)] {
            let refused = try replica.run(.uploadBegin(UploadID(3, 3), name: "m", version: version))
            #expect(refused.refusal?.code == .invalidArgument, "\(version)")
        }
    }

    @Test func `open uploads have a bound`() throws {
        var replica = try TestReplica()
        for number in 0..<UInt64(Limits.openUploadsMax) {
            _ = try replica.run(.uploadBegin(UploadID(5, number), name: "m", version: nil))
        }
        #expect(try replica.run(.uploadBegin(id, name: "m", version: nil)).refusal?.code == .resourceExhausted)
    }

    @Test func `an aborted or idle upload pins nothing, and its rows are swept`() throws {
        var replica = try TestReplica()
        _ = try replica.run(.uploadBegin(id, name: "m", version: nil))
        _ = try replica.run(.uploadAdd(id, first: 0, ids: chunks(0...2)))
        replica.time = 2_000
        _ = try replica.run(.uploadBegin(UploadID(2, 2), name: "m", version: nil))
        _ = try replica.run(.uploadAdd(UploadID(2, 2), first: 0, ids: chunks(2...4)))
        #expect(try replica.run(.uploadExpire(before: 1_000)) == .uploadsClosed(count: 0))
        #expect(try replica.run(.uploadExpire(before: 1_001)) == .uploadsClosed(count: 1))
        #expect(replica.output.uploads == [.closed(id)])
        #expect(try pinned(replica) == [2, 3, 4])
        #expect(try replica.run(.uploadAdd(id, first: 3, ids: chunks(3...3))).refusal?.code == .notFound)
        #expect(try replica.run(.uploadAbort(id)).refusal?.code == .notFound)
        #expect(try replica.run(.uploadAbort(UploadID(2, 2))) == .uploadsClosed(count: 1))
        #expect(try pinned(replica) == [])
        // The same ID again, before and after a sweep on other nodes, is another upload.
        _ = try replica.run(.uploadBegin(id, name: "m", version: nil))
        #expect(try replica.run(.uploadAdd(id, first: 0, ids: chunks(7...7))).upload?.count == 1)
        #expect(try pinned(replica) == [7])
        try replica.sweep()
        #expect(try pinned(replica) == [7])
        #expect(replica.rows.rows.count { $0.key.first == UInt8(ascii: "c") } == 1)
        #expect(replica.rows.rows.count { $0.key.first == UInt8(ascii: "U") } == 1)
    }

    @Test func `a publish without a quorum of the active configuration is refused and may be repeated`() throws {
        var replica = try TestReplica()
        _ = try replica.run(.uploadBegin(id, name: "m", version: nil))
        _ = try replica.run(.uploadAdd(id, first: 0, ids: chunks(0...2)))
        for nodes in [[], [1], [1, 1, 1], [4, 5, 6]] as [[UInt64]] {
            #expect(try replica.run(publication(id, on: nodes)).refusal?.code == .unavailable, "\(nodes)")
        }
        #expect(
            try replica.configure(
                MembershipChange(
                    [.init(.remove, 1), .init(.remove, 2), .init(.addVoter, 4), .init(.addVoter, 5)],
                    entersJoint: true, addresses: replica.addresses([4, 5]))) == nil)
        #expect(replica.applier.members == Members(voters: [3, 4, 5], outgoingVoters: [1, 2, 3]))
        for nodes in [[1, 2], [1, 2, 6], [3, 4, 5], [1, 2, 4]] as [[UInt64]] {
            #expect(try replica.run(publication(id, on: nodes)).refusal?.code == .unavailable, "\(nodes)")
        }
        #expect(replica.applier.state.revision == 0)
        #expect(try replica.run(publication(id, on: [1, 3, 4])).model?.publishedRevision == 1)
        #expect(!Members(voters: []).isQuorum([1, 2]))
    }

    @Test func `a publish that does not fit its upload is refused`() throws {
        var replica = try TestReplica()
        #expect(try replica.run(publication(id)).refusal?.code == .notFound)
        _ = try replica.run(.uploadBegin(id, name: "m", version: "1"))
        #expect(try replica.run(publication(id)).refusal?.code == .preconditionFailed)
        _ = try replica.run(.uploadAdd(id, first: 1, ids: chunks(1...2)))
        #expect(try replica.run(publication(id, root: 1)).refusal?.code == .preconditionFailed)
        _ = try replica.run(.uploadAdd(id, first: 0, ids: chunks(0...0)))
        #expect(try replica.run(publication(id, root: 5)).refusal?.code == .preconditionFailed)
        #expect(try replica.run(publication(id, "n")).refusal?.code == .preconditionFailed)
        #expect(try replica.run(publication(id, version: "2")).refusal?.code == .preconditionFailed)
        // A chunk that was added after the receipts were gathered is one that nobody vouched for.
        #expect(try replica.run(publication(id, chunks: 2)).refusal?.code == .preconditionFailed)
        #expect(try replica.run(publication(id, "bad name")).refusal?.code == .invalidArgument)
        #expect(try replica.run(publication(id)).model?.version == "1")
        #expect(try replica.run(publication(id)).model?.version == "1")
        #expect(try replica.run(publication(id, root: 1)).refusal?.code == .alreadyExists)
        #expect(try replica.run(.uploadAdd(id, first: 3, ids: chunks(3...3))).refusal?.code == .preconditionFailed)
        #expect(try replica.run(.uploadAbort(id)).refusal?.code == .preconditionFailed)
        #expect(try replica.run(.uploadBegin(id, name: "m", version: "1")).refusal?.code == .alreadyExists)
    }

    @Test func `versions count up from the highest ever published`() throws {
        var replica = try TestReplica()
        #expect(try push(&replica, 1).model?.version == "1")
        #expect(try push(&replica, 2, version: "9").model?.version == "9")
        #expect(try push(&replica, 3).model?.version == "10")
        #expect(try push(&replica, 4, version: "v99").model?.version == "v99")
        _ = try replica.run(.retire(name: "m", version: "10"))
        #expect(try push(&replica, 5).model?.version == "11")
        #expect(try push(&replica, 6, "org/m").model?.version == "1")
        #expect(try push(&replica, 7, "m/m").model?.version == "1")
        #expect(try push(&replica, 8, version: "999999999999999999").model != nil)
        #expect(try push(&replica, 9).refusal?.code == .resourceExhausted)
        #expect(
            try ModelReader.versions(of: "m", at: replica.point, rows: replica.rows).map(\.version) == [
                "v99", "1", "9", "10", "11", "999999999999999999",
            ])
        #expect(
            try ModelReader.list(at: replica.point, rows: replica.rows).map(\.name) == [
                "m", "m", "m", "m", "m", "m", "m/m", "org/m",
            ])
    }

    @Test func `the same content again is the same version, and other content is refused`() throws {
        var replica = try TestReplica()
        let first = try push(&replica, 1, version: "1")
        #expect(try push(&replica, 2, version: "1") == first)
        #expect(replica.output.models.isEmpty && replica.output.uploads == [.closed(UploadID(9, 2))])
        #expect(try replica.run(publication(UploadID(9, 2), version: "1")) == first)
        #expect(try push(&replica, 3, version: "1", root: 1).refusal?.code == .alreadyExists)
        #expect(replica.applier.state.revision == 1)
        _ = try replica.run(.retire(name: "m", version: "1"))
        #expect(try push(&replica, 4, version: "1").refusal?.code == .alreadyExists)
    }

    @Test func `resolving without a version finds the highest that is not retired`() throws {
        var replica = try TestReplica()
        func resolve(_ version: String? = nil) throws -> String? {
            try ModelReader.resolve(name: "m", version: version, at: replica.point, rows: replica.rows)?.version
        }
        #expect(try resolve() == nil)
        for (number, version) in ["v1.9", "v1.10", "2", "10"].enumerated() {
            try push(&replica, UInt64(number), version: version)
        }
        for expected in ["10", "2", "v1.10", "v1.9"] {
            #expect(try resolve() == expected)
            #expect(try replica.run(.retire(name: "m", version: expected)).model?.record.isRetired == true)
            #expect(try resolve(expected) == expected)
        }
        #expect(try resolve() == nil)
        #expect(try resolve("3") == nil)
        #expect(try replica.run(.retire(name: "m", version: "3")).refusal?.code == .notFound)
        let revision = replica.applier.state.revision
        #expect(try replica.run(.retire(name: "m", version: "2")).model?.record.isRetired == true)
        #expect(replica.applier.state.revision == revision)
    }

    @Test func `a retired version pins its chunks until the feed floor reaches the retiring`() throws {
        var replica = try TestReplica()
        try push(&replica, 1)
        try push(&replica, 2, version: "1")
        try replica.sweep()
        #expect(try pinned(replica) == [0, 1, 2])
        // The second upload of the same content kept no list.
        #expect(replica.rows.rows.count { $0.key.first == UInt8(ascii: "U") } == 1)
        _ = try replica.run(.retire(name: "m", version: "1"))
        _ = try replica.run(.compact(revision: 1))
        try replica.sweep()
        #expect(try pinned(replica) == [0, 1, 2])
        _ = try replica.run(.compact(revision: 2))
        #expect(try pinned(replica) == [])
        try replica.sweep()
        #expect(replica.rows.rows.count { $0.key.first == UInt8(ascii: "c") } == 0)
        #expect(replica.rows.rows.count { $0.key.first == UInt8(ascii: "U") } == 0)
        #expect(try push(&replica, 3).model?.version == "2")
    }

    @Test func `publishing and retiring are watched in the system keyspace and unseen in the user's`() throws {
        var replica = try TestReplica()
        try push(&replica, 1)
        #expect(replica.output.events.map(\.space) == [.system])
        let live = try #require(replica.output.events.first)
        #expect(ModelVersion(live.kv)?.version == "1")
        _ = try replica.run(.retire(name: "m", version: "1"))
        func events(_ space: Keyspace) throws -> [WatchEvent] {
            try FeedReader.events(from: 1, keys: .prefix([]), space: space, at: replica.point, rows: replica.rows)
                .events
        }
        #expect(try events(.system).compactMap { ModelVersion($0.kv)?.record.isRetired } == [false, true])
        #expect(try events(.system).first == live)
        #expect(try events(.user).isEmpty)
        #expect(try replica.range(RangeQuery(.prefix([]))).kvs.isEmpty)
        #expect(try replica.run(.delete(.prefix([]))) == .deleted(revision: 2, count: 0))
        #expect(try replica.range(RangeQuery(.prefix([]), space: .system)).count == 1)
    }

    @Test func `versions sort naturally, and whole numbers above all others`() {
        let ordered = ["1.9", "1.10", "01", "a", "v1", "v01", "v2", "v10", "v10a", "0", "2", "10"]
        for (place, left) in ordered.enumerated() {
            for (other, right) in ordered.enumerated() where place != other {
                let known = Set(["1.9", "01"]) != Set([left, right]) && Set(["1.10", "01"]) != Set([left, right])
                if known, Set(["v1", "v01"]) != Set([left, right]) {
                    #expect(ModelName.precedes(left, right) == (place < other), "\(left) \(right)")
                }
                #expect(ModelName.precedes(left, right) != ModelName.precedes(right, left))
            }
        }
        for version in ["0", "1", "10", "999999999999999999", "v1", "007", "1.0", "a-b_c"] {
            #expect(
                ModelName.decode(ModelName.key("org/m", version)).map { "\($0.name)@\($0.version)" }
                    == "org/m@\(version)")
        }
    }
}
