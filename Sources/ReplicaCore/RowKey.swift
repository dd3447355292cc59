/// Keys of rows. The first byte says what the row is; numbers in keys are big-endian, so that byte order is numeric order.
enum RowKey {
    private static let version = UInt8(ascii: "k")
    private static let feedByte = UInt8(ascii: "f")
    private static let uploadByte = UInt8(ascii: "u")
    private static let chunkListByte = UInt8(ascii: "U")
    private static let chunkByte = UInt8(ascii: "c")
    private static let sessionByte = UInt8(ascii: "s")
    private static let metaByte = UInt8(ascii: "m")
    private static let orphanByte = UInt8(ascii: "o")
    private static let orphanPinByte = UInt8(ascii: "O")
    private static let localByte = UInt8(ascii: "l")

    /// Bytes of the inverted revision that ends a version row's key.
    static let revisionBytes = 8

    // MARK: versions of keys

    /// What all versions of one key begin with: 'k', the keyspace, the escaped key, its end mark 00 01.
    static func versions(of key: Bytes, in space: Keyspace) -> [UInt8] {
        var row: [UInt8] = []
        row.reserveCapacity(key.count + 4 + revisionBytes)
        row.append(version)
        row.append(space.rawValue)
        appendEscaped(key, to: &row)
        row.append(0)
        row.append(1)
        return row
    }

    /// The first row key after all versions that begin with `versions`.
    static func end(ofVersions versions: [UInt8]) -> [UInt8] {
        var row = versions
        row[row.count - 1] = 2
        return row
    }

    /// The row of one version; newer versions sort first.
    static func append(revision: UInt64, to versions: inout [UInt8]) {
        versions.appendBigEndian(~revision)
    }

    /// The row keys that hold all versions of the keys meant.
    static func bounds(of keys: KeySelector, in space: Keyspace) -> (from: [UInt8], below: [UInt8]) {
        switch keys {
        case .key(let key):
            let from = versions(of: key, in: space)
            return (from, end(ofVersions: from))
        case .prefix(let prefix):
            let from = start(prefix, space)
            return (from, successor(of: from))
        case .range(let from, let below): return (start(from, space), start(below, space))
        case .from(let from): return (start(from, space), [version, space.rawValue + 1])
        }
    }

    /// All version rows of both keyspaces.
    static var allVersions: (from: [UInt8], below: [UInt8]) { ([version], [version + 1]) }

    /// The key and revision of a version row; nil if these are not the bytes of one.
    static func decodeVersion(_ row: UnsafeRawBufferPointer) -> (space: Keyspace, key: [UInt8], revision: UInt64)? {
        guard row.count >= 4 + revisionBytes, row[0] == version, let space = Keyspace(rawValue: row[1]) else {
            return nil
        }
        let end = row.count - revisionBytes - 2
        guard row[end] == 0, row[end + 1] == 1 else { return nil }
        var key: [UInt8] = []
        key.reserveCapacity(end - 2)
        var position = 2
        while position < end {
            key.append(row[position])
            if row[position] == 0 {
                position += 1
                guard position < end, row[position] == 0xFF else { return nil }
            }
            position += 1
        }
        return (space, key, revision(of: row))
    }

    /// Whether these bytes lie between the rows of two keys, or after all of them.
    static func isBound(_ bytes: Bytes) -> Bool {
        if bytes == allVersions.below[...] { return true }
        guard bytes.last == 2 else { return false }
        var row = bytes.dropLast() + [1]
        row.append(contentsOf: repeatElement(0, count: revisionBytes))
        return row.withUnsafeBytes { decodeVersion($0) } != nil
    }

    /// The revision in a version row's key, whose length the caller has checked.
    static func revision(of row: UnsafeRawBufferPointer) -> UInt64 {
        ~row.bigEndianWord(at: row.count - revisionBytes)
    }

    private static func start(_ key: Bytes, _ space: Keyspace) -> [UInt8] {
        var row: [UInt8] = [version, space.rawValue]
        appendEscaped(key, to: &row)
        return row
    }

    /// 00 becomes 00 FF, so that the end mark 00 01 sorts before every continuation of the key.
    private static func appendEscaped(_ key: Bytes, to row: inout [UInt8]) {
        if !key.contains(0) {
            row.append(contentsOf: key)
            return
        }
        for byte in key {
            row.append(byte)
            if byte == 0 { row.append(0xFF) }
        }
    }

    /// The first byte string after all that begin with `prefix`, which does not begin with FF.
    private static func successor(of prefix: [UInt8]) -> [UInt8] {
        var next = prefix
        while let last = next.last, last == 0xFF { next.removeLast() }
        if let last = next.popLast() { next.append(last + 1) }
        return next
    }

    // MARK: the feed

    /// The feed row of one revision.
    static func feed(_ revision: UInt64) -> [UInt8] { numbered(feedByte, revision) }

    // MARK: uploads

    /// The record of an upload.
    static func upload(_ id: UploadID) -> [UInt8] {
        var row = [uploadByte]
        id.append(to: &row)
        return row
    }

    /// All records of uploads.
    static var uploads: (from: [UInt8], below: [UInt8]) { ([uploadByte], [uploadByte + 1]) }

    /// The piece of an upload's chunk list that begins at an ordinal.
    static func chunkList(_ id: UploadID, _ number: UInt64, from ordinal: UInt64) -> [UInt8] {
        var row = [chunkListByte]
        id.append(to: &row)
        row.appendBigEndian(number)
        row.appendBigEndian(ordinal)
        return row
    }

    /// All pieces of all chunk lists.
    static var chunkLists: (from: [UInt8], below: [UInt8]) { ([chunkListByte], [chunkListByte + 1]) }

    /// The upload and ordinal in the key of a chunk list's piece.
    static func decodeChunkList(_ row: UnsafeRawBufferPointer) -> (id: UploadID, number: UInt64, ordinal: UInt64)? {
        guard row.count == 33, let id = UploadID(UnsafeRawBufferPointer(rebasing: row[1..<17])) else { return nil }
        return (id, row.bigEndianWord(at: 17), row.bigEndianWord(at: 25))
    }

    /// Says that an upload names a chunk; the value is the upload's ID.
    static func chunk(_ chunk: ChunkID, number: UInt64) -> [UInt8] {
        var row = [chunkByte]
        chunk.append(to: &row)
        row.appendBigEndian(number)
        return row
    }

    /// The rows that say who names a chunk, from this chunk on.
    static func chunks(from chunk: ChunkID) -> [UInt8] {
        var row = [chunkByte]
        chunk.append(to: &row)
        return row
    }

    /// Where the rows that say who names a chunk end.
    static let chunksEnd: [UInt8] = [chunkByte + 1]

    /// The chunk and the upload's number in a row that says who names a chunk.
    static func decodeChunk(_ row: UnsafeRawBufferPointer) -> (chunk: ChunkID, number: UInt64)? {
        guard row.count == 41, let chunk = ChunkID(UnsafeRawBufferPointer(rebasing: row[1..<33])) else { return nil }
        return (chunk, row.bigEndianWord(at: 33))
    }

    // MARK: the rest

    /// A client session.
    static func session(_ id: UInt64) -> [UInt8] { numbered(sessionByte, id) }
    /// All client sessions.
    static var sessions: (from: [UInt8], below: [UInt8]) { ([sessionByte], [sessionByte + 1]) }

    /// Where the store stands.
    static let state: [UInt8] = [metaByte, 1]
    /// The configuration applied last.
    static let members: [UInt8] = [metaByte, 2]
    /// The cluster's lineage.
    static let lineage: [UInt8] = [metaByte, 3]
    /// How far a node is complete.
    static func completeness(_ node: UInt64) -> [UInt8] {
        var row: [UInt8] = [metaByte, 4]
        row.appendBigEndian(node)
        return row
    }
    /// How far all nodes are complete.
    static var completenesses: (from: [UInt8], below: [UInt8]) { ([metaByte, 4], [metaByte, 5]) }

    /// A node ID that was ever given out.
    static func memberRecord(_ node: UInt64) -> [UInt8] {
        var row: [UInt8] = [metaByte, 16]
        row.appendBigEndian(node)
        return row
    }
    /// All node IDs that were ever given out.
    static var memberRecords: (from: [UInt8], below: [UInt8]) { ([metaByte, 16], [metaByte, 17]) }
    /// The log index of the newest change of the configuration.
    static let configurationIndex: [UInt8] = [metaByte, 17]
    /// The replicated feature version; absent while it is the first.
    static let featureVersion: [UInt8] = [metaByte, 24]

    /// This cluster's part in a pair of sites; absent while it was never in one.
    static let site: [UInt8] = [metaByte, 32]
    /// How far the other site has followed; absent as `site`.
    static let siteProgress: [UInt8] = [metaByte, 33]
    /// The seed that a standby is brought up by; absent without one.
    static let seed: [UInt8] = [metaByte, 36]

    /// What one revision did that the `rewind`-th command undid.
    static func orphan(rewind: UInt64, revision: UInt64) -> [UInt8] {
        var row = numbered(orphanByte, rewind)
        row.appendBigEndian(revision)
        return row
    }
    /// Where the orphans end.
    static let orphansEnd: [UInt8] = [orphanByte + 1]
    /// Says that an orphan names the chunks of an upload.
    static func orphanPin(_ id: UploadID, number: UInt64) -> [UInt8] {
        var row = [orphanPinByte]
        id.append(to: &row)
        row.appendBigEndian(number)
        return row
    }

    /// All rows about which nodes are and were members.
    static var membership: (from: [UInt8], below: [UInt8]) { ([metaByte, 16], [metaByte, 20]) }

    /// All rows that are not replicated.
    static var localRows: (from: [UInt8], below: [UInt8]) { ([localByte], [localByte + 1]) }
    /// Where this node's compaction sweep stands; not replicated.
    static let sweep: [UInt8] = [localByte, 1]

    private static func numbered(_ kind: UInt8, _ number: UInt64) -> [UInt8] {
        var row: [UInt8] = []
        row.reserveCapacity(9)
        row.append(kind)
        row.appendBigEndian(number)
        return row
    }
}
