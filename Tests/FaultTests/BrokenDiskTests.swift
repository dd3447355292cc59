import Foundation
import Processes
import Testing

extension FaultTests {
    /// Disks whose writes or flushes fail.
    @Suite(.serialized) struct BrokenDisk {
        @Test(arguments: ["log/segment", "log/hardstate"])
        func aFailedWriteOfTheLogStopsTheNodeAndLosesNothing(file: String) async throws {
            try await FaultyCluster.with { faulty in
                let cluster = faulty.cluster
                let storm = try await Storm.begin("k", on: cluster)
                try await storm.progress(20)
                let broken = try await cluster.leader()
                try faulty.control(broken).set([(.write, "/n\(broken)/\(file)", .inputOutput)])
                // A new term writes the hard state.
                if file.contains("hardstate") {
                    let next = try #require(cluster.others(broken).first)
                    try await cluster.run("cluster", "transfer-leader", "\(next)")
                }
                let end = try await cluster.node(broken).outcome(seconds: 20)
                #expect(end.status == 1)
                #expect(end.error.contains("Input/output error"), "\(end.error)")
                #expect(end.error.contains("check the disk"), "it says what to do: \(end.error)")
                #expect(end.error.contains("/\(file)"), "it says on what: \(end.error)")
                // The others go on.
                try await storm.progress(20)
                try faulty.control(broken).clear()
                try await cluster.start(broken)
                try await cluster.wait("complete")
                await storm.end()
                try await storm.verify(on: cluster, at: [broken])
            }
        }
    }
}
