/// Appends values in the forms that `ByteReader` takes off.
package struct ByteWriter {
    /// What was written so far.
    package var bytes: [UInt8]

    package init(_ bytes: [UInt8] = []) {
        self.bytes = bytes
    }

    package mutating func byte(_ value: UInt8) { bytes.append(value) }
    package mutating func bool(_ value: Bool) { bytes.append(value ? 1 : 0) }
    package mutating func fixed64(_ value: UInt64) { bytes.appendLittleEndian(value) }
    package mutating func varint(_ value: UInt64) { bytes.appendVarint(value) }
    package mutating func varint(_ value: Int) { bytes.appendVarint(UInt64(value)) }
    package mutating func digest(_ value: Digest) { value.append(to: &bytes) }
    package mutating func identifier(_ value: Identifier) { value.append(to: &bytes) }

    /// Four bytes, little-endian.
    package mutating func fixed32(_ value: UInt32) {
        Swift.withUnsafeBytes(of: value.littleEndian) { bytes.append(contentsOf: $0) }
    }

    /// A length and the bytes.
    package mutating func string(_ value: Bytes) {
        bytes.appendVarint(UInt64(value.count))
        bytes.append(contentsOf: value)
    }

    /// A length and the bytes of UTF-8.
    package mutating func text(_ value: String) {
        bytes.appendVarint(UInt64(value.utf8.count))
        bytes.append(contentsOf: value.utf8)
    }
}

extension [UInt8] {
    /// Appends a number in LEB128, shortest form.
    mutating func appendVarint(_ value: UInt64) {
        var rest = value
        while rest >= 0x80 {
            append(UInt8(truncatingIfNeeded: rest) | 0x80)
            rest >>= 7
        }
        append(UInt8(truncatingIfNeeded: rest))
    }
}
