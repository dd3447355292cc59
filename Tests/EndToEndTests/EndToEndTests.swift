import Processes
import Testing

/// All suites on real processes: one after the other, since each has several of them.
@Suite(.serialized) enum EndToEndTests {}

/// Gives a suite a cluster of its own and ends it afterwards.
struct WithCluster: SuiteTrait, TestScoping {
    func provideScope(
        for test: Test, testCase: Test.Case?, performing function: @Sendable () async throws -> Void
    ) async throws {
        let cluster = try await Cluster.start()
        do {
            try await Cluster.$current.withValue(cluster) { try await function() }
        } catch {
            try await cluster.stop()
            throw error
        }
        try await cluster.stop()
    }
}

extension Trait where Self == WithCluster {
    /// A cluster of three members for the whole suite.
    static var cluster: WithCluster { WithCluster() }
}
