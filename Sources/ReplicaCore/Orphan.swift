/// A revision that did not survive a failover: what it did, until somebody has looked at it.
package struct Orphan: Sendable, Hashable {
    /// The epoch of the site when it was undone.
    package var epoch: UInt64
    package var revision: UInt64
    /// When it was undone: milliseconds since 1970.
    package var time: UInt64
    package var entry: FeedEntry

    package init(epoch: UInt64, revision: UInt64, time: UInt64, entry: FeedEntry) {
        self.epoch = epoch
        self.revision = revision
        self.time = time
        self.entry = entry
    }

    /// The rows that keep the chunks of the versions which it published.
    var pins: [[UInt8]] {
        get throws(DecodeError) {
            var pins: [[UInt8]] = []
            for case .put(.system, let key, let value, _) in try entry.decoded().effects
            where ModelName.decode(key) != nil {
                let record = try ModelRecord(decoding: value)
                if !record.isRetired { pins.append(RowKey.orphanPin(record.upload, number: record.uploadNumber)) }
            }
            return pins
        }
    }

    /// Up to `limit` orphans after one, in the order of their rewinds, and in each by revision; `rewind` is that of the command.
    package static func list<Rows: RowReader & ~Copyable>(
        after rewind: UInt64 = 0, revision: UInt64 = 0, limit: Int, rows: borrowing Rows
    ) throws(RowError) -> [(rewind: UInt64, orphan: Orphan)] {
        var found: [(rewind: UInt64, orphan: Orphan)] = []
        guard limit > 0 else { return [] }
        try rows.forEach(
            from: RowKey.orphan(rewind: rewind, revision: revision) + [0], below: RowKey.orphansEnd
        ) { key, value throws(RowError) in
            guard key.count == 17 else { throw .corrupted("the key of an orphan") }
            do throws(DecodeError) {
                found.append((key.bigEndianWord(at: 1), try Orphan(decoding: Array(value))))
            } catch {
                throw .corrupted("an orphan", error)
            }
            return found.count < limit
        }
        return found
    }
}

extension Orphan: Coded {
    package static var codedName: String { "orphan" }

    package func encode(into writer: inout ByteWriter) {
        writer.varint(epoch)
        writer.varint(revision)
        writer.varint(time)
        writer.string(entry.bytes)
    }

    package static func decode(from reader: inout ByteReader) throws(DecodeError) -> Orphan {
        Orphan(
            epoch: try reader.varint(), revision: try reader.varint(), time: try reader.varint(),
            entry: FeedEntry(bytes: try reader.string()))
    }
}
