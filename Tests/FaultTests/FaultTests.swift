import Foundation
import Processes
import Testing

/// Faults of disks, machines and networks, injected for real into processes of the built program; one after the other, since each
/// suite has several of them.
@Suite(.serialized) enum FaultTests {}

/// Members whose disks and clocks a test can make fail, each on its own.
struct FaultyCluster {
    let cluster: Cluster
    private let controls: [Interposer.Control]

    /// Formats and starts members.
    private static func start(
        _ layout: Cluster.Layout, _ prepare: (Interposer.Control) throws -> Void
    ) async throws -> FaultyCluster {
        let controls = try (0..<layout.members).map { _ in try Interposer.Control() }
        for control in controls { try prepare(control) }
        let environments = try controls.map { try $0.environment() }
        var layout = layout
        let extra = layout.environment
        layout.environment = { environments[$0 - 1].merging(extra($0)) { $1 } }
        return FaultyCluster(cluster: try await Cluster.start(layout), controls: controls)
    }

    /// The control of a member's disk and clock.
    func control(_ id: Int) -> Interposer.Control { controls[id - 1] }

    /// Runs a test on fresh members and ends them, whatever comes of it.
    ///
    /// - Parameter prepare: sets what a member's disk does from its start on.
    static func with(
        _ layout: Cluster.Layout = Cluster.Layout(), prepare: (Interposer.Control) throws -> Void = { _ in },
        _ body: (FaultyCluster) async throws -> Void
    ) async throws {
        let faulty = try await start(layout, prepare)
        do {
            try await body(faulty)
            for control in faulty.controls { try control.clear() }
            try await faulty.cluster.stop()
        } catch {
            for id in faulty.cluster.ids {
                print("node \(id) said: \((try? faulty.cluster.node(id).error()) ?? "nothing")")
            }
            faulty.cluster.abandon()
            throw error
        }
    }
}

extension Cluster {
    /// Puts a key through these members; throws unless it was acknowledged.
    func put(_ key: String, _ value: String, at ids: [Int]? = nil, seconds: Int = 20) async throws {
        let outcome = try await run(
            list: ["key", "put", key, value, "--timeout", "\(seconds)"], at: ids, seconds: seconds + 10)
        guard outcome.status == 0 else { throw Unexpected("put \(key) ended with \(outcome.status): \(outcome.error)") }
    }

    /// Waits until all members stand at one revision, and throws unless their histories are the same.
    func equalHashes() async throws {
        var hashes: Set<String> = []
        try await until("equal revisions") {
            let status = try await run("cluster", "status", "--json")
            guard status.status == 0, let nodes = try status.document.list("nodes") else { return false }
            hashes = Set(nodes.map { $0.text("feedHash") ?? "" })
            return Set(nodes.map { $0.number("revision") }).count == 1
        }
        guard hashes.count == 1 else { throw Unexpected("members differ: \(hashes)") }
    }

    /// The value of a key as one member reads it, linearizably.
    func get(_ key: String, at ids: [Int]? = nil, isStale: Bool = false) async throws -> String {
        let outcome = try await run(list: ["key", "get", key] + (isStale ? ["--stale"] : []), at: ids)
        guard outcome.status == 0 else { throw Unexpected("get \(key) ended with \(outcome.status): \(outcome.error)") }
        return outcome.text
    }
}
