import Foundation
import Processes
import Testing

extension FaultTests {
    /// Disks that take no more bytes and say nothing.
    @Suite(.serialized) struct StalledDisk {
        @Test func aLeaderWhoseDiskStandsStillHandsOverAndAcknowledgesNothing() async throws {
            try await FaultyCluster.with { faulty in
                let cluster = faulty.cluster
                let storm = try await Storm.begin("k", on: cluster)
                try await storm.progress(50)
                let stalled = try await cluster.leader()
                let rest = cluster.others(stalled)
                try faulty.control(stalled).set([
                    (.write, "/n\(stalled)/log/", .stall), (.flush, "/n\(stalled)/log/", .stall),
                ])
                let began = ContinuousClock.now
                // The writers' next writes may still be in hand when it begins; ten more cannot be.
                try await storm.progress(10, seconds: 20)
                print("a stalled leader: writes went on after \(ContinuousClock.now - began)")
                #expect(try await cluster.leader(at: rest) != stalled)
                // What it says, if it says anything, is as new as what the others acknowledged.
                for number in 0..<5 {
                    try await cluster.put("new", "\(number)", at: rest)
                    let read = try await cluster.run(
                        "key", "get", "new", "--timeout", "1", "--json", at: [stalled])
                    if read.status == 0 {
                        #expect(try read.document.text("value") == "\(number)")
                    } else {
                        #expect(read.status == 69, "\(read.error)")
                    }
                }
                try faulty.control(stalled).clear()
                try await cluster.wait("complete")
                await storm.end()
                for id in cluster.ids { try await storm.verify(on: cluster, at: [id]) }
                try await cluster.equalHashes()
            }
        }

        @Test func aFollowerWhoseDiskStandsStillHoldsNobodyUp() async throws {
            try await FaultyCluster.with { faulty in
                let cluster = faulty.cluster
                let leader = try await cluster.leader()
                let stalled = try #require(cluster.others(leader).first)
                try faulty.control(stalled).set([(.write, "/n\(stalled)/log/", .stall)])
                let storm = try await Storm.begin("k", on: cluster)
                try await storm.progress(100)
                #expect(try await cluster.leader(at: cluster.others(stalled)) == leader, "nobody asked for another")
                try faulty.control(stalled).clear()
                try await cluster.wait("complete")
                await storm.end()
                try await storm.verify(on: cluster, at: [stalled])
            }
        }
    }
}
