import Foundation
import NIOCore
import Storage
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

        @Test func aWatchAndASessionGoOnAcrossAnInstall() async throws {
            try await withCluster(configure: { configuration in
                Self.impatient(&configuration)
                // Slow enough that the watch begins before the install.
                configuration.snapshotBytesPerSecond = 30_000
            }) { cluster in
                let client = try await cluster.client()
                let away = try await cluster.follower()
                let first = try await client.put("w/0", "0").revision
                try await cluster.agree()
                let had = try await cluster.applied(away)
                // A watch that began before the follower fell behind, and reads on from the same node afterwards.
                try await cluster.stop(away)
                var last = first
                for number in 1...120 { last = try await client.put(Key("w/\(number)"), "\(number)").revision }
                try await cluster.compacted(past: had)
                try await cluster.start(away)
                let store = try cluster.store(away)
                let watched = Task {
                    var seen: [Revision] = []
                    for try await change in store.watch(.prefix("w/"), from: first) {
                        seen.append(change.keyValue.revision)
                        if change.keyValue.revision >= last { break }
                    }
                    return seen
                }
                try await eventually("the follower has installed a state snapshot") {
                    try await cluster.figure("snapshots_installed", at: away) ?? 0 >= 1
                }
                #expect(try await watched.value == Array(first...last))
                // The node that was away proposes and reads for a client of its own.
                let revision = try await store.put("own", "1").revision
                #expect(try await client.get("own")?.revision == revision)
                try await cluster.agree()
            }
        }

        @Test func aCrashBetweenAnyTwoStepsOfAnInstallLosesNothing() async throws {
            let images = try Scratch()
            let copies = Shared<[InstallStep: String]>([:])
            let isArmed = Shared<String?>(nil)
            try await withCluster(configure: { configuration in
                Self.impatient(&configuration)
                guard case .member(let directory) = configuration.kind else { return }
                configuration.onInstallStep = { step in
                    guard isArmed.withLock({ $0 == directory }), copies.withLock({ $0[step] == nil }) else { return }
                    // What a crash at this moment leaves, as far as the file system has it.
                    let copy = images("step-\(step.rawValue)")
                    for _ in 0..<100 {
                        // Another thread may remove a file meanwhile: then it is taken anew.
                        try? FileManager.default.removeItem(atPath: copy)
                        guard (try? FileManager.default.copyItem(atPath: directory, toPath: copy)) != nil else {
                            continue
                        }
                        return copies.withLock { $0[step] = copy }
                    }
                }
            }) { cluster in
                let client = try await cluster.client()
                try await client.put("before", "1")
                try await cluster.agree()
                let away = try await cluster.follower()
                let had = try await cluster.applied(away)
                try await cluster.stop(away)
                for number in 1...120 { try await client.put(Key("k/\(number % 7)"), "\(number)") }
                try await cluster.compacted(past: had)
                isArmed.withLock { $0 = cluster.directory(away) }
                try await cluster.start(away)
                try await eventually("every step was seen") {
                    copies.withLock { $0.count } == InstallStep.allCases.count
                }
                try await cluster.agree()
                isArmed.withLock { $0 = nil }
                for step in InstallStep.allCases {
                    // All of them stop: a leader that goes on knows that the node has acknowledged more since the image, and the two
                    // others hold everything.
                    for id in cluster.running { try await cluster.stop(id) }
                    let image = try #require(copies.withLock { $0[step] })
                    try FileManager.default.removeItem(atPath: cluster.directory(away))
                    try FileManager.default.moveItem(atPath: image, toPath: cluster.directory(away))
                    try await cluster.start()
                    try await client.put("step", "\(step.rawValue)")
                    try await cluster.agree()
                    let store = try cluster.store(away)
                    #expect(try await store.text("before", consistency: .stale) == "1")
                    #expect(try await store.text("step", consistency: .stale) == "\(step.rawValue)")
                }
            }
        }

        @Test func aChunkThatTheInstalledRowsPublishIsMissingUntilItIsFetched() async throws {
            try await withCluster(configure: Self.impatient) { cluster in
                let client = try await cluster.client()
                try await client.put("before", "1")
                try await cluster.agree()
                let away = try await cluster.follower()
                let had = try await cluster.applied(away)
                try await cluster.stop(away)
                let model = cluster.scratch("model")
                try FileManager.default.createDirectory(atPath: model, withIntermediateDirectories: true)
                let bytes = Data((0..<600_000).map { UInt8(truncatingIfNeeded: $0 &* 31 &+ $0 >> 9) })
                try bytes.write(to: URL(fileURLWithPath: "\(model)/weights.bin"))
                _ = try await client.push(model, as: "m")
                for number in 1...80 { try await client.put("k", "\(number)") }
                try await cluster.compacted(past: had)
                try await cluster.start(away)
                try await eventually("the follower has installed a state snapshot") {
                    try await cluster.figure("snapshots_installed", at: away) ?? 0 >= 1
                }
                // Its own word: complete only with every byte, which it fetches by itself.
                try await eventually("the follower holds every published byte") {
                    try await cluster.statuses().first { $0.id == away }?.complete == true
                }
                #expect(try await cluster.figure("chunks_fetched_bytes", at: away) ?? 0 >= Double(bytes.count))
                let leader = try await cluster.leader()
                if leader != away { try await cluster.stop(leader) }
                let pulled = cluster.scratch("pulled")
                _ = try await cluster.store(away).pull(ModelReference(name: "m"), into: pulled)
                #expect(try Data(contentsOf: URL(fileURLWithPath: "\(pulled)/weights.bin")) == bytes)
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
