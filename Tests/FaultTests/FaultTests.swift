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
    static func start(_ layout: Cluster.Layout = Cluster.Layout()) async throws -> FaultyCluster {
        let controls = try (0..<layout.members).map { _ in try Interposer.Control() }
        let environments = try controls.map { try $0.environment() }
        var layout = layout
        layout.environment = { environments[$0 - 1] }
        return FaultyCluster(cluster: try await Cluster.start(layout), controls: controls)
    }

    /// The control of a member's disk and clock.
    func control(_ id: Int) -> Interposer.Control { controls[id - 1] }

    /// Runs a test on fresh members and ends them, whatever comes of it.
    static func with(
        _ layout: Cluster.Layout = Cluster.Layout(), _ body: (FaultyCluster) async throws -> Void
    ) async throws {
        let faulty = try await start(layout)
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

    /// The value of a key as one member reads it, linearizably.
    func get(_ key: String, at ids: [Int]? = nil, isStale: Bool = false) async throws -> String {
        let outcome = try await run(list: ["key", "get", key] + (isStale ? ["--stale"] : []), at: ids)
        guard outcome.status == 0 else { throw Unexpected("get \(key) ended with \(outcome.status): \(outcome.error)") }
        return outcome.text
    }
}
