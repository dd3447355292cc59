/// How often a standby's word changes the primary's rows: at most once in a while, and at once where a switchover waits for it.
package struct AcknowledgementPace: Sendable {
    /// Nanoseconds between two words that nobody waits for.
    package static let pause: UInt64 = 1_000_000_000

    private var revision: UInt64 = 0
    private var writtenAt: UInt64?

    package init() {}

    /// Whether a word is to be written at `now` (nanoseconds of a monotonic clock); if so, it counts as written.
    package mutating func takes(_ word: SiteAcknowledgement, isAwaited: Bool, now: UInt64) -> Bool {
        guard word.position.revision != revision else { return false }
        if let writtenAt, !isAwaited, now < writtenAt + Self.pause { return false }
        (revision, writtenAt) = (word.position.revision, now)
        return true
    }
}
