internal import NIOCore
internal import ReplicaCore

/// What came of trying whether a standby could take over.
public struct SiteDrillResult: Sendable, Equatable {
    /// When it began: milliseconds since 1970.
    public var begunMilliseconds: UInt64
    /// From then until the fork had taken a write, or had failed.
    public var seconds: Double
    /// The node that was forked.
    public var node: UInt64
    /// The revision that the fork was at.
    public var revision: Revision
    /// Chunks that were read and compared with their names.
    public var chunksChecked: UInt64
    /// Why it failed; empty if it passed.
    public var failure: String

    /// Whether the fork did all that a primary must.
    public var hasPassed: Bool { failure.isEmpty }

    var core: SiteDrill {
        SiteDrill(
            begun: begunMilliseconds, milliseconds: UInt64((seconds * 1_000).rounded()), node: node, revision: revision,
            failure: failure, chunks: chunksChecked)
    }

    init(_ drill: SiteDrill) {
        begunMilliseconds = drill.begun
        seconds = Double(drill.milliseconds) / 1_000
        node = drill.node
        revision = drill.revision
        chunksChecked = drill.chunks
        failure = drill.failure
    }
}

extension Store {
    /// Tries whether this standby could take over: its leader forks itself into a directory and a lineage of its own, holds the feed's hash
    /// against it, loads a model, verifies a sample of chunks, and takes a write. The fork is destroyed, whatever came of it; the link goes on
    /// all the while. The result is kept in `siteStatus`.
    ///
    /// - Parameter chunks: about how many chunks to verify.
    /// - Returns: what came of it; one that failed is no error.
    /// - Throws: `preconditionFailed` where this site is no standby; `alreadyExists` where a drill is under way.
    public func drillSite(chunks: UInt64 = 64) async throws(HoldfastError) -> SiteDrillResult {
        let limit = deadline
        let answer = try await router.send(
            .siteDrill, .written { $0.varint(chunks) }, to: .leader, deadline: limit, isWrite: true,
            attempt: max(limit - .now(), .seconds(1)))
        return try Self.decode(answer) { reader throws(DecodeError) in
            SiteDrillResult(try SiteDrill.decode(from: &reader))
        }
    }
}
