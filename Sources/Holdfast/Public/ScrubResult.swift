/// What a scrub of one node has found so far.
public struct ScrubResult: Sendable, Hashable {
    /// The node.
    public var node: UInt64
    /// Whether the scrub is still under way.
    public var isRunning: Bool
    /// Scrubs that came to their end since the node started.
    public var ended: UInt64
    /// Chunks that were read.
    public var chunks: UInt64
    /// Their bytes.
    public var bytes: UInt64
    /// Chunks whose bytes were not those that their names stand for; they were put aside and fetched anew.
    public var badChunks: UInt64
    /// Whether the rows could not all be read; the node then rebuilds itself from a peer.
    public var rowsBad: Bool
    /// Why the scrub did not come to its end; empty if it did.
    public var failure: String
}
