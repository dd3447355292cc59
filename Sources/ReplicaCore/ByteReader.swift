/// Bytes inside a longer array that they share.
package typealias Bytes = ArraySlice<UInt8>

/// Bytes that are not what they should be. Nothing was changed.
package enum DecodeError: Error, Equatable {
    /// The bytes end inside a field.
    case truncated
    /// Bytes follow where the value should end.
    case trailingBytes(Int)
    /// A format version that this code does not read.
    case unknownVersion(what: String, UInt8)
    /// A kind that this code does not know.
    case unknownTag(what: String, UInt8)
    /// A number outside its range, or not in its shortest form.
    case invalid(what: String)
}

/// Takes values off the front of bytes; every length is checked before anything is allocated.
package struct ByteReader {
    private let bytes: Bytes
    private var position: Int

    package init(_ bytes: [UInt8]) {
        self.init(bytes[...])
    }

    package init(_ bytes: Bytes) {
        self.bytes = bytes
        self.position = bytes.startIndex
    }

    /// Number of bytes not yet taken.
    package var remaining: Int { bytes.endIndex - position }

    /// One byte.
    package mutating func byte() throws(DecodeError) -> UInt8 {
        guard position < bytes.endIndex else { throw .truncated }
        defer { position += 1 }
        return bytes[position]
    }

    /// A byte that is 0 or 1.
    package mutating func bool() throws(DecodeError) -> Bool {
        switch try byte() {
        case 0: return false
        case 1: return true
        default: throw .invalid(what: "truth value")
        }
    }

    /// Exactly `count` bytes, shared with the source.
    package mutating func take(_ count: Int) throws(DecodeError) -> Bytes {
        guard count >= 0, count <= remaining else { throw .truncated }
        defer { position += count }
        return bytes[position..<(position + count)]
    }

    /// All bytes not yet taken.
    package mutating func rest() -> Bytes {
        defer { position = bytes.endIndex }
        return bytes[position...]
    }

    /// Four bytes, little-endian.
    package mutating func fixed32() throws(DecodeError) -> UInt32 {
        let four = try take(4)
        var value: UInt32 = 0
        for byte in four.reversed() { value = value << 8 | UInt32(byte) }
        return value
    }

    /// Eight bytes, little-endian.
    package mutating func fixed64() throws(DecodeError) -> UInt64 {
        let eight = try take(8)
        return eight.withUnsafeBytes { $0.littleEndianWord(at: 0) }
    }

    /// A number of one to ten bytes, seven bits a byte, low bits first, in its shortest form (LEB128).
    package mutating func varint() throws(DecodeError) -> UInt64 {
        var value: UInt64 = 0
        var shift: UInt64 = 0
        while true {
            let next = try byte()
            if shift == 63, next > 1 { throw .invalid(what: "number") }
            value |= UInt64(next & 0x7F) << shift
            if next < 0x80 {
                if next == 0, shift > 0 { throw .invalid(what: "number") }
                return value
            }
            shift += 7
        }
    }

    /// A number of items that each take at least `itemBytes`, so that a hostile count cannot make us allocate.
    package mutating func count(itemBytes: Int) throws(DecodeError) -> Int {
        let value = try varint()
        guard value <= UInt64(remaining / max(itemBytes, 1)) else { throw .truncated }
        return Int(value)
    }

    /// A length and that many bytes, shared with the source.
    package mutating func string() throws(DecodeError) -> Bytes {
        let length = try varint()
        guard length <= UInt64(remaining) else { throw .truncated }
        return try take(Int(length))
    }

    /// A length and that many bytes of UTF-8.
    package mutating func text() throws(DecodeError) -> String {
        guard let text = String(validating: try string(), as: UTF8.self) else { throw .invalid(what: "text") }
        return text
    }

    /// 32 bytes.
    package mutating func digest() throws(DecodeError) -> Digest {
        let bytes = try take(Digest.byteCount)
        guard let digest = bytes.withUnsafeBytes({ Digest($0) }) else { throw .truncated }
        return digest
    }

    /// 16 bytes.
    package mutating func identifier() throws(DecodeError) -> Identifier {
        let bytes = try take(Identifier.byteCount)
        guard let identifier = bytes.withUnsafeBytes({ Identifier($0) }) else { throw .truncated }
        return identifier
    }

    /// A format version that must be `expected`.
    package mutating func version(_ expected: UInt8, of what: String) throws(DecodeError) {
        let found = try byte()
        guard found == expected else { throw .unknownVersion(what: what, found) }
    }

    /// The value ends here.
    package func finish() throws(DecodeError) {
        guard remaining == 0 else { throw .trailingBytes(remaining) }
    }
}
