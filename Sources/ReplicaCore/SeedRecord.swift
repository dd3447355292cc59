/// A standby that is brought to the primary's state as of one revision, because the feed no longer reaches back to where it is: what is
/// replicated of that.
///
/// ```
///        seed            step … step            seedEnd
///  none ─────▶ filling ──────────────▶ filled ───────────▶ none: the site is at the target
///                 │ ▲ seed: a later target  │
///                 │ └───────────────────────┤
///                 │ another role or epoch   │
///                 └────────▶ given up ◀─────┘ ── clear … clear ──▶ none: the site is where it was
/// ```
/// The staging area is the store itself: the rows that a seed writes have revisions above the site's own, which no read finds, and one
/// command that raises the revision makes all of them visible.
///
/// Invariants:
/// 1. Rows above `AppliedState.revision` exist only while there is a seed. So no revision is made, applied or undone while there is one.
/// 2. What the site holds of keys below `next`, as of the target, is what the primary holds of them: each range was compared by hash.
/// 3. No row at or below the site's own revision is changed: until `seedEnd` the site is what it was.
/// 4. Every version that a row publishes was whole on a quorum here before the row was written.
package struct SeedRecord: Sendable, Hashable {
    /// The epoch of the primary that it follows.
    package internal(set) var epoch: UInt64
    /// Where the site arrives.
    package internal(set) var target: SitePosition
    /// The primary's feed row of the target.
    package internal(set) var feedRow: Bytes
    /// All keys below this bound are done.
    package internal(set) var next: Bytes = SeedRecord.start
    /// Once given up: rows below this one are removed. Empty before.
    package internal(set) var cleared: Bytes = []
    /// Rows written and their bytes, and ranges that were the same and were not: figures for whoever watches.
    package internal(set) var rows: UInt64 = 0
    package internal(set) var bytes: UInt64 = 0
    package internal(set) var sameRanges: UInt64 = 0
    package internal(set) var changedRanges: UInt64 = 0
    /// Versions that its rows publish.
    package internal(set) var versions: UInt64 = 0

    init(epoch: UInt64, target: SitePosition, feedRow: Bytes) {
        self.epoch = epoch
        self.target = target
        self.feedRow = feedRow
    }

    /// The bound before all keys.
    package static let start: Bytes = RowKey.allVersions.from[...]
    /// The bound after all keys.
    package static let end: Bytes = RowKey.allVersions.below[...]

    /// Every key is done.
    package var isFilled: Bool { next == SeedRecord.end }

    /// The site follows another primary now, or none: the rows must go before it makes, applies or undoes a revision.
    package func isGivenUp(by site: SiteRecord) -> Bool { site.role != .standby || site.epoch != epoch }

    /// Where clearing goes on.
    package var clearsFrom: Bytes { cleared.isEmpty ? SeedRecord.start : cleared }
}

/// Begins a seed, or gives one under way a later target.
package struct SeedHead: Sendable, Hashable {
    package var epoch: UInt64
    /// Where the site stands.
    package var from: SitePosition
    package var target: SitePosition
    /// The primary's feed row of the target.
    package var feedRow: Bytes

    package init(epoch: UInt64, from: SitePosition, target: SitePosition, feedRow: Bytes) {
        self.epoch = epoch
        self.from = from
        self.target = target
        self.feedRow = feedRow
    }
}

/// A range that becomes what the primary holds of it.
package struct SeedSpan: Sendable, Hashable {
    package var leaf: SeedLeaf
    /// Rows to write, ascending.
    package var rows: [SeedRow]
    /// What all rows of keys begin with that the primary does not have any more, ascending.
    package var removed: [Bytes]

    package init(leaf: SeedLeaf, rows: [SeedRow], removed: [Bytes]) {
        self.leaf = leaf
        self.rows = rows
        self.removed = removed
    }

    /// Bytes that it takes in a command, about.
    var byteCount: Int {
        rows.reduce(leaf.below.count + 64) { $0 + $1.key.count + $1.value.count + 16 }
            + removed.reduce(0) { $0 + $1.count + 8 }
    }

    /// The versions that become visible with it.
    package func publishes() throws(DecodeError) -> [SiteShipment.Publish] {
        var publishes: [SiteShipment.Publish] = []
        for row in rows {
            guard let found = row.key.withUnsafeBytes({ RowKey.decodeVersion($0) }), found.space == .system,
                let name = ModelName.decode(found.key[...])
            else { continue }
            guard let record = row.value.withUnsafeBytes({ VersionRecord($0) }), !record.isTombstone else { continue }
            let model = try ModelRecord(decoding: row.value.dropFirst(record.valueOffset))
            if !model.isRetired {
                publishes.append(SiteShipment.Publish(name: name.name, version: name.version, record: model))
            }
        }
        return publishes
    }
}

/// Ranges that follow each other, from where the seed is.
package struct SeedStep: Sendable, Hashable {
    /// The target's revision.
    package var revision: UInt64
    package var from: Bytes
    package var spans: [SeedSpan]
    /// Nodes that hold every chunk of every version that the rows publish.
    package var durableOn: [Publication.Receipt]

    package init(revision: UInt64, from: Bytes, spans: [SeedSpan], durableOn: [Publication.Receipt] = []) {
        self.revision = revision
        self.from = from
        self.spans = spans
        self.durableOn = durableOn
    }

    /// Spans that follow each other in steps that each fit a command.
    package static func steps(
        of spans: [SeedSpan], from: Bytes, revision: UInt64, bytesMax: Int = Limits.seedStepBytesMax
    ) -> [SeedStep] {
        var steps: [SeedStep] = []
        var bytes = 0
        var next = from
        for span in spans {
            if steps.isEmpty || bytes + span.byteCount > bytesMax
                || steps[steps.count - 1].spans.count == Limits.seedLeavesMax
            {
                steps.append(SeedStep(revision: revision, from: next, spans: []))
                bytes = 0
            }
            steps[steps.count - 1].spans.append(span)
            bytes += span.byteCount
            next = span.leaf.below
        }
        return steps
    }
}
