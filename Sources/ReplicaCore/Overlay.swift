/// The rows as one group of entries sees them: what it has written so far over what was stored before.
///
/// Invariants:
/// 1. `sorted` is strictly ascending by key and holds the last write of each of its keys; `recent` holds later writes, in order.
/// 2. Positions point into `batch`, which only grows while the overlay lives.
/// 3. Reads happen only when `recent` is empty: `settle` comes first. A group of plain puts never reads, and so never sorts.
struct Overlay: ~Copyable, RowReader {
    /// What the group has written.
    var batch: WriteBatch
    /// The rows before the group.
    let base: ErasedRows
    private var sorted: [Write] = []
    private var recent: [Write] = []

    private struct Write {
        var keyStart: Int
        var keyEnd: Int
        var valueStart: Int
        /// Below `valueStart` for a deletion.
        var valueEnd: Int

        var isDeletion: Bool { valueEnd < valueStart }

        func key(_ bytes: UnsafeRawBufferPointer) -> UnsafeRawBufferPointer {
            UnsafeRawBufferPointer(rebasing: bytes[keyStart..<keyEnd])
        }

        func value(_ bytes: UnsafeRawBufferPointer) -> UnsafeRawBufferPointer {
            UnsafeRawBufferPointer(rebasing: bytes[valueStart..<valueEnd])
        }
    }

    /// `batch` must be empty.
    init(over base: ErasedRows, batch: consuming WriteBatch) {
        self.base = base
        self.batch = batch
    }

    /// Sets a row whose value is `head` and then `tail`.
    mutating func put(_ key: [UInt8], _ head: [UInt8], _ tail: Bytes = []) {
        let place = batch.append(key, head, tail)
        recent.append(
            Write(
                keyStart: place.key.lowerBound, keyEnd: place.key.upperBound, valueStart: place.value.lowerBound,
                valueEnd: place.value.upperBound))
    }

    /// Sets a row that the group never reads.
    mutating func putUnread(_ key: [UInt8], _ head: [UInt8], _ tail: Bytes = []) {
        batch.append(key, head, tail)
    }

    /// Removes a row.
    mutating func delete(_ key: [UInt8]) {
        batch.delete(key)
        let end = batch.bytes.count
        recent.append(Write(keyStart: end - key.count, keyEnd: end, valueStart: end, valueEnd: end - 1))
    }

    /// Makes all writes so far readable.
    mutating func settle() {
        guard !recent.isEmpty else { return }
        let older = sorted
        let newer = recent
        sorted = batch.bytes.withUnsafeBytes { bytes in
            let ordered = newer.indices.sorted { left, right in
                let order = compareBytes(newer[left].key(bytes), newer[right].key(bytes))
                return order == 0 ? left < right : order < 0
            }
            var merged: [Write] = []
            merged.reserveCapacity(older.count + ordered.count)
            var position = 0
            for place in ordered {
                let write = newer[place]
                let key = write.key(bytes)
                while position < older.count, compareBytes(older[position].key(bytes), key) < 0 {
                    merged.append(older[position])
                    position += 1
                }
                if position < older.count, compareBytes(older[position].key(bytes), key) == 0 { position += 1 }
                if let last = merged.last, compareBytes(last.key(bytes), key) == 0 { merged.removeLast() }
                merged.append(write)
            }
            merged.append(contentsOf: older[position...])
            return merged
        }
        recent.removeAll(keepingCapacity: true)
    }

    borrowing func get(_ key: [UInt8]) throws(RowError) -> [UInt8]? {
        precondition(recent.isEmpty, "overlay read before settle")
        let found: Write? = batch.bytes.withUnsafeBytes { bytes in
            key.withUnsafeBytes { wanted in
                let position = lowerBound(wanted, bytes)
                guard position < sorted.count, compareBytes(sorted[position].key(bytes), wanted) == 0 else {
                    return nil
                }
                return sorted[position]
            }
        }
        guard let found else { return try base.get(key) }
        return found.isDeletion ? nil : Array(batch.bytes[found.valueStart..<found.valueEnd])
    }

    borrowing func scan(
        from: [UInt8],
        below: [UInt8],
        reverse: Bool,
        _ body: (UnsafeRawBufferPointer, UnsafeRawBufferPointer) -> Bool
    ) throws(RowError) {
        precondition(recent.isEmpty, "overlay read before settle")
        let range: Range<Int> = batch.bytes.withUnsafeBytes { bytes in
            let first = from.withUnsafeBytes { lowerBound($0, bytes) }
            let end = below.withUnsafeBytes { lowerBound($0, bytes) }
            return first..<max(first, end)
        }
        if range.isEmpty { return try base.scan(from: from, below: below, reverse: reverse, body) }
        var left = range
        var goesOn = true
        // Visits the overlay's next write and says whether to go on.
        func visit(_ bytes: UnsafeRawBufferPointer) -> Bool {
            let write = reverse ? sorted[left.upperBound - 1] : sorted[left.lowerBound]
            left = reverse ? left.lowerBound..<(left.upperBound - 1) : (left.lowerBound + 1)..<left.upperBound
            return write.isDeletion || body(write.key(bytes), write.value(bytes))
        }
        try base.scan(from: from, below: below, reverse: reverse) { key, value in
            batch.bytes.withUnsafeBytes { bytes in
                while !left.isEmpty {
                    let next = (reverse ? sorted[left.upperBound - 1] : sorted[left.lowerBound]).key(bytes)
                    let order = compareBytes(next, key)
                    if order == 0 {
                        goesOn = visit(bytes)
                        return goesOn
                    }
                    guard (order < 0) != reverse else { break }
                    goesOn = visit(bytes)
                    if !goesOn { return false }
                }
                goesOn = body(key, value)
                return goesOn
            }
        }
        batch.bytes.withUnsafeBytes { bytes in
            while goesOn, !left.isEmpty { goesOn = visit(bytes) }
        }
    }

    /// The position of the first sorted write whose key is not below `key`.
    private borrowing func lowerBound(_ key: UnsafeRawBufferPointer, _ bytes: UnsafeRawBufferPointer) -> Int {
        var low = 0
        var high = sorted.count
        while low < high {
            let middle = (low + high) / 2
            if compareBytes(sorted[middle].key(bytes), key) < 0 { low = middle + 1 } else { high = middle }
        }
        return low
    }
}

/// Below, equal to or above 0 as `left` sorts before, with or after `right`.
func compareBytes(_ left: UnsafeRawBufferPointer, _ right: UnsafeRawBufferPointer) -> Int {
    let shared = min(left.count, right.count)
    var position = 0
    while position + 8 <= shared {
        let a = left.bigEndianWord(at: position)
        let b = right.bigEndianWord(at: position)
        if a != b { return a < b ? -1 : 1 }
        position += 8
    }
    while position < shared {
        if left[position] != right[position] { return left[position] < right[position] ? -1 : 1 }
        position += 1
    }
    return left.count - right.count
}
