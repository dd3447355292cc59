internal import ReplicaCore

/// How fast the standby takes chunks from the primary. Rows are not held back.
public struct LinkPace: Sendable, Equatable {
    /// A part of every day with a rate of its own.
    public struct Window: Sendable, Equatable {
        /// The first minute in it, of the day in UTC: 0 to 1,439.
        public var fromMinute: Int
        /// The first minute behind it, up to 1,440; at or below `fromMinute` it is one of the next day.
        public var belowMinute: Int
        /// Nil for as fast as it goes.
        public var bytesPerSecond: UInt64?

        /// A window from one minute of the day to another.
        public init(fromMinute: Int, belowMinute: Int, bytesPerSecond: UInt64?) {
            self.fromMinute = fromMinute
            self.belowMinute = belowMinute
            self.bytesPerSecond = bytesPerSecond
        }
    }

    /// Nothing crosses now.
    public internal(set) var isPaused = false
    /// Outside of every window; nil for as fast as it goes.
    public var bytesPerSecond: UInt64?
    /// At most 16; the first one that a moment lies in counts.
    public var windows: [Window]

    /// A pace of the link.
    public init(bytesPerSecond: UInt64? = nil, windows: [Window] = []) {
        self.bytesPerSecond = bytesPerSecond
        self.windows = windows
    }

    init(_ pace: SitePace) {
        isPaused = pace.isPaused
        bytesPerSecond = pace.bytesPerSecond
        windows = pace.windows.map {
            Window(fromMinute: Int($0.from), belowMinute: Int($0.below), bytesPerSecond: $0.bytesPerSecond)
        }
    }

    var core: SitePace {
        SitePace(
            isPaused: isPaused, bytesPerSecond: bytesPerSecond,
            windows: windows.map {
                // A time before midnight is refused as one that is too late.
                SitePace.Window(
                    from: UInt64(exactly: $0.fromMinute) ?? .max, below: UInt64(exactly: $0.belowMinute) ?? .max,
                    bytesPerSecond: $0.bytesPerSecond)
            })
    }
}
