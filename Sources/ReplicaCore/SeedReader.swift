/// A version row as it is stored: its whole key and its whole value.
package struct SeedRow: Sendable, Hashable {
    package var key: Bytes
    package var value: Bytes

    package init(key: Bytes, value: Bytes) {
        self.key = key
        self.value = value
    }

    /// The revision that wrote it; the key's length was checked.
    var revision: UInt64 { key.withUnsafeBytes { RowKey.revision(of: $0) } }
    /// What all rows of its key begin with.
    var versions: Bytes { key.dropLast(RowKey.revisionBytes) }
}

/// A range of keys and what it holds as of a revision; it begins where the one before it ends.
package struct SeedLeaf: Sendable, Hashable {
    /// Where it ends: a bound between the rows of two keys.
    package var below: Bytes
    /// Over the rows that decide its keys.
    package var hash: Digest

    package init(below: Bytes, hash: Digest) {
        self.below = below
        self.hash = hash
    }
}

/// What the primary answers about a leaf, or a part of one: that the standby has it, or all of its rows.
package struct SeedOffer: Sendable, Hashable {
    package var leaf: SeedLeaf
    /// Nil where the standby has the same.
    package var rows: [SeedRow]?

    package init(leaf: SeedLeaf, rows: [SeedRow]?) {
        self.leaf = leaf
        self.rows = rows
    }
}

/// Reads ranges of keys as of one revision, the same way at both sites.
///
/// What a range holds is, of each of its keys, the newest row at or below the revision; not that of a deletion, which says no more than no
/// row, unless the very revision made it. That is what a compaction there leaves, so it is the same whether history was swept or not.
package enum SeedReader {
    /// What a range holds, up to a number of keys looked at and bytes, the first row excepted; and where it stopped.
    static func content(
        from: Bytes, below: Bytes, through revision: UInt64, keysMax: Int = .max, bytesMax: Int = .max,
        rows: ErasedRows
    ) throws(RowError) -> (rows: [SeedRow], below: Bytes) {
        var walk = SeedWalk(through: revision, keysMax: keysMax, bytesMax: bytesMax)
        var next: [UInt8]? = Array(from)
        let end = Array(below)
        while let start = next {
            next = nil
            try rows.forEach(from: start, below: end) { row, value throws(RowError) in
                switch try walk.take(row, value) {
                case .goOn: return true
                case .seek(let key):
                    next = key
                    return false
                case .stop: return false
                }
            }
        }
        return (walk.rows, walk.end ?? below)
    }

    /// The hash over what a range holds.
    static func hash(of rows: [SeedRow], _ digest: (UnsafeRawBufferPointer) -> Digest) -> Digest {
        var bytes: [UInt8] = []
        bytes.reserveCapacity(rows.reduce(0) { $0 + $1.key.count + $1.value.count + 8 })
        for row in rows {
            for part in [row.key, row.value] {
                bytes.appendVarint(UInt64(part.count))
                bytes.append(contentsOf: part)
            }
        }
        return bytes.withUnsafeBytes(digest)
    }

    /// The leaves that the standby holds against the primary's, from a bound on; the last ends at `SeedRecord.end` if it reaches so far.
    package static func leaves<Rows: RowReader & ~Copyable, Hash: HashFunction>(
        from: Bytes, through revision: UInt64, limit: Int = Limits.seedLeavesMax,
        keysMax: Int = Limits.seedLeafKeysMax, rows: borrowing Rows, hash: Hash.Type
    ) throws(RowError) -> [SeedLeaf] {
        try ErasedRows.with(rows) { rows throws(RowError) in
            var leaves: [SeedLeaf] = []
            var next = from
            while leaves.count < limit, next != SeedRecord.end {
                let (held, below) = try content(
                    from: next, below: SeedRecord.end, through: revision, keysMax: keysMax,
                    bytesMax: Limits.seedLeafBytesMax, rows: rows)
                leaves.append(SeedLeaf(below: below, hash: self.hash(of: held, SeedReader.digest(hash))))
                next = below
            }
            return leaves
        }
    }

    /// The primary's answer to the standby's leaves: one offer for each, or several where it holds more; fewer once `bytesMax` is reached.
    package static func offers<Rows: RowReader & ~Copyable, Hash: HashFunction>(
        on leaves: [SeedLeaf], from: Bytes, through revision: UInt64, bytesMax: Int = Limits.seedOffersBytesMax,
        leafBytesMax: Int = Limits.seedLeafBytesMax, rows: borrowing Rows, hash: Hash.Type
    ) throws(RowError) -> [SeedOffer] {
        try ErasedRows.with(rows) { rows throws(RowError) in
            var offers: [SeedOffer] = []
            var next = from
            var bytes = 0
            for leaf in leaves {
                var isStart = true
                while next != leaf.below, bytes < bytesMax {
                    // Keys that were made later are looked at too, and say nothing.
                    let (held, below) = try content(
                        from: next, below: leaf.below, through: revision, keysMax: 16 * Limits.seedLeafKeysMax,
                        bytesMax: leafBytesMax, rows: rows)
                    let own = SeedLeaf(below: below, hash: self.hash(of: held, SeedReader.digest(hash)))
                    let isSame = isStart && own == leaf
                    isStart = false
                    offers.append(SeedOffer(leaf: own, rows: isSame ? nil : held))
                    bytes += isSame ? 64 : held.reduce(64) { $0 + $1.key.count + $1.value.count }
                    next = below
                }
                if bytes >= bytesMax { break }
            }
            return offers
        }
    }

    /// What the standby is to do about an offer: write what it lacks, and end what is gone.
    package static func span<Rows: RowReader & ~Copyable>(
        for offer: SeedOffer, from: Bytes, through revision: UInt64, rows: borrowing Rows
    ) throws(RowError) -> SeedSpan {
        guard let theirs = offer.rows else { return SeedSpan(leaf: offer.leaf, rows: [], removed: []) }
        let own = try ErasedRows.with(rows) { rows throws(RowError) in
            try content(from: from, below: offer.leaf.below, through: revision, rows: rows).rows
        }
        let held = Set(own)
        let keys = Set(theirs.map(\.versions))
        return SeedSpan(
            leaf: offer.leaf, rows: theirs.filter { !held.contains($0) },
            removed: own.filter { !keys.contains($0.versions) }.map(\.versions))
    }

    /// What the standby is to do about offers that follow each other from a bound on.
    package static func spans<Rows: RowReader & ~Copyable>(
        for offers: [SeedOffer], from: Bytes, through revision: UInt64, rows: borrowing Rows
    ) throws(RowError) -> [SeedSpan] {
        var spans: [SeedSpan] = []
        for offer in offers {
            spans.append(try span(for: offer, from: spans.last?.leaf.below ?? from, through: revision, rows: rows))
        }
        return spans
    }

    static func digest<Hash: HashFunction>(_ type: Hash.Type) -> (UnsafeRawBufferPointer) -> Digest {
        { bytes in
            var function = Hash()
            function.update(bytes)
            return function.finish()
        }
    }
}

/// One pass over version rows, newest first within a key.
private struct SeedWalk {
    enum Next {
        case goOn
        /// Cheaper than to step over the rows between.
        case seek([UInt8])
        case stop
    }

    let through: UInt64
    let keysMax: Int
    let bytesMax: Int
    private(set) var rows: [SeedRow] = []
    /// Where the pass stopped; nil at the end of its range.
    private(set) var end: Bytes?
    private var key: [UInt8] = []
    /// The key before it: where the pass ends if this one does not fit.
    private var before: [UInt8] = []
    private var isDecided = false
    private var keys = 0
    private var bytes = 0
    private var skips = 0

    private static let skipsMax = 8

    init(through: UInt64, keysMax: Int, bytesMax: Int) {
        self.through = through
        self.keysMax = max(keysMax, 1)
        self.bytesMax = bytesMax
    }

    mutating func take(
        _ row: UnsafeRawBufferPointer, _ value: UnsafeRawBufferPointer
    ) throws(RowError) -> Next {
        guard row.count > RowKey.revisionBytes, let record = VersionRecord(value) else {
            throw .corrupted("a version row")
        }
        let versions = UnsafeRawBufferPointer(rebasing: row.dropLast(RowKey.revisionBytes))
        let isSame = key.withUnsafeBytes { compareBytes($0, versions) == 0 }
        if !isSame {
            if keys == keysMax { return stop(after: key) }
            keys += 1
            before = key
            key = Array(versions)
            isDecided = false
            skips = 0
        }
        let revision = RowKey.revision(of: row)
        if isDecided || revision > through { return skip() }
        isDecided = true
        skips = 0
        if record.isTombstone, revision < through { return .goOn }
        if bytes > 0, bytes + row.count + value.count > bytesMax { return stop(after: before) }
        bytes += row.count + value.count
        rows.append(SeedRow(key: Bytes(row), value: Bytes(value)))
        return .goOn
    }

    private mutating func stop(after key: [UInt8]) -> Next {
        end = RowKey.end(ofVersions: key)[...]
        return .stop
    }

    private mutating func skip() -> Next {
        skips += 1
        guard skips > SeedWalk.skipsMax else { return .goOn }
        skips = 0
        if isDecided { return .seek(RowKey.end(ofVersions: key)) }
        var from = key
        RowKey.append(revision: through, to: &from)
        return .seek(from)
    }
}
