/// How fast a standby takes chunks from its primary, and whether it takes anything now: replicated, set by an operator.
package struct SitePace: Sendable, Hashable {
    /// A part of every day with a rate of its own. `from` is the first minute in it and `below` the first one behind it, of the day in UTC; one
    /// that ends at or before its beginning goes on over midnight.
    package struct Window: Sendable, Hashable {
        package var from: UInt64
        package var below: UInt64
        /// Nil for as fast as it goes.
        package var bytesPerSecond: UInt64?

        package init(from: UInt64, below: UInt64, bytesPerSecond: UInt64?) {
            self.from = from
            self.below = below
            self.bytesPerSecond = bytesPerSecond
        }

        /// Whether a minute of the day lies in it.
        package func contains(_ minute: UInt64) -> Bool {
            from < below ? from <= minute && minute < below : from <= minute || minute < below
        }
    }

    package static let minutesOfADay: UInt64 = 24 * 60

    /// Nothing crosses, rows and chunks alike; the two sites go on hearing of each other. Ends when the role of this site changes.
    package var isPaused: Bool
    /// Outside of every window; nil for as fast as it goes.
    package var bytesPerSecond: UInt64?
    /// The first one that a moment lies in counts.
    package var windows: [Window]

    package init(isPaused: Bool = false, bytesPerSecond: UInt64? = nil, windows: [Window] = []) {
        self.isPaused = isPaused
        self.bytesPerSecond = bytesPerSecond
        self.windows = windows
    }

    /// The rate at a time in milliseconds since 1970, in bytes a second; nil for as fast as it goes.
    package func rate(at milliseconds: UInt64) -> UInt64? {
        let minute = milliseconds / 60_000 % SitePace.minutesOfADay
        return windows.first { $0.contains(minute) }.map(\.bytesPerSecond) ?? bytesPerSecond
    }

    /// Why nobody can keep to this, if so.
    package var refusal: Refusal? {
        let rates = [bytesPerSecond] + windows.map(\.bytesPerSecond)
        guard rates.allSatisfy({ $0 != 0 }) else {
            return Refusal(.invalidArgument, "a rate of 0 bytes a second; to stop the link, pause it")
        }
        guard windows.count <= Limits.siteWindowsMax else {
            return Refusal(.invalidArgument, "\(windows.count) windows of the day; at most \(Limits.siteWindowsMax)")
        }
        guard windows.allSatisfy({ $0.from < SitePace.minutesOfADay && $0.below <= SitePace.minutesOfADay }) else {
            return Refusal(.invalidArgument, "a window of the day lies outside of 00:00 to 24:00")
        }
        return nil
    }
}

/// Lets bytes through at a rate that may change at any time.
///
/// Invariant: over any span of time no more than one piece and what the rate allows for the span goes through.
package struct PaceBucket: Sendable {
    /// Bytes that went and have not had their time yet.
    private var debt: Double = 0
    private var seen: UInt64 = 0

    package init() {}

    /// Lets `bytes` through now, or answers how many nanoseconds later to ask again: a second at most, since the rate may be another then.
    ///
    /// - Parameters:
    ///   - now: nanoseconds of a monotonic clock.
    ///   - bytesPerSecond: nil for as fast as it goes.
    package mutating func take(_ bytes: Int, now: UInt64, bytesPerSecond: UInt64?) -> UInt64? {
        let elapsed = now > seen ? now - seen : 0
        seen = max(seen, now)
        guard let bytesPerSecond else {
            debt = 0
            return nil
        }
        let rate = Double(max(bytesPerSecond, 1))
        debt = max(0, debt - Double(elapsed) / 1e9 * rate)
        // Less than a byte is what rounding leaves.
        guard debt < 1 else { return UInt64(min(debt / rate, 1) * 1e9) + 1 }
        debt += Double(bytes)
        return nil
    }

    /// Gives back what was taken and did not go.
    package mutating func giveBack(_ bytes: Int) { debt -= Double(bytes) }
}
