internal import Synchronization

/// What a node's chunk plane has done since its start.
package struct ChunkFigures: Sendable, Hashable {
    /// Chunks and bytes taken from clients, durably; chunks that were here already are not counted.
    package var acceptedChunks: UInt64 = 0
    package var acceptedBytes: UInt64 = 0
    /// Chunks and bytes fetched from peers, checked and durable.
    package var fetchedChunks: UInt64 = 0
    package var fetchedBytes: UInt64 = 0
    /// Chunks and bytes sent to peers and clients.
    package var servedChunks: UInt64 = 0
    package var servedBytes: UInt64 = 0
    /// Of these, chunks and bytes that came from another site.
    package var siteChunks: UInt64 = 0
    /// Of these, chunks that came before their version was published.
    package var siteEarlyChunks: UInt64 = 0
    package var siteBytes: UInt64 = 0
    /// Bytes that they took on the wire.
    package var siteWireBytes: UInt64 = 0
    /// Chunks refused because their bytes are not those of their name.
    package var refusedHash: UInt64 = 0
    /// Chunks refused because no open upload names them at that ordinal.
    package var refusedNotNamed: UInt64 = 0
    /// Chunks refused because too many wait to be written.
    package var refusedOverloaded: UInt64 = 0
    /// Chunks refused because the disk or a quota is full.
    package var refusedFull: UInt64 = 0
    /// Chunks that peers sent with other bytes than their name says.
    package var mismatchedFetches: UInt64 = 0
    /// Announcements of peers that were dropped because too many waited.
    package var droppedAnnouncements: UInt64 = 0
    /// Chunks and bytes that nothing named and that were removed.
    package var sweptChunks: UInt64 = 0
    package var sweptBytes: UInt64 = 0
    /// Sweeps that ended without removing anything because something could not be read.
    package var failedSweeps: UInt64 = 0
    /// Chunks whose bytes had changed on disk and that were moved to the quarantine.
    package var quarantinedChunks: UInt64 = 0
    /// Time that writers spent in hashing, writing and fsync, in nanoseconds, summed over the threads.
    package var writeNanoseconds: UInt64 = 0

    package init() {}
}

/// The counters behind `ChunkFigures`.
final class ChunkCounters: Sendable {
    private let state = Mutex(ChunkFigures())

    /// The counters as they are now.
    var figures: ChunkFigures { state.withLock { $0 } }

    func count(_ body: (inout ChunkFigures) -> Void) { state.withLock { body(&$0) } }
}
