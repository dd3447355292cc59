/// How much would be lost if the primary went now, in time: measured by the leader of the standby with its own clock, and true when the
/// primary is gone.
///
/// A poll that is sent at a time and answered with a confirmed revision says: whatever the primary had acknowledged before that time is at
/// or below the revision. Once that much is durable here, only what was acknowledged after the time can be lost.
///
/// Invariants:
/// 1. What it says is never less than the truth: a send time counts only when its revision is durable on a quorum here.
/// 2. A leader that has not yet heard an answer of its own knows nothing, however it came into office.
/// 3. Memory is bounded: of answers that wait for the same revision the latest sent counts, and there are at most `Limits.recoverySamplesMax`.
package struct RecoveryPoint: Sendable, Hashable {
    /// A poll that was answered.
    private struct Sample: Sendable, Hashable {
        var sent: UInt64
        var revision: UInt64
    }

    /// Ascending by both.
    private var waiting: [Sample] = []
    /// The latest send time all of whose writes are durable here.
    private var covered: UInt64?

    package init() {}

    /// An answer came: at `sent` (nanoseconds of this process' monotonic clock) the poll left; `revision` is the primary's, confirmed after
    /// the poll had arrived there.
    package mutating func answered(sent: UInt64, revision: UInt64, durable: UInt64) {
        waiting.removeAll { $0.revision >= revision && $0.sent <= sent }
        if !waiting.contains(where: { $0.sent >= sent && $0.revision <= revision }) {
            let place = waiting.firstIndex { $0.revision > revision } ?? waiting.count
            waiting.insert(Sample(sent: sent, revision: revision), at: place)
            // Forgetting the latest one only makes the figure larger.
            if waiting.count > Limits.recoverySamplesMax { waiting.removeLast() }
        }
        advanced(durable: durable)
    }

    /// Everything through `durable` is applied here, and so on a quorum.
    package mutating func advanced(durable: UInt64) {
        while let first = waiting.first, first.revision <= durable {
            covered = max(covered ?? 0, first.sent)
            waiting.removeFirst()
        }
    }

    /// Forgets everything: another leader, another primary, a feed that was rewound.
    package mutating func reset() { self = RecoveryPoint() }

    /// Nanoseconds before `now` since which writes may be lost; nil if that is not known.
    package func nanoseconds(now: UInt64) -> UInt64? {
        covered.map { now > $0 ? now - $0 : 0 }
    }
}
