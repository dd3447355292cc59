/// The wire form of a write batch: sequence u64, count u32 (both little-endian), then records of a tag byte and
/// one or two byte strings, each with its length as a varint of up to 32 bits before it.
///
/// RocksDB applies records while it reads them, so a bad record would leave the ones before it applied: every batch is
/// walked before it is handed over.
enum BatchForm {
    static let headerBytes = 12

    private enum Tag: UInt8 {
        case delete = 0
        case put = 1
        case deleteRange = 15
    }

    /// What is wrong with a batch; nil if it is well formed.
    static func fault(in bytes: UnsafeRawBufferPointer) -> String? {
        guard bytes.count >= headerBytes else { return "shorter than its header" }
        guard bytes.loadUnaligned(as: UInt64.self) == 0 else { return "its sequence is not 0" }
        let count = UInt32(littleEndian: bytes.loadUnaligned(fromByteOffset: 8, as: UInt32.self))
        var at = headerBytes
        var seen: UInt32 = 0
        while at < bytes.count {
            guard let tag = Tag(rawValue: bytes[at]) else { return "unknown record \(bytes[at]) at byte \(at)" }
            let start = at
            at += 1
            let strings = tag == .delete ? 1 : 2
            for _ in 0..<strings {
                guard let next = skipString(bytes, at) else { return "record at byte \(start) passes the end" }
                at = next
            }
            seen &+= 1
        }
        guard seen == count else { return "\(seen) records where \(count) are announced" }
        return nil
    }

    private static func skipString(_ bytes: UnsafeRawBufferPointer, _ start: Int) -> Int? {
        var at = start
        var length: UInt64 = 0
        var shift: UInt64 = 0
        while true {
            guard at < bytes.count, shift <= 28 else { return nil }
            let byte = bytes[at]
            at += 1
            length |= UInt64(byte & 0x7F) << shift
            if byte < 0x80 { break }
            shift += 7
        }
        guard length <= UInt64(UInt32.max), Int(length) <= bytes.count - at else { return nil }
        return at + Int(length)
    }
}
