internal import NIOCore
internal import ReplicaCore

extension Store {
    /// Has a node fetch its rows anew from a peer, and returns when it serves again.
    ///
    /// For a node that is quarantined, and harmless for any other. Throws `unavailable` where no peer gives its state; a call that ends at
    /// its deadline leaves the rebuild going on.
    public func rebuild(_ node: UInt64) async throws(HoldfastError) {
        _ = try await ask(.rebuild(node))
    }

    /// Has a node read everything that it keeps at rest, and returns at once; `scrubResult` tells what it found.
    public func scrub(_ node: UInt64) async throws(HoldfastError) { _ = try await ask(.scrub(node)) }

    /// What the last scrub of a node found, or the one under way so far.
    public func scrubResult(of node: UInt64) async throws(HoldfastError) -> ScrubResult {
        guard case .scrub(let report) = try await ask(.scrubReport(node)) else {
            throw HoldfastError(.incompatible, "the node answered something else than the result of a scrub")
        }
        return ScrubResult(
            node: node, isRunning: report.isRunning, ended: report.ended, chunks: report.chunks, bytes: report.bytes,
            badChunks: report.badChunks, rowsBad: report.areRowsBad, failure: report.failure)
    }

    private func ask(_ request: IntegrityRequest) async throws(HoldfastError) -> IntegrityAnswer {
        let body = ByteBuffer.written { request.encode(into: &$0) }
        let answer = try await router.send(.integrity, body, to: .any, deadline: deadline)
        return try Self.decode(answer) { reader throws(DecodeError) in try IntegrityAnswer.decode(from: &reader) }
    }
}
