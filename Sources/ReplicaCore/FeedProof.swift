/// Recomputes the feed from the rows of the keys: whether what is read here is what the chain hash covers.
///
/// The chain hash of a revision covers everything before it, so a store whose hash at a revision is another site's, and whose rows give that
/// hash, holds what the other one has, bit by bit, as far down as its feed goes.
package enum FeedProof {
    /// Where one look ended.
    package struct Page: Sendable, Hashable {
        /// The first revision that was not looked at.
        package var next: UInt64
        /// The revision whose rows do not give its hash; the look ends there.
        package var wrong: UInt64?
        /// Why; empty without one.
        package var reason: String

        package init(next: UInt64, wrong: UInt64? = nil, reason: String = "") {
            self.next = next
            self.wrong = wrong
            self.reason = reason
        }
    }

    /// The first revision that can be recomputed at a feed floor: of the floor itself the hash before is gone.
    package static func first(floor: UInt64) -> UInt64 { floor <= 1 ? 1 : floor + 1 }

    /// Looks at revisions from `first` on, through `last` or until `bytesMax` bytes of entries were hashed.
    package static func check<Hash: HashFunction, Rows: RowReader & ~Copyable>(
        _ revisions: ClosedRange<UInt64>, bytesMax: Int, hash: Hash.Type, rows: borrowing Rows
    ) throws(RowError) -> Page {
        let first = revisions.lowerBound
        var before = Digest.zero
        if first > 1 {
            guard let known = try FeedReader.hash(after: first - 1, rows: rows) else {
                return Page(next: first, wrong: first - 1, reason: "its row of the feed is gone")
            }
            before = known
        }
        var next = first
        var bytes = 0
        while next <= revisions.upperBound, bytes < bytesMax {
            let entry: FeedEntry
            do throws(RowError) {
                entry = try SiteFeed.entry(next, rows: rows)
            } catch {
                guard error.isCorruption else { throw error }
                return Page(next: next, wrong: next, reason: error.message)
            }
            let after = entry.hash(after: before) { bytes in
                var function = Hash()
                function.update(bytes)
                return function.finish()
            }
            guard try FeedReader.hash(after: next, rows: rows) == after else {
                return Page(next: next, wrong: next, reason: "its rows do not give its hash")
            }
            bytes += entry.bytes.count
            before = after
            next += 1
        }
        return Page(next: next)
    }
}
