/// Everything that one revision changed, with the values: what crosses between sites.
///
/// The bytes are those under the chain hash (`EffectLog`), without the hash before: who knows that hash can check the entry against the
/// hash after it, whoever sent it.
package struct FeedEntry: Sendable, Hashable {
    /// What a revision did to keys, as `FeedRecord.Effect`, with the values.
    package enum Effect: Sendable, Hashable {
        case put(Keyspace, key: Bytes, value: Bytes, lease: UInt64)
        case delete(Keyspace, KeySelector)
    }

    /// The revision in 8 bytes, little-endian, and the effects.
    package var bytes: Bytes

    package init(bytes: Bytes) { self.bytes = bytes }

    /// The entry of a revision with these effects.
    package init(revision: UInt64, effects: [Effect]) {
        var log = EffectLog()
        log.begin(revision: revision, previous: .zero)
        for effect in effects {
            switch effect {
            case .put(let space, let key, let value, let lease): log.put(space, key: key, value: value, lease: lease)
            case .delete(let space, let keys): log.delete(space, keys)
            }
        }
        bytes = log.hashed[Digest.byteCount...]
    }

    /// The chain hash after this entry.
    func hash(after previous: Digest, _ digest: (UnsafeRawBufferPointer) -> Digest) -> Digest {
        var hashed: [UInt8] = []
        hashed.reserveCapacity(Digest.byteCount + bytes.count)
        previous.append(to: &hashed)
        hashed.append(contentsOf: bytes)
        return hashed.withUnsafeBytes(digest)
    }

    /// Takes the entry apart.
    package func decoded() throws(DecodeError) -> (revision: UInt64, effects: [Effect]) {
        var reader = ByteReader(bytes)
        let revision = try reader.fixed64()
        var effects: [Effect] = []
        while reader.remaining > 0 {
            let first = try reader.byte()
            guard let space = Keyspace(rawValue: first >> 4) else { throw .unknownTag(what: "keyspace", first >> 4) }
            switch first & 15 {
            case FeedRecord.Tag.put:
                let key = try reader.string()
                let lease = try reader.varint()
                effects.append(.put(space, key: key, value: try reader.string(), lease: lease))
            case FeedRecord.Tag.delete: effects.append(.delete(space, .key(try reader.string())))
            case FeedRecord.Tag.deletePrefix: effects.append(.delete(space, .prefix(try reader.string())))
            case FeedRecord.Tag.deleteRange:
                effects.append(.delete(space, .range(from: try reader.string(), below: try reader.string())))
            case FeedRecord.Tag.deleteFrom: effects.append(.delete(space, .from(try reader.string())))
            case let tag: throw .unknownTag(what: "effect", tag)
            }
        }
        guard !effects.isEmpty else { throw .invalid(what: "entry of the feed without effects") }
        return (revision, effects)
    }
}

/// The feed as another site takes it.
package enum SiteFeed {
    /// Whole entries from revision `first` on through `point.revision`, until at least `bytesMax` bytes are taken or `entriesMax` entries.
    /// Below the feed floor it refuses with `reseedRequired`.
    package static func entries<Rows: RowReader & ~Copyable>(
        from first: UInt64, entriesMax: Int, bytesMax: Int, at point: ReadPoint, rows: borrowing Rows
    ) throws(QueryError) -> [FeedEntry] {
        // The row of the floor itself stays, but not what it has overwritten; entries need only what they wrote.
        guard first > 0, first >= point.feedFloor else {
            throw .refused(.reseedRequired(first, floor: point.feedFloor))
        }
        do throws(RowError) {
            return try ErasedRows.with(rows) { rows throws(RowError) in
                var entries: [FeedEntry] = []
                var bytes = 0
                var next = first
                while next <= point.revision, entries.count < entriesMax, bytes < bytesMax {
                    let entry = try entry(next, rows: rows)
                    bytes += entry.bytes.count
                    entries.append(entry)
                    next += 1
                }
                return entries
            }
        } catch {
            throw .rows(error)
        }
    }

    /// How a position stands to a feed.
    package enum Relation: UInt8, Sendable, Hashable {
        /// It is in the feed: whoever is there can go on with what follows.
        case prefix = 1
        /// The feed has another history at that revision, or does not reach it.
        case diverged = 2
        /// The feed no longer reaches back so far: nobody can tell, and nothing can be shipped from there.
        case belowFloor = 3
    }

    /// How a position stands to the feed in the rows.
    package static func relation<Rows: RowReader & ~Copyable>(
        of position: SitePosition, at state: AppliedState, rows: borrowing Rows
    ) throws(RowError) -> Relation {
        if position.revision > state.revision { return .diverged }
        if position.revision == state.revision { return position.hash == state.feedHash ? .prefix : .diverged }
        if position.revision + 1 < state.feedFloor { return .belowFloor }
        if position.revision == 0 { return position == .start ? .prefix : .diverged }
        guard let hash = try FeedReader.hash(after: position.revision, rows: rows) else { return .belowFloor }
        return hash == position.hash ? .prefix : .diverged
    }

    /// The entry of one revision that the feed has.
    static func entry<Rows: RowReader & ~Copyable>(
        _ revision: UInt64, rows: borrowing Rows
    ) throws(RowError) -> FeedEntry {
        guard let row = try rows.get(RowKey.feed(revision)) else {
            throw .corrupted("the feed row of revision \(revision)")
        }
        let record: FeedRecord
        do throws(DecodeError) {
            record = try FeedRecord(decoding: row)
        } catch {
            throw .corrupted("a feed row", error)
        }
        var effects: [FeedEntry.Effect] = []
        for effect in record.effects {
            switch effect {
            case .put(let space, let key):
                guard let kv = try History.key(key, in: space, at: revision, rows: rows), kv.modRevision == revision
                else {
                    throw .corrupted("the row of a key put at revision \(revision)")
                }
                effects.append(.put(space, key: key, value: kv.value, lease: kv.lease))
            case .delete(let space, let keys): effects.append(.delete(space, keys))
            }
        }
        return FeedEntry(revision: revision, effects: effects)
    }
}

extension Refusal {
    /// The feed does not reach back to where a standby stands.
    static func reseedRequired(_ revision: UInt64, floor: UInt64) -> Refusal {
        Refusal(
            .reseedRequired,
            "the feed begins at revision \(floor), and revision \(revision) was asked for; seed the standby anew",
            earliestRevision: floor)
    }
}
