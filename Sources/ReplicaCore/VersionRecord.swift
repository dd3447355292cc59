/// The value of a version row: format 1, kind (0 put, 1 tombstone), and for a put create revision, version and lease as varints and
/// then the value to the end.
struct VersionRecord {
    var isTombstone: Bool
    var createRevision: UInt64
    var version: UInt64
    var lease: UInt64
    /// Where the value begins.
    var valueOffset: Int

    static let format: UInt8 = 1

    /// The record in a row's value; nil if these are not the bytes of one.
    init?(_ row: UnsafeRawBufferPointer) {
        guard row.count >= 2, row[0] == VersionRecord.format else { return nil }
        switch row[1] {
        case 1 where row.count == 2:
            self.init(isTombstone: true, createRevision: 0, version: 0, lease: 0, valueOffset: 2)
        case 0:
            var position = 2
            guard let create = VersionRecord.varint(row, &position), let version = VersionRecord.varint(row, &position),
                let lease = VersionRecord.varint(row, &position)
            else { return nil }
            self.init(
                isTombstone: false, createRevision: create, version: version, lease: lease, valueOffset: position)
        default: return nil
        }
    }

    private init(isTombstone: Bool, createRevision: UInt64, version: UInt64, lease: UInt64, valueOffset: Int) {
        self.isTombstone = isTombstone
        self.createRevision = createRevision
        self.version = version
        self.lease = lease
        self.valueOffset = valueOffset
    }

    /// Replaces `head` by all of a put's record that comes before its value.
    static func encodePut(createRevision: UInt64, version: UInt64, lease: UInt64, into head: inout [UInt8]) {
        head.removeAll(keepingCapacity: true)
        head.append(format)
        head.append(0)
        head.appendVarint(createRevision)
        head.appendVarint(version)
        head.appendVarint(lease)
    }

    /// The record of a deletion.
    static let tombstone: [UInt8] = [format, 1]

    private static func varint(_ row: UnsafeRawBufferPointer, _ position: inout Int) -> UInt64? {
        var value: UInt64 = 0
        var shift: UInt64 = 0
        while position < row.count, shift < 64 {
            let next = row[position]
            position += 1
            if shift == 63, next > 1 { return nil }
            value |= UInt64(next & 0x7F) << shift
            if next < 0x80 { return value }
            shift += 7
        }
        return nil
    }
}
