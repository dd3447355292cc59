import Foundation
import NIOCore
import Testing

@testable import Holdfast

extension TestCluster {
    /// Flips a bit in the middle of every chunk's file of a node.
    func damageChunks(_ id: UInt64) throws {
        let root = "\(directory(id))/chunks"
        for name in try FileManager.default.subpathsOfDirectory(atPath: root)
        where name.split(separator: "/").last.map({ $0.utf8.count >= 62 }) ?? false {
            var bytes = try Data(contentsOf: URL(fileURLWithPath: "\(root)/\(name)"))
            bytes[bytes.count / 2] ^= 1
            try bytes.write(to: URL(fileURLWithPath: "\(root)/\(name)"))
        }
    }

    /// Whether something of a drill is in a node's directory.
    func hasFork(_ id: UInt64) -> Bool { FileManager.default.fileExists(atPath: "\(directory(id))/drill") }
}

extension ClusterTests.SiteTests {
    @Test func `a verification finds that both sites have the same, row by row, and a chunk that rotted`() async throws
    {
        try await withSites { primary, standby, here, there in
            let scratch = try Scratch()
            for number in 0..<50 { try await here.put(Key("key-\(number % 7)"), "value \(number)") }
            _ = try await here.push(try scratch.model("model", seed: 5), as: "m")
            try await caughtUp(here, there)
            for store in [here, there] {
                try await eventually("it has heard where the other is") {
                    let status = try await store.siteStatus()
                    return status.peerRevision == status.revision
                }
                let found = try await store.verifySite(chunks: nil)
                #expect(found.agreement == .equal && found.isSound)
                #expect(found.firstRevision == 1 && found.revisionsChecked == found.revision)
                #expect(found.chunks > 0 && found.chunksChecked == found.chunks)
            }
            let sample = try await there.verifySite(chunks: 1)
            #expect(sample.chunksChecked == 1 && sample.chunks > 1)
            try standby.damageChunks(1)
            let found = try await there.verifySite(chunks: nil)
            #expect(!found.isSound && !found.badChunks.isEmpty && found.agreement == .equal)
        }
    }

    @Test func `a verification says why the other site could not be asked`() async throws {
        try await withSites { primary, _, here, there in
            try await here.put("a", "1")
            try await caughtUp(here, there)
            try await primary.stop(1)
            let found = try await there.withTimeout(milliseconds: 20_000).verifySite()
            #expect(found.agreement == .unknown && !found.silence.isEmpty && found.isSound)
        }
    }

    @Test func `a drill takes a write on a fork that nobody hears of, and leaves only its result`() async throws {
        try await withSites { primary, standby, here, there in
            let scratch = try Scratch()
            _ = try await here.push(try scratch.model("model", seed: 9), as: "m")
            try await here.put("a", "1")
            try await caughtUp(here, there)
            let refused = await refusal { _ = try await here.drillSite() }
            #expect(refused?.code == .preconditionFailed, "a primary needs no trial")
            let writer = Task {
                var number = 0
                while !Task.isCancelled {
                    try await here.put("during", "\(number)")
                    number += 1
                }
            }
            let result = try await there.withTimeout(milliseconds: 60_000).drillSite(chunks: 1_000)
            let after = try await there.siteStatus().revision
            writer.cancel()
            _ = await writer.result
            #expect(result.failure == "" && result.hasPassed)
            #expect(result.seconds > 0 && result.revision > 0 && result.chunksChecked > 0)
            #expect(after >= result.revision, "the link went on")
            #expect(!standby.hasFork(1))
            let status = try await there.siteStatus()
            #expect(status.lastDrill == result && status.role == .standby && status.epoch == 1)
            #expect(try await here.siteStatus().role == .primary)
            try await caughtUp(here, there)
            #expect(try await there.get("holdfast-drill", consistency: .stale) == nil)
            #expect(try await standby.statuses().map(\.feedHash) == primary.statuses().map(\.feedHash))
            // The result is replicated state: it is there after a restart.
            try await standby.stop(1)
            try await standby.start(1)
            _ = try await standby.leader()
            #expect(try await there.siteStatus().lastDrill == result)
        }
    }

    @Test func `a drill that fails says why, is remembered as failed, and leaves no fork`() async throws {
        try await withSites { _, standby, here, there in
            let scratch = try Scratch()
            _ = try await here.push(try scratch.model("model", seed: 9), as: "m")
            try await caughtUp(here, there)
            try standby.damageChunks(1)
            let result = try await there.withTimeout(milliseconds: 60_000).drillSite(chunks: 1_000)
            #expect(!result.hasPassed && !result.failure.isEmpty)
            #expect(!standby.hasFork(1))
            let status = try await there.siteStatus()
            #expect(status.lastDrill == result)
            #expect(SiteObjection.all(status, try await there.status()).contains { $0.code == .drill })
        }
    }

    @Test func `what a crash left of a drill is gone after the next start`() async throws {
        let cluster = try TestCluster(1)
        let left = "\(cluster.directory(1))/drill/chunks/ab"
        try FileManager.default.createDirectory(atPath: left, withIntermediateDirectories: true)
        try Data([1]).write(to: URL(fileURLWithPath: left + "/cd"))
        try await cluster.start()
        try await eventually("it is gone") { !cluster.hasFork(1) }
        await cluster.stop()
    }
}
