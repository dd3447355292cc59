package import ReplicaCore

/// Rows in memory, sorted, in leaves of bounded size: what the row store is to a node, with copies that share what did not change.
///
/// Invariants:
/// 1. Rows ascend strictly by key across `leaves`, and no leaf is empty.
/// 2. `stateHash` is the sum of `hash(of:)` over all rows that replication decides, so equal states have equal sums however they came about.
package struct SimulatedRows: RowReader {
    struct Row {
        var key: [UInt8]
        var value: [UInt8]
    }

    private static let leafMax = 64

    private(set) var leaves: [[Row]] = []
    /// See (2).
    private(set) var stateHash: UInt64 = 0

    package init() {}

    /// All rows in order.
    var all: FlattenSequence<[[Row]]> { leaves.joined() }
    /// Number of rows.
    package var count: Int { leaves.reduce(0) { $0 + $1.count } }

    package func get(_ key: [UInt8]) throws(RowError) -> [UInt8]? {
        guard let place = find(key), place.isFound else { return nil }
        return leaves[place.leaf][place.row].value
    }

    package func scan(
        from: [UInt8], below: [UInt8], reverse: Bool,
        _ body: (_ key: UnsafeRawBufferPointer, _ value: UnsafeRawBufferPointer) -> Bool
    ) throws(RowError) {
        if reverse { scanDown(from: from, below: below, body) } else { scanUp(from: from, below: below, body) }
    }

    private func scanUp(
        from: [UInt8], below: [UInt8], _ body: (UnsafeRawBufferPointer, UnsafeRawBufferPointer) -> Bool
    ) {
        guard let start = find(from) else { return }
        var row = start.row
        for leaf in start.leaf..<leaves.count {
            while row < leaves[leaf].count {
                let found = leaves[leaf][row]
                guard isBelow(found.key, below) else { return }
                let goesOn = found.key.withUnsafeBytes { key in found.value.withUnsafeBytes { body(key, $0) } }
                if !goesOn { return }
                row += 1
            }
            row = 0
        }
    }

    private func scanDown(
        from: [UInt8], below: [UInt8], _ body: (UnsafeRawBufferPointer, UnsafeRawBufferPointer) -> Bool
    ) {
        guard let end = find(below) else { return }
        var leaf = end.leaf
        var row = end.row
        while true {
            while row == 0 {
                guard leaf > 0 else { return }
                leaf -= 1
                row = leaves[leaf].count
            }
            row -= 1
            let found = leaves[leaf][row]
            guard !isBelow(found.key, from) else { return }
            let goesOn = found.key.withUnsafeBytes { key in found.value.withUnsafeBytes { body(key, $0) } }
            if !goesOn { return }
        }
    }

    /// Applies a write batch, as the row store does: all of it.
    package mutating func write(_ batch: WriteBatch) throws(RowError) {
        guard !batch.isEmpty else { return }
        let records: [WriteBatch.Record]
        do throws(DecodeError) {
            records = try batch.records()
        } catch {
            throw RowError(message: "write batch is malformed: \(error)", isCorruption: true)
        }
        for record in records {
            switch record {
            case .put(let key, let value): put(key, value)
            case .delete(let key): delete(key)
            case .deleteRange(let from, let below): deleteRange(from, below)
            }
        }
    }

    // MARK: changes

    private mutating func put(_ key: [UInt8], _ value: [UInt8]) {
        let row = Row(key: key, value: value)
        stateHash &+= Self.hash(of: row)
        guard let place = find(key) else {
            leaves.append([row])
            return
        }
        if place.isFound {
            stateHash &-= Self.hash(of: leaves[place.leaf][place.row])
            leaves[place.leaf][place.row].value = value
            return
        }
        leaves[place.leaf].insert(row, at: place.row)
        if leaves[place.leaf].count > Self.leafMax {
            let half = Self.leafMax / 2
            let upper = Array(leaves[place.leaf][half...])
            leaves[place.leaf].removeSubrange(half...)
            leaves.insert(upper, at: place.leaf + 1)
        }
    }

    private mutating func delete(_ key: [UInt8]) {
        guard let place = find(key), place.isFound else { return }
        stateHash &-= Self.hash(of: leaves[place.leaf][place.row])
        leaves[place.leaf].remove(at: place.row)
        if leaves[place.leaf].isEmpty { leaves.remove(at: place.leaf) }
    }

    private mutating func deleteRange(_ from: [UInt8], _ below: [UInt8]) {
        var doomed: [[UInt8]] = []
        scanUp(from: from, below: below) { key, _ in
            doomed.append([UInt8](key))
            return true
        }
        for key in doomed { delete(key) }
    }

    // MARK: places

    /// The place of the first row whose key is not below `key`, perhaps behind the last row of a leaf; nil without rows.
    private func find(_ key: [UInt8]) -> (leaf: Int, row: Int, isFound: Bool)? {
        guard !leaves.isEmpty else { return nil }
        var low = 0
        var high = leaves.count - 1
        while low < high {
            let middle = (low + high + 1) / 2
            if compare(leaves[middle][0].key, key) <= 0 { low = middle } else { high = middle - 1 }
        }
        let leaf = low
        low = 0
        high = leaves[leaf].count
        while low < high {
            let middle = (low + high) / 2
            let order = compare(leaves[leaf][middle].key, key)
            if order == 0 { return (leaf, middle, true) }
            if order < 0 { low = middle + 1 } else { high = middle }
        }
        return (leaf, low, false)
    }

    private func isBelow(_ key: [UInt8], _ bound: [UInt8]) -> Bool { compare(key, bound) < 0 }

    // MARK: the state's hash

    /// The part of a row in `stateHash`: zero for rows of one node's own and for those that sweeps remove at their own pace (versions, the feed,
    /// uploads' lists), which the feed's hash chain covers.
    private static func hash(of row: Row) -> UInt64 {
        guard let kind = row.key.first, kind == UInt8(ascii: "m") || kind == UInt8(ascii: "s") else { return 0 }
        return mix(mix(0x5259_4157, bytes: row.key), bytes: row.value)
    }
}

private func compare(_ left: [UInt8], _ right: [UInt8]) -> Int {
    let shared = min(left.count, right.count)
    let order = left.withUnsafeBufferPointer { left in
        right.withUnsafeBufferPointer { right in
            var place = 0
            while place < shared {
                if left[place] != right[place] { return left[place] < right[place] ? -1 : 1 }
                place += 1
            }
            return 0
        }
    }
    return order == 0 ? left.count - right.count : order
}
