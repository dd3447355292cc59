/// A row store that could not answer.
package struct RowError: Error, Equatable {
    /// What failed, on what.
    package var message: String
    /// The rows answered with something that no version of this code has written.
    package var isCorruption: Bool

    package init(message: String, isCorruption: Bool) {
        self.message = message
        self.isCorruption = isCorruption
    }
}

/// An ordered map of byte strings as of one moment: RocksDB, or a sorted array in tests.
package protocol RowReader: ~Copyable {
    /// The value of exactly this key.
    borrowing func get(_ key: [UInt8]) throws(RowError) -> [UInt8]?

    /// Rows with from <= key < below in key order (descending if `reverse`), until `body` returns false.
    /// The buffers are valid only inside the call.
    borrowing func scan(
        from: [UInt8],
        below: [UInt8],
        reverse: Bool,
        _ body: (_ key: UnsafeRawBufferPointer, _ value: UnsafeRawBufferPointer) -> Bool
    ) throws(RowError)
}

/// Rows in a sorted array: the reader of tests.
package struct ArrayRows: RowReader, Sendable, Equatable {
    /// One row.
    package struct Row: Sendable, Equatable {
        package var key: [UInt8]
        package var value: [UInt8]
    }

    /// All rows, strictly ascending by key.
    package private(set) var rows: [Row] = []

    package init() {}

    package func get(_ key: [UInt8]) throws(RowError) -> [UInt8]? {
        let position = lowerBound(key)
        guard position < rows.count, rows[position].key == key else { return nil }
        return rows[position].value
    }

    package func scan(
        from: [UInt8],
        below: [UInt8],
        reverse: Bool,
        _ body: (_ key: UnsafeRawBufferPointer, _ value: UnsafeRawBufferPointer) -> Bool
    ) throws(RowError) {
        let first = lowerBound(from)
        let end = lowerBound(below)
        guard first < end else { return }
        for offset in 0..<(end - first) {
            let row = rows[reverse ? end - 1 - offset : first + offset]
            let goesOn = row.key.withUnsafeBytes { key in row.value.withUnsafeBytes { value in body(key, value) } }
            if !goesOn { return }
        }
    }

    /// Applies a write batch, as the row store would.
    package mutating func write(_ batch: WriteBatch) throws(RowError) {
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
            case .deleteRange(let from, let below):
                let first = lowerBound(from)
                let end = lowerBound(below)
                if first < end { rows.removeSubrange(first..<end) }
            }
        }
    }

    private mutating func put(_ key: [UInt8], _ value: [UInt8]) {
        let position = lowerBound(key)
        if position < rows.count, rows[position].key == key {
            rows[position].value = value
        } else {
            rows.insert(Row(key: key, value: value), at: position)
        }
    }

    private mutating func delete(_ key: [UInt8]) {
        let position = lowerBound(key)
        if position < rows.count, rows[position].key == key { rows.remove(at: position) }
    }

    /// The position of the first row whose key is not below `key`.
    private func lowerBound(_ key: [UInt8]) -> Int {
        var low = 0
        var high = rows.count
        while low < high {
            let middle = (low + high) / 2
            if rows[middle].key.lexicographicallyPrecedes(key) { low = middle + 1 } else { high = middle }
        }
        return low
    }
}
