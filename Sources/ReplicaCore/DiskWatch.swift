/// Tells when the disk of a leader holds its cluster up: one wait for it has lasted longer than any election timeout (design:
/// storage faults).
///
/// Heartbeats need no disk, so followers would keep such a leader in office for ever; nothing that it is asked for would be
/// applied there. The leader has to see it by itself and hand over.
///
/// Invariant: only one and the same wait counts; a disk that is slow, and ends every wait, is never taken for one that stands still.
package struct DiskWatch: Sendable, Hashable {
    /// Ticks that a wait may last: the longest election timeout.
    private let patienceTicks: Int
    private var began: UInt64 = 0
    private var ticks = 0

    /// - Parameter electionTicks: the shortest election timeout; the longest is just below twice as long.
    package init(electionTicks: Int) { patienceTicks = 2 * electionTicks }

    /// One tick of the clock; true where the wait in progress has lasted too long, on every tick until it ends.
    ///
    /// - Parameter began: what names the wait in progress, such as the time that it began; 0 if there is none.
    package mutating func tick(waitingSince began: UInt64) -> Bool {
        ticks = began != 0 && began == self.began ? ticks + 1 : 0
        self.began = began
        return ticks > patienceTicks
    }
}
