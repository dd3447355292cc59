/// How far the standby has followed, and what of the feed is kept for it: the part of a primary's link that changes all the time.
///
/// Invariants:
/// 1. While `hold` is set, the feed floor is at or below it: the standby can go on from where it is.
/// 2. What is held is at most the caps, by bytes and by age: past either, `hold` ends, in the same command that would have passed it.
/// 3. `marks` ascend; the first is at or below `hold`, so that what it measures is never less than what is held.
/// 4. Without a hold the marks go on, no further back than the caps: a standby that has come back to one of them is held for again.
package struct SiteProgress: Sendable, Hashable {
    /// A place in the feed, with the bytes of all entries before it and the time when it was made.
    package struct Mark: Sendable, Hashable {
        package var revision: UInt64
        package var bytes: UInt64
        /// Milliseconds since 1970.
        package var time: UInt64
    }

    package internal(set) var caps = SiteCaps.initial
    /// What the standby has acknowledged last.
    package internal(set) var acknowledged = SitePosition.start
    /// The revision that the standby can go on from; nil if nothing is kept for it.
    package internal(set) var hold: UInt64?
    /// Bytes of all entries counted so far.
    package internal(set) var bytes: UInt64 = 0
    package internal(set) var marks: [Mark] = []

    package init() {}

    /// Nothing was written to the rows, and nothing needs to be.
    var isEmpty: Bool { self == SiteProgress() }

    /// Bytes that are kept for the standby, or somewhat more.
    package var heldBytes: UInt64 { hold == nil ? 0 : measured }
    /// Bytes of all entries behind the first mark.
    private var measured: UInt64 { marks.first.map { bytes - $0.bytes } ?? 0 }
    /// Bytes that may still be written before a standby that does not move needs to be seeded anew; nil if nothing is held.
    package var headroomBytes: UInt64? { hold.map { _ in caps.bytes > heldBytes ? caps.bytes - heldBytes : 0 } }
    /// Revisions that are made are to be counted.
    var isCounting: Bool { !marks.isEmpty }

    /// Keeps the feed from `revision` on, for a standby that is, or will be, there; entries above it have `behind` bytes already.
    mutating func hold(from revision: UInt64, behind: UInt64 = 0, time: UInt64) {
        count(from: revision, time: time)
        hold = revision
        bytes += behind
    }

    /// Keeps nothing, until a standby has come as far as the site is now.
    mutating func count(from revision: UInt64, time: UInt64) {
        hold = nil
        marks = [Mark(revision: revision, bytes: bytes, time: time)]
    }

    /// The standby has all through `position`; the feed begins at `floor`. Keeps (1), (3) and (4).
    mutating func acknowledge(_ position: SitePosition, floor: UInt64) {
        guard position.revision >= acknowledged.revision else { return }
        acknowledged = position
        if let hold {
            guard position.revision > hold else { return }
        } else {
            guard let first = marks.first, position.revision >= max(first.revision, floor) else { return }
        }
        hold = position.revision
        while marks.count > 1, marks[1].revision <= position.revision { marks.removeFirst() }
    }

    /// A revision was made: `bytes` of entry. Keeps (2).
    mutating func count(_ bytes: Int, revision: UInt64, time: UInt64) {
        guard isCounting else { return }
        if let hold, hold + 1 == revision { marks = [Mark(revision: hold, bytes: self.bytes, time: time)] }
        self.bytes += UInt64(bytes)
        if let last = marks.last, marks.count < Limits.siteMarksMax {
            let isFar = self.bytes - last.bytes >= caps.bytes / 16
            if isFar || time >= last.time && time - last.time >= caps.milliseconds / 16 {
                marks.append(Mark(revision: revision, bytes: self.bytes, time: time))
            }
        }
        release(at: revision, time: time)
    }

    /// Ends the hold if it has passed a cap. Leaders' clocks may step back: then age is not known, and counts from there.
    mutating func release(at revision: UInt64, time: UInt64) {
        if let hold, hold < revision, measured > caps.bytes || isOld(time) { stopHolding() }
        guard hold == nil else { return }
        // Keeps (4).
        while isCounting, measured > caps.bytes || isOld(time) {
            if marks.count == 1 { return count(from: revision, time: time) }
            marks.removeFirst()
        }
    }

    private func isOld(_ time: UInt64) -> Bool {
        marks.first.map { time > $0.time && time - $0.time > caps.milliseconds } ?? false
    }

    mutating func stopHolding() { hold = nil }
}
