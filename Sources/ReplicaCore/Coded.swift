/// A value with a binary form that is stored or sent.
package protocol Coded {
    /// What the value is called in errors.
    static var codedName: String { get }
    /// Appends the value without its version byte, for use inside another value.
    func encode(into writer: inout ByteWriter)
    /// Takes the value off the front.
    static func decode(from reader: inout ByteReader) throws(DecodeError) -> Self
}

extension Coded {
    /// The value's first byte when it stands alone.
    package static var codedVersion: UInt8 { 1 }

    /// The value alone: its version byte and itself.
    package func encoded() -> [UInt8] {
        var writer = ByteWriter()
        writer.byte(Self.codedVersion)
        encode(into: &writer)
        return writer.bytes
    }

    /// The value that `encoded()` wrote; byte strings in it share memory with `bytes`.
    package init(decoding bytes: [UInt8]) throws(DecodeError) {
        try self.init(decoding: bytes[...])
    }

    /// The value that `encoded()` wrote; byte strings in it share memory with `bytes`.
    package init(decoding bytes: Bytes) throws(DecodeError) {
        var reader = ByteReader(bytes)
        try reader.version(Self.codedVersion, of: Self.codedName)
        self = try Self.decode(from: &reader)
        try reader.finish()
    }
}
