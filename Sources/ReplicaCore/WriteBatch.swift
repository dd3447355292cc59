/// Row changes that happen together, in RocksDB's write-batch form: eight bytes of sequence (0), a little-endian count, records.
///
/// Invariants:
/// 1. `bytes` is a whole batch after every call: the count in it equals the number of records that follow.
package struct WriteBatch: Sendable, Equatable {
    /// The batch as RocksDB reads it.
    package private(set) var bytes: [UInt8]
    /// Number of records.
    package private(set) var count: UInt32

    /// One record, as `records()` takes it apart.
    package enum Record: Sendable, Equatable {
        case put(key: [UInt8], value: [UInt8])
        case delete(key: [UInt8])
        case deleteRange(from: [UInt8], below: [UInt8])
    }

    /// Where a put lies in `bytes`.
    struct Location {
        var key: Range<Int>
        var value: Range<Int>
    }

    private enum Tag {
        static let delete: UInt8 = 0
        static let put: UInt8 = 1
        static let deleteRange: UInt8 = 15
    }

    private static let headerCount = 12

    package init() {
        bytes = [UInt8](repeating: 0, count: WriteBatch.headerCount)
        count = 0
    }

    /// No record was added.
    package var isEmpty: Bool { count == 0 }

    /// Sets a row.
    package mutating func put(_ key: [UInt8], _ value: [UInt8]) {
        append(key, value, [])
    }

    /// Removes a row; no error if it is absent.
    package mutating func delete(_ key: [UInt8]) {
        bytes.append(Tag.delete)
        appendString(key)
        countOne()
    }

    /// Removes all rows with from <= key < below.
    package mutating func deleteRange(from: [UInt8], below: [UInt8]) {
        bytes.append(Tag.deleteRange)
        appendString(from)
        appendString(below)
        countOne()
    }

    /// Forgets all records.
    package mutating func reset(keepingCapacity: Bool) {
        bytes.removeAll(keepingCapacity: keepingCapacity)
        bytes.append(contentsOf: repeatElement(0, count: WriteBatch.headerCount))
        count = 0
    }

    /// Sets a row whose value is `head` and then `tail`; answers where it lies.
    @discardableResult
    mutating func append(_ key: [UInt8], _ head: [UInt8], _ tail: Bytes) -> Location {
        bytes.append(Tag.put)
        bytes.appendVarint(UInt64(key.count))
        let keyStart = bytes.count
        bytes.append(contentsOf: key)
        let keyEnd = bytes.count
        bytes.appendVarint(UInt64(head.count + tail.count))
        let valueStart = bytes.count
        bytes.append(contentsOf: head)
        if !tail.isEmpty { bytes.append(contentsOf: tail) }
        countOne()
        return Location(key: keyStart..<keyEnd, value: valueStart..<bytes.count)
    }

    /// The records, in order; for tests and offline inspection.
    package func records() throws(DecodeError) -> [Record] {
        var reader = ByteReader(bytes)
        _ = try reader.fixed64()
        let count = try reader.fixed32()
        var records: [Record] = []
        for _ in 0..<count {
            switch try reader.byte() {
            case Tag.put: records.append(.put(key: Array(try reader.string()), value: Array(try reader.string())))
            case Tag.delete: records.append(.delete(key: Array(try reader.string())))
            case Tag.deleteRange:
                records.append(.deleteRange(from: Array(try reader.string()), below: Array(try reader.string())))
            case let tag: throw .unknownTag(what: "write batch record", tag)
            }
        }
        try reader.finish()
        return records
    }

    private mutating func appendString(_ string: [UInt8]) {
        bytes.appendVarint(UInt64(string.count))
        bytes.append(contentsOf: string)
    }

    /// Keeps (1).
    private mutating func countOne() {
        count += 1
        bytes[8] = UInt8(truncatingIfNeeded: count)
        bytes[9] = UInt8(truncatingIfNeeded: count >> 8)
        bytes[10] = UInt8(truncatingIfNeeded: count >> 16)
        bytes[11] = UInt8(truncatingIfNeeded: count >> 24)
    }
}
