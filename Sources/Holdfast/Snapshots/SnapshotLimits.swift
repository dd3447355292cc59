internal import NIOCore
internal import Storage

/// Bounds of how state snapshots are kept and sent, with the sums that led to them.
enum SnapshotLimits {
    /// Bytes of one part at most: what a bulk frame holds.
    static let partBytesMax = 4 << 20
    /// Bytes of the first part, and of every part over a link that is slow: 256 KiB take 5 s at 50 KB/s.
    static let partBytesMin = 256 << 10
    /// How long a peer may take to send one part; it may wait for its turn in a rate.
    static let partWait = TimeAmount.seconds(30)
    /// A part that took less lets the next one be twice as long; more, half as long.
    static let partPatience = TimeAmount.milliseconds(500)
    /// How long a peer may take to make a checkpoint: it flushes its rows and reads all of them (10 GB at 500 MB/s).
    static let makeWait = TimeAmount.seconds(30)
    /// Checkpoints kept at once. Each holds at most the bytes that the rows had when it was made: so rows and checkpoints together
    /// take at most three times the rows.
    static let checkpointsMax = 2
    /// How long a checkpoint is kept that nobody reads.
    static let idleMax = TimeAmount.minutes(10)
    /// A checkpoint that was read within this time gives way to no other: its reader is at work.
    static let busyMin = TimeAmount.seconds(20)
    /// Failed tries at one source without a byte between them before another one is asked.
    static let triesMax = 6
}

extension HoldfastError {
    /// What the failure of a state snapshot means to whoever asked for it.
    init(_ error: SnapshotError) {
        let code: Code =
            switch error.cause {
            case .corrupted: .corrupted
            case .foreign: .incompatible
            case .missing: .notFound
            case .noSpace: .resourceExhausted
            case .inputOutput: .unavailable
            }
        self.init(code, error.message)
    }
}
