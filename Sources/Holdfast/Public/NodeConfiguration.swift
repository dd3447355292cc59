internal import Storage

/// Everything a node is told at its start. Times are in milliseconds, sizes in bytes.
public struct NodeConfiguration: Sendable {
    /// What part a node plays.
    public enum Kind: Sendable, Hashable {
        /// One process with a directory of its own and no peers: the embedded default. Creates the directory if it is absent.
        case local(directory: String)
        /// A member of a cluster, on a directory that `format` made.
        case member(directory: String)
        /// No directory: every request goes to one of these endpoints, `HOST:PORT`.
        case client(endpoints: [String])
    }

    /// What part the node plays.
    public var kind: Kind
    /// Where a member listens, `HOST:PORT`; port 0 lets the system choose. Nil takes the member's own address from its directory.
    public var listen: String?
    /// Whether a member may listen beyond loopback without encryption.
    public var allowPlaintext = false
    /// How often a leader is heard of, in milliseconds.
    public var heartbeatMilliseconds = 50
    /// The shortest election timeout; the longest is twice as long.
    public var electionMilliseconds = 300
    /// How long a request may take before it fails, in milliseconds, where the call does not say.
    public var timeoutMilliseconds = 30_000
    /// RocksDB's block cache.
    public var rowCacheBytes = 32 << 20
    /// How long an upload may be idle before it expires.
    public var uploadIdleMilliseconds = 24 * 3_600_000
    /// How often a node looks for chunks that nothing names.
    public var sweepMilliseconds = 60_000
    /// How often a node reads everything that it keeps at rest and compares it with its names and checksums: once a week.
    public var scrubMilliseconds = 7 * 24 * 3_600_000
    /// Bytes of chunks a second that such a scrub reads.
    public var scrubBytesPerSecond = 32 << 20
    /// Bytes of log kept for followers that are behind, at most, in whole segments of 64 MiB; one further behind gets a state snapshot.
    public var logBytesMax = 512 << 20
    /// Log entries kept for followers that are behind, at most.
    public var logEntriesMax = 4_000_000
    /// How long a member may be silent before the log is no longer kept for it, in milliseconds.
    public var absenceMilliseconds = 300_000
    /// Bytes a second of state snapshots that a node sends, to all others together; 0 for no limit. The default leaves half of a network
    /// of 1 Gbit/s, and most of a processor, to writes.
    public var snapshotBytesPerSecond = 64 << 20

    /// Bytes of log after which rows are flushed: replay after a crash reads at most about this much.
    var flushBytes = 32 << 20
    /// Hears of every step of a state snapshot's install when it is done; for tests.
    var onInstallStep: @Sendable (InstallStep) -> Void = { _ in }

    /// The newest feature version that the node takes part in; nil for the newest that its build knows. It holds the cluster's feature
    /// version back, so that an upgrade can still be undone.
    public var featureVersionMax: Int?

    /// A configuration of `kind` with every default.
    public init(_ kind: Kind) { self.kind = kind }
}
