import Foundation
import Glibc
import Processes
import ReplicaCore
import Storage
import Testing

/// Gives the suite a cluster of its own and ends it afterwards.
struct WithCluster: SuiteTrait, TestScoping {
    func provideScope(
        for test: Test, testCase: Test.Case?, performing function: @Sendable () async throws -> Void
    ) async throws {
        let cluster = try await Cluster.start()
        do {
            try await Cluster.$current.withValue(cluster) { try await function() }
        } catch {
            cluster.abandon()
            throw error
        }
        try await cluster.stop()
    }
}

extension Trait where Self == WithCluster {
    /// A cluster of three members for the whole suite.
    static var cluster: WithCluster { WithCluster() }
}

/// Bits flipped in each kind of file of one of three real nodes: found, repaired from the peers, nothing lost, nothing deleted.
@Suite(.serialized, .cluster) struct RepairTests {
    private let cluster: Cluster

    init() throws { cluster = try #require(Cluster.current) }

    private func put(_ key: String, _ value: String) async throws {
        let outcome = try await cluster.run("key", "put", key, value)
        #expect(outcome.status == 0, "\(outcome.error)")
    }

    private func get(_ key: String, at id: Int) async throws -> String {
        try await cluster.run("key", "get", key, "--timeout", "10", at: [id]).text
    }

    private func metrics(_ id: Int) async throws -> String {
        try await cluster.run("node", "metrics", at: [id]).text
    }

    private func value(_ name: String, _ id: Int) async throws -> Int? {
        let line = try await metrics(id).split(separator: "\n").first { $0.hasPrefix("holdfast_\(name) ") }
        return line.flatMap { Int($0.split(separator: " ")[1]) }
    }

    /// A member that does not lead.
    private func follower() async throws -> Int { try #require(cluster.others(try await cluster.leader()).first) }

    /// Waits until all members stand at the same revision with the same history, none quarantined, all complete.
    private func agree() async throws {
        try await until("equal feed hashes on sound nodes", seconds: 40) {
            let status = try await cluster.run("cluster", "status", "--json", "--timeout", "5")
            guard status.status == 0, let nodes = try status.document.list("nodes") else { return false }
            return nodes.count == 3 && Set(nodes.map { $0.text("feedHash") ?? "" }).count == 1
                && nodes.allSatisfy { $0.truth("quarantined") == false && $0.truth("complete") == true }
        }
    }

    private func quarantined(_ id: Int) throws -> [String] {
        try FileManager.default.contentsOfDirectory(atPath: cluster.data(id) + "/quarantine").sorted()
    }

    private func rowsDirectory(_ id: Int) throws -> String {
        try RowsPlace(DataLayout(cluster.data(id))).current()
    }

    @Test func aDamagedLogIsRepairedAndWithholdsItsVoteUntilThen() async throws {
        try await put("log/marker", "MARKER-IN-THE-LOG")
        for number in 0..<20 { try await put("log/\(number)", "value-\(number)") }
        try await agree()
        let id = try await follower()
        // Killed, so that the rows are behind the log: what is flipped is needed.
        try await cluster.kill(id)
        let segments = try FlippedBits.files(in: cluster.data(id) + "/log") { $0.hasPrefix("segment-") }
        let place = try #require(try FlippedBits.find("MARKER-IN-THE-LOG", in: segments))
        try FlippedBits.flip(place.path, at: place.offset)
        try await put("log/meanwhile", "written while it was away")
        try await cluster.start(id)
        try await agree()
        #expect(try await value("log_repairs_total", id) == 1)
        #expect(try await value("vote_withheld", id) == 0)
        #expect(try await get("log/marker", at: id) == "MARKER-IN-THE-LOG")
        #expect(try await get("log/meanwhile", at: id) == "written while it was away")
        let kept = try quarantined(id)
        #expect(kept.contains("log.0"), "the damaged log is kept: \(kept)")
        // Its vote counts: with another node down the cluster still writes.
        let leader = try await cluster.leader()
        let third = try #require(cluster.ids.first { $0 != id && $0 != leader })
        try await cluster.end(third)
        try await put("log/vote", "counts")
        try await cluster.start(third)
        try await agree()
        // And it starts from the new log.
        try await cluster.end(id)
        try await cluster.start(id)
        try await agree()
        #expect(try await value("vote_withheld", id) == 0)
    }

    @Test func oneBadCopyOfTheHardStateIsWrittenAgain() async throws {
        let id = try await follower()
        try await cluster.end(id)
        let copies = ["hardstate-1", "hardstate-2"].map { cluster.data(id) + "/log/\($0)" }
        try FlippedBits.flip(copies[0], at: 20)
        try await cluster.start(id)
        try await agree()
        let bytes = try copies.map { try Data(contentsOf: URL(fileURLWithPath: $0)) }
        #expect(bytes[0] == bytes[1])
    }

    @Test func withoutTermAndVoteANodeIsRefusedAndNothingIsTouched() async throws {
        let id = try await follower()
        try await cluster.end(id)
        let copies = ["hardstate-1", "hardstate-2"].map { cluster.data(id) + "/log/\($0)" }
        for copy in copies { try FlippedBits.flip(copy, at: 20) }
        let before = try copies.map { try Data(contentsOf: URL(fileURLWithPath: $0)) }
        let refused = try await Program.run(["serve", "--data", cluster.data(id)])
        #expect(refused.status == 1)
        #expect(refused.error.contains("holdfast cluster replace \(id) "), "\(refused.error)")
        #expect(try copies.map { try Data(contentsOf: URL(fileURLWithPath: $0)) } == before)
        for copy in copies { try FlippedBits.flip(copy, at: 20) }
        try await cluster.start(id)
        try await agree()
    }

    @Test func rowsThatCannotBeOpenedAreFetchedBeforeTheNodeStarts() async throws {
        for number in 0..<20 { try await put("open/\(number)", "value-\(number)") }
        try await agree()
        let id = try await follower()
        try await cluster.end(id)
        try await put("open/meanwhile", "written while it was away")
        let rows = try rowsDirectory(id)
        let manifests = try FlippedBits.files(in: rows) { $0.hasPrefix("MANIFEST-") }
        for path in manifests { try FlippedBits.flip(path, at: 12) }
        try await cluster.start(id)
        try await agree()
        for number in [0, 19] { #expect(try await get("open/\(number)", at: id) == "value-\(number)") }
        #expect(try await get("open/meanwhile", at: id) == "written while it was away")
        #expect(try quarantined(id).contains { $0.hasPrefix("rows.") })
        #expect(!FileManager.default.fileExists(atPath: cluster.data(id) + "/repair-rows"))
    }

    @Test func rowsThatRotWhileTheNodeRunsAreFoundByTheScrubAndFetchedAnew() async throws {
        for number in 0..<50 { try await put("rot/\(number)", String(repeating: "v\(number)", count: 200)) }
        try await agree()
        let id = try await follower()
        // In table files, and out of the cache.
        try await cluster.end(id)
        try await cluster.start(id)
        let tables = try FlippedBits.files(in: try rowsDirectory(id)) { $0.hasSuffix(".sst") }
        #expect(!tables.isEmpty)
        for path in tables { try FlippedBits.flip(path, at: 60) }
        let scrub = try await cluster.run("cluster", "scrub", "\(id)", "--json", "--timeout", "30")
        #expect(scrub.status == 0, "\(scrub.error)")
        #expect(try scrub.document.truth("rowsBad") == true)
        try await agree()
        #expect(try await value("rebuilds_total", id) == 1)
        #expect(try await get("rot/49", at: id) == String(repeating: "v49", count: 200))
        #expect(try quarantined(id).contains { $0.hasPrefix("rows.") })
        let again = try await cluster.run("cluster", "scrub", "--json", "--timeout", "30")
        #expect(again.status == 0, "\(again.error)")
        #expect(!again.text.contains("\"rowsBad\":true"))
    }

    @Test func aChunkThatRotsIsFoundByTheScrubAndFetchedByName() async throws {
        let scratch = try ScratchDirectory()
        let bytes = (0..<(9 << 20)).map { UInt8(truncatingIfNeeded: $0 &* 31 >> 3) }
        try FileManager.default.createDirectory(atPath: scratch.path + "/model", withIntermediateDirectories: true)
        try Data(bytes).write(to: URL(fileURLWithPath: scratch.path + "/model/weights.bin"))
        let pushed = try await cluster.run("model", "push", "rot", scratch.path + "/model")
        #expect(pushed.status == 0, "\(pushed.error)")
        try await cluster.wait("complete")
        let id = try await follower()
        let files = try chunkFiles(id)
        let victim = try #require(files.max { $0.bytes < $1.bytes }).path
        let whole = try Data(contentsOf: URL(fileURLWithPath: victim))
        chmod(victim, 0o600)
        try FlippedBits.flip(victim, at: whole.count / 2)
        let scrub = try await cluster.run("cluster", "scrub", "\(id)", "--json", "--timeout", "30")
        #expect(scrub.status == 0, "\(scrub.error)")
        #expect(try scrub.document.number("badChunks") == 1)
        try await agree()
        #expect(try Data(contentsOf: URL(fileURLWithPath: victim)) == whole)
        let name = victim.split(separator: "/").suffix(2).joined()
        let kept = try #require(try quarantined(id).first { $0.hasPrefix(name) })
        let damaged = try Data(contentsOf: URL(fileURLWithPath: cluster.data(id) + "/quarantine/\(kept)"))
        #expect(damaged != whole && damaged.count == whole.count)
        let pulled = try await cluster.run("model", "pull", "rot", scratch.path + "/out", at: [id])
        #expect(pulled.status == 0, "\(pulled.error)")
        #expect(try Data(contentsOf: URL(fileURLWithPath: scratch.path + "/out/weights.bin")) == Data(bytes))
    }

    private func chunkFiles(_ id: Int) throws -> [(path: String, bytes: Int)] {
        var found: [(path: String, bytes: Int)] = []
        for directory in try FlippedBits.files(in: cluster.data(id) + "/chunks", where: { $0.count == 2 }) {
            for path in try FlippedBits.files(in: directory) {
                let size = try FileManager.default.attributesOfItem(atPath: path)[.size] as? Int
                found.append((path, size ?? 0))
            }
        }
        return found
    }

    @Test func theOddNodeIsRebuiltWithOneCommand() async throws {
        try await put("odd", "v")
        try await agree()
        let id = try await follower()
        try await cluster.end(id)
        do {
            let rows = try RowStore(path: try rowsDirectory(id))
            var state = try AppliedState(loading: rows)
            state.feedHash = Digest(1, 2, 3, 4)
            var batch = WriteBatch()
            batch.put([UInt8(ascii: "m"), 1], state.encoded())
            try rows.write(batch)
            try rows.flush()
        }
        try await cluster.start(id)
        try await until("node \(id) is quarantined") {
            let nodes = try await cluster.run("cluster", "status", "--json").document.list("nodes")
            return nodes?.first { $0.number("id") == id }?.truth("quarantined") == true
        }
        #expect(try await value("quarantined", id) == 1)
        #expect(try await cluster.run("key", "get", "odd", "--stale", "--timeout", "1", at: [id]).status == 69)
        let rebuilt = try await cluster.run("cluster", "rebuild", "\(id)")
        #expect(rebuilt.status == 0, "\(rebuilt.error)")
        try await put("odd", "w")
        try await agree()
        #expect(try await get("odd", at: id) == "w")
    }
}
