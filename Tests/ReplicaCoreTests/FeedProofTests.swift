import Testing

@testable import ReplicaCore

@Suite struct FeedProofTests {
    private func written(_ revisions: Int) throws -> TestReplica {
        var replica = try TestReplica()
        for number in 0..<revisions {
            if number % 5 == 4 {
                try replica.run(.delete(.prefix("key-1".asBytes)))
                continue
            }
            _ = try replica.put("key-\(number % 3)", "value \(number)")
        }
        return replica
    }

    /// The revision whose rows do not hold, looked at in pages of one revision at least.
    private func wrong(_ replica: TestReplica) throws -> UInt64? {
        var next = FeedProof.first(floor: replica.point.feedFloor)
        while next <= replica.point.revision {
            let page = try FeedProof.check(
                next...replica.point.revision, bytesMax: 64, hash: QuickHash.self, rows: replica.rows)
            if let wrong = page.wrong { return wrong }
            #expect(page.next > next)
            next = page.next
        }
        return nil
    }

    /// Changes the value in the row of a key at a revision.
    private func bend(_ replica: inout TestReplica, _ key: String, at revision: UInt64) throws {
        var row = RowKey.versions(of: key.asBytes, in: .user)
        RowKey.append(revision: revision, to: &row)
        var value = try #require(try replica.rows.get(row))
        value[value.count - 1] ^= 1
        var batch = WriteBatch()
        batch.put(row, value)
        try replica.rows.write(batch)
    }

    @Test func `rows as they were written give the feed's hashes, also above a floor`() throws {
        var replica = try written(40)
        #expect(try wrong(replica) == nil)
        try replica.run(.compact(revision: 17))
        try replica.sweep()
        #expect(replica.point.feedFloor == 17)
        #expect(try wrong(replica) == nil)
    }

    @Test func `a value that was changed at rest is found at its revision, and so is a row that is gone`() throws {
        var replica = try written(40)
        try bend(&replica, "key-0", at: 31)
        #expect(try wrong(replica) == 31)
        replica = try written(40)
        var batch = WriteBatch()
        var row = RowKey.versions(of: "key-0".asBytes, in: .user)
        RowKey.append(revision: 31, to: &row)
        batch.delete(row)
        try replica.rows.write(batch)
        #expect(try wrong(replica) == 31)
    }
}
