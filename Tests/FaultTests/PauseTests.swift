import Foundation
import Processes
import Testing

extension FaultTests {
    /// Processes that stand still, and are killed in the middle of everything.
    @Suite(.serialized) struct Pauses {
        @Test func aLeaderThatWakesUpAfterItsTimeServesNothingStale() async throws {
            try await FaultyCluster.with { faulty in
                let cluster = faulty.cluster
                for round in 0..<4 {
                    try await cluster.put("k", "old \(round)")
                    let paused = try await cluster.leader()
                    let rest = cluster.others(paused)
                    let node = try cluster.node(paused)
                    node.signal(SIGSTOP)
                    #expect(try await cluster.leader(at: rest) != paused)
                    try await cluster.put("k", "new \(round)", at: rest)
                    // Asked while it stands still: these requests are the first that it sees when it wakes up as the leader that it was.
                    let reads = try (0..<3).map { _ in
                        try cluster.begin("key", "get", "k", "--timeout", "10", at: [paused])
                    }
                    let write = try cluster.begin(
                        "key", "put", "k", "late \(round)", "--if-revision", "1", "--timeout", "10", at: [paused])
                    // Long enough for the requests to lie in its sockets; nothing is asserted of the time.
                    try await Task.sleep(for: .milliseconds(300))
                    node.signal(SIGCONT)
                    for read in reads {
                        let outcome = try await read.outcome()
                        #expect(outcome.status == 69 || outcome.text == "new \(round)", "\(outcome)")
                    }
                    #expect(try await write.outcome().status == 2, "it is compared with what holds now")
                    try await cluster.wait("complete")
                    #expect(try await cluster.get("k") == "new \(round)")
                }
            }
        }

        @Test func whatWasAcknowledgedSurvivesThatAllAreKilledAtOnce() async throws {
            let cluster = try await Cluster.start()
            do {
                var storms: [Storm] = []
                for round in 0..<3 {
                    let storm = try await Storm.begin("k\(round)", on: cluster, writers: 8)
                    storms.append(storm)
                    try await storm.progress(100)
                    for id in cluster.ids { try cluster.node(id).signal(SIGKILL) }
                    for id in cluster.ids { _ = try await cluster.node(id).outcome() }
                    for id in cluster.ids { try await cluster.start(id) }
                    try await storm.progress(10)
                    await storm.end()
                }
                try await cluster.wait("complete")
                for id in cluster.ids { for storm in storms { try await storm.verify(on: cluster, at: [id]) } }
                try await cluster.equalHashes()
                try await cluster.stop()
            } catch {
                cluster.abandon()
                throw error
            }
        }

        @Test(arguments: TornTail.allCases)
        func anUnconfirmedTailThatIsTornIsCutOffAndFetchedAgain(tail: TornTail) async throws {
            let cluster = try await Cluster.start()
            do {
                let storm = try await Storm.begin("k", on: cluster, writers: 8)
                try await storm.progress(100)
                let torn = try #require(cluster.others(try await cluster.leader()).first)
                try await cluster.kill(torn)
                try tail.damage(logOf: cluster.data(torn))
                try await cluster.start(torn)
                try await storm.progress(50)
                await storm.end()
                try await cluster.wait("complete")
                try await storm.verify(on: cluster, at: [torn])
                try await cluster.equalHashes()
                try await cluster.stop()
            } catch {
                cluster.abandon()
                throw error
            }
        }
    }

    /// What a crash in the middle of a write may leave behind the last whole frame of a log.
    enum TornTail: CaseIterable {
        /// Bytes of a write that did not end.
        case garbage
        /// A frame's header without its bytes.
        case half
        /// The last sector of the last frame, which was never confirmed, was not written.
        case truncated

        /// Does that to the log of a node that was killed.
        func damage(logOf data: String) throws {
            let log = data + "/log"
            let names = try FileManager.default.contentsOfDirectory(atPath: log).filter { $0.hasPrefix("segment-") }
            // The segment in use is the one that was written to last.
            let newest = try names.max { try changed("\(log)/\($0)") < changed("\(log)/\($1)") }
            guard let newest else { throw Unexpected("no segment in \(log)") }
            let path = "\(log)/\(newest)"
            let bytes = try [UInt8](Data(contentsOf: URL(fileURLWithPath: path)))
            guard let last = bytes.lastIndex(where: { $0 != 0 }) else { throw Unexpected("\(path) is empty") }
            let handle = try FileHandle(forUpdating: URL(fileURLWithPath: path))
            switch self {
            case .garbage:
                try handle.seek(toOffset: UInt64(last + 1))
                try handle.write(contentsOf: noise(5_000, seed: 11))
            case .half:
                try handle.seek(toOffset: UInt64(last + 1))
                try handle.write(contentsOf: bytes[4_096..<(4_096 + 40)])
            case .truncated:
                try handle.seek(toOffset: UInt64(max(4_096, last - 7)))
                try handle.write(contentsOf: [UInt8](repeating: 0, count: 8))
            }
            try handle.close()
        }

        private func changed(_ path: String) throws -> Date {
            try FileManager.default.attributesOfItem(atPath: path)[.modificationDate] as? Date ?? .distantPast
        }
    }
}
