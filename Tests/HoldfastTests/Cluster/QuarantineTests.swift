import Foundation
import Logging
import ReplicaCore
import Storage
import Testing

@testable import Holdfast

/// Changes the rows of a stopped member behind its back, as a defect of the state machine would.
private func changeRows(
    of id: UInt64, in cluster: TestCluster, _ change: (RowStore, inout WriteBatch) throws -> Void
) throws {
    let directory = try DataDirectory.open(at: cluster.directory(id))
    var options = RowStoreOptions()
    options.createsIfMissing = false
    let rows = try RowStore(path: directory.layout.rows, options: options)
    var batch = WriteBatch()
    try change(rows, &batch)
    try rows.write(batch)
    try rows.flush()
}

/// Another history under the same revision.
private func falsifyHistory(_ rows: RowStore, _ batch: inout WriteBatch) throws {
    var state = try AppliedState(loading: rows)
    state.feedHash = Digest(1, 2, 3, 4)
    batch.put([UInt8(ascii: "m"), 1], state.encoded())
}

extension ClusterTests {
    @Suite struct QuarantineTests {
        private func isQuarantined(_ id: UInt64, _ cluster: TestCluster) async throws -> Bool {
            try await cluster.statuses().first { $0.id == id }?.quarantined ?? false
        }

        @Test func aFollowerThatDiffersFromAQuorumIsTakenOutAndTheOthersGoOn() async throws {
            try await withCluster { cluster in
                let client = try await cluster.client()
                for number in 1...10 { try await client.put(Key("k\(number)"), "v") }
                try await cluster.agree()
                let odd = try await cluster.follower()
                try await cluster.stop(odd)
                try changeRows(of: odd, in: cluster, falsifyHistory)
                try await cluster.start(odd)
                try await eventually("node \(odd) is quarantined") { try await isQuarantined(odd, cluster) }

                // It serves nothing, in no consistency, and says what to do.
                let own = try await cluster.client([odd], timeoutMilliseconds: 2_000)
                let stale = await refusal { _ = try await own.get("k1", consistency: .stale) }
                #expect(stale?.code == .unavailable)
                #expect(stale?.message.contains("holdfast cluster rebuild \(odd)") == true, "\(stale?.message ?? "")")
                #expect(await refusal { _ = try await own.list(.prefix("")) } != nil)
                // A watch goes on at another node.
                let both = try await cluster.client([odd, try await cluster.leader()])
                var seen = 0
                for try await _ in both.watch(.prefix(""), from: 1) {
                    seen += 1
                    if seen == 10 { break }
                }
                let status = try #require(try await cluster.statuses().first { $0.id == odd })
                #expect(!status.complete)
                #expect(try await cluster.store(odd).metrics().contains("holdfast_quarantined 1"))

                // It still votes and appends: with one more node down, its word makes the quorum.
                let leader = try await cluster.leader()
                let third = try #require(cluster.running.first { $0 != leader && $0 != odd })
                try await cluster.stop(third)
                try await client.put("k1", "with its vote")
                #expect(try await client.text("k1") == "with its vote")
                try await cluster.start(third)

                // It stays so over a restart, and nobody else is touched.
                try await cluster.stop(odd)
                try await cluster.start(odd)
                try await client.put("k2", "after")
                #expect(try await isQuarantined(odd, cluster))
                for id in cluster.running where id != odd { #expect(try await !isQuarantined(id, cluster)) }

                // One command, at any node, brings it back while writes go on.
                let writes = Task {
                    for number in 0..<200 { try await client.put(Key("w\(number)"), "v") }
                }
                try await client.rebuild(odd)
                try await writes.value
                #expect(try await !isQuarantined(odd, cluster))
                try await cluster.agree()
                #expect(try await own.text("w199") == "v")
                #expect(try await own.text("k2", consistency: .stale) == "after")
                try await eventually("what it had before is kept") {
                    try FileManager.default.contentsOfDirectory(atPath: cluster.directory(odd) + "/quarantine")
                        .contains { $0.hasPrefix("rows.") }
                }
                // And it stays so.
                try await cluster.stop(odd)
                try await cluster.start(odd)
                try await client.put("k3", "on")
                try await cluster.agree()
                #expect(try await !isQuarantined(odd, cluster))
            }
        }

        @Test func theOddNodeHandsLeadershipOver() async throws {
            try await withCluster { cluster in
                let client = try await cluster.client()
                try await client.put("k", "v")
                try await cluster.agree()
                let odd: UInt64 = 1
                for id in cluster.ids { try await cluster.stop(id) }
                try changeRows(of: odd, in: cluster, falsifyHistory)
                // With one other it forms a quorum, and is the only one that may be elected at first.
                try await cluster.start(odd)
                try await cluster.start(2)
                try await cluster.start(3)
                try await eventually("another node leads than node \(odd), which is quarantined") {
                    let isOut = try await isQuarantined(odd, cluster)
                    let leader = try await cluster.store(2).status().leader
                    return isOut && leader != nil && leader != odd
                }
                // And where it is made to lead, it gives the leadership away again.
                _ = await refusalOrNone { try await client.transferLeadership(to: odd) }
                try await eventually("another node leads again") {
                    let leader = try await cluster.store(2).status().leader
                    return leader != nil && leader != odd
                }
                try await client.put("k", "on")
                #expect(try await client.text("k") == "on")
            }
        }

        @Test func rowsThatLeadToAnotherOutcomeAreNoticedAtTheNextWrite() async throws {
            try await withCluster { cluster in
                let client = try await cluster.client()
                try await client.put("flag", "old")
                // Now, since any node may answer, and the one whose rows are changed would answer wrongly.
                let current = try #require(try await client.get("flag"))
                try await cluster.agree()
                let odd = try await cluster.follower()
                try await cluster.stop(odd)
                // The key is gone there: what compares with it takes another way.
                try changeRows(of: odd, in: cluster) { _, batch in
                    batch.deleteRange(from: [UInt8(ascii: "k")], below: [UInt8(ascii: "l")])
                }
                try await cluster.start(odd)
                try await client.put("flag", "new", ifRevision: current.revision)
                try await eventually("node \(odd) is quarantined") { try await isQuarantined(odd, cluster) }
                #expect(try await client.text("flag") == "new")
            }
        }

        @Test func oneAgainstOneIsAnAlarmAndNotAChoice() async throws {
            try await withCluster(2) { cluster in
                let client = try await cluster.client()
                try await client.put("k", "v")
                try await cluster.agree()
                let odd = try await cluster.follower()
                try await cluster.stop(odd)
                try changeRows(of: odd, in: cluster, falsifyHistory)
                try await cluster.start(odd)
                try await eventually("the leader raises the alarm") {
                    try await cluster.store(try await cluster.leader()).metrics().contains("holdfast_feed_tied 1")
                }
                for id in cluster.ids { #expect(try await !isQuarantined(id, cluster)) }
            }
        }
    }
}

/// The error that `body` throws, if it does.
private func refusalOrNone(_ body: () async throws -> Void) async -> (any Error)? {
    do {
        try await body()
        return nil
    } catch {
        return error
    }
}
