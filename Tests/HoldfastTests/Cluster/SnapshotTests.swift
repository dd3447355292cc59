import Foundation
import NIOCore
import Testing

@testable import Holdfast

extension ClusterTests {
    @Suite struct Snapshots {
        /// Few entries are kept, and nobody is waited for, so that a follower that was away needs a state snapshot.
        static let impatient: @Sendable (inout NodeConfiguration) -> Void = { configuration in
            configuration.logEntriesMax = 50
            configuration.absenceMilliseconds = 1
            configuration.flushBytes = 1
        }

        @Test func aFollowerThatWasAwayPastCompactionGetsTheStateAndGoesOn() async throws {
            try await withCluster(configure: Self.impatient) { cluster in
                let client = try await cluster.client()
                try await client.put("before", "1")
                try await cluster.agree()
                let away = try await cluster.follower()
                let had = try await cluster.applied(away)
                try await cluster.stop(away)
                for number in 1...200 { try await client.put(Key("k/\(number % 70)"), "\(number)") }
                try await cluster.compacted(past: had)
                // Writes go on while it comes back.
                let writer = Task {
                    var number = 0
                    while !Task.isCancelled {
                        number += 1
                        try await client.put("during", "\(number)")
                    }
                }
                try await cluster.start(away)
                try await eventually("the follower has installed a state snapshot") {
                    try await cluster.figure("snapshots_installed", at: away) == 1
                }
                writer.cancel()
                _ = await writer.result
                try await cluster.agree()
                let store = try cluster.store(away)
                #expect(try await store.text("before", consistency: .stale) == "1")
                #expect(try await store.text("k/60", consistency: .stale) == "200")
                // History came with it: every retained revision is readable there.
                #expect(try await store.get("k/60", at: 62, consistency: .stale)?.value == Array("60".utf8))
                // It follows by the log from here on, and its stores open again.
                try await client.put("after", "2")
                try await cluster.agree()
                try await cluster.stop(away)
                try await client.put("after", "3")
                try await cluster.start(away)
                try await cluster.agree()
                #expect(try await cluster.store(away).text("after", consistency: .stale) == "3")
            }
        }
    }
}

extension TestCluster {
    /// A figure of a member, by its name in the metrics without `holdfast_`.
    func figure(_ name: String, at id: UInt64) async throws -> Double? {
        let text = try await store(id).metrics()
        for line in text.split(separator: "\n") where line.hasPrefix("holdfast_\(name) ") {
            return Double(line.split(separator: " ")[1])
        }
        return nil
    }

    /// The log index that a running member has applied.
    func applied(_ id: UInt64) async throws -> UInt64 {
        try #require(try await statuses().first { $0.id == id }).applied
    }

    /// Waits until no running member holds the log behind `index` any more.
    func compacted(past index: UInt64) async throws {
        try await eventually("the log is compacted past \(index)") {
            for id in self.running {
                guard let point = try await self.figure("log_compacted_index", at: id), point > Double(index) else {
                    return false
                }
            }
            return true
        }
    }
}
