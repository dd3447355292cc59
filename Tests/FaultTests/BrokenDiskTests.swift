import Foundation
import Processes
import Testing

extension FaultTests {
    /// Disks whose writes or flushes fail.
    @Suite(.serialized) struct BrokenDisk {
        @Test func aFailedFsyncOfTheLogStopsTheNodeAndLosesNothing() async throws {
            // Opened without O_DIRECT the log needs an fdatasync for every batch.
            try await FaultyCluster.with(prepare: { try $0.set([(.direct, "/log/", .inputOutput)]) }) { faulty in
                let cluster = faulty.cluster
                let storm = try await Storm.begin("k", on: cluster)
                try await storm.progress(20)
                let broken = try await cluster.leader()
                try faulty.control(broken).set([
                    (.direct, "/log/", .inputOutput), (.flush, "/n\(broken)/log/", .inputOutput),
                ])
                let end = try await cluster.node(broken).outcome(seconds: 20)
                #expect(end.status == 1)
                #expect(end.error.contains("cannot flush"), "\(end.error)")
                #expect(end.error.contains("Input/output error"), "\(end.error)")
                try await storm.progress(20)
                try faulty.control(broken).clear()
                try await cluster.start(broken)
                try await cluster.wait("complete")
                await storm.end()
                try await storm.verify(on: cluster, at: [broken])
            }
        }

        @Test(arguments: [Interposer.Operation.write, .flush])
        func rowsThatCannotBeWrittenStopTheNodeAndTheLogDoesThemAgain(operation: Interposer.Operation) async throws {
            try await FaultyCluster.with { faulty in
                let cluster = faulty.cluster
                let broken = try await cluster.leader()
                try faulty.control(broken).set([(operation, "/n\(broken)/rows", .inputOutput)])
                // Rows go to the disk when a buffer is full.
                let storm = try await Storm.begin("k", on: cluster, writers: 4, valueBytes: 400_000, isNoise: true)
                let end = try await cluster.node(broken).outcome(seconds: 60)
                #expect(end.status == 1)
                #expect(end.error.contains("rows"), "\(end.error)")
                #expect(end.error.contains("Input/output error"), "\(end.error)")
                try await storm.progress(5)
                try faulty.control(broken).clear()
                try await cluster.start(broken)
                await storm.end()
                try await cluster.wait("complete")
                try await storm.verify(on: cluster, at: [broken])
            }
        }

        @Test func chunksThatCannotBeWrittenAreRefusedThereAndTakenElsewhere() async throws {
            try await FaultyCluster.with { faulty in
                let cluster = faulty.cluster
                let scratch = try ScratchDirectory()
                let file = try scratch.write("m.bin", noise(9_000_000, seed: 9))
                try faulty.control(1).set([(.write, "/chunks/", .inputOutput), (.flush, "/chunks/", .inputOutput)])
                let push = try await cluster.run("model", "push", "m", file, "--json")
                #expect(push.status == 0, "\(push.error)")
                #expect(try !cluster.node(1).hasEnded)
                let incomplete = try await cluster.run("cluster", "status", "--json").document
                #expect(incomplete.list("nodes")?[0].truth("complete") == false)
                try faulty.control(1).clear()
                try await cluster.wait("complete")
                #expect(try await cluster.run("model", "pull", "m", scratch.path + "/t", at: [1]).status == 0)
                #expect(try tree(scratch.path + "/t") == ["m.bin": scratch.read("m.bin")])
            }
        }

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
