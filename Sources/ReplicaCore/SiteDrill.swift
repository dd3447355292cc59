/// What came of the last time that somebody tried whether this standby could take over.
package struct SiteDrill: Sendable, Hashable {
    /// When it began: milliseconds since 1970.
    package var begun: UInt64
    /// From then until the copy had taken a write, or had failed.
    package var milliseconds: UInt64
    /// The node whose copy it was.
    package var node: UInt64
    /// The revision that the copy was at.
    package var revision: UInt64
    /// Why it failed; empty if it did not.
    package var failure: String
    /// Chunks that were read and compared with their names.
    package var chunks: UInt64

    package init(
        begun: UInt64, milliseconds: UInt64, node: UInt64, revision: UInt64, failure: String, chunks: UInt64
    ) {
        self.begun = begun
        self.milliseconds = milliseconds
        self.node = node
        self.revision = revision
        self.failure = failure
        self.chunks = chunks
    }
}
