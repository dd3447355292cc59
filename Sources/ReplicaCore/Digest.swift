/// A SHA-256 value, compared in byte order.
package struct Digest: Hashable, Comparable, Sendable, CustomStringConvertible {
    /// The 32 bytes as four big-endian words, so that comparing words compares bytes.
    package var word0: UInt64
    package var word1: UInt64
    package var word2: UInt64
    package var word3: UInt64

    /// Number of bytes of every digest.
    package static let byteCount = 32
    /// All bytes zero: the feed hash before the first revision.
    package static let zero = Digest(0, 0, 0, 0)

    package init(_ word0: UInt64, _ word1: UInt64, _ word2: UInt64, _ word3: UInt64) {
        self.word0 = word0
        self.word1 = word1
        self.word2 = word2
        self.word3 = word3
    }

    /// The digest in exactly 32 bytes; nil for any other count.
    package init?(_ bytes: UnsafeRawBufferPointer) {
        guard bytes.count == Digest.byteCount else { return nil }
        self.init(
            bytes.bigEndianWord(at: 0), bytes.bigEndianWord(at: 8), bytes.bigEndianWord(at: 16),
            bytes.bigEndianWord(at: 24))
    }

    /// The digest in exactly 32 bytes; nil for any other count.
    package init?(_ bytes: some Collection<UInt8>) {
        let copy = Array(bytes)
        let digest = copy.withUnsafeBytes { Digest($0) }
        guard let digest else { return nil }
        self = digest
    }

    /// The digest written as 64 hex digits of either case; nil for anything else.
    package init?(hex: some StringProtocol) {
        guard let bytes = Hex.decode(hex), let digest = Digest(bytes) else { return nil }
        self = digest
    }

    /// The 32 bytes.
    package var bytes: [UInt8] {
        var bytes: [UInt8] = []
        bytes.reserveCapacity(Digest.byteCount)
        append(to: &bytes)
        return bytes
    }

    /// Appends the 32 bytes.
    package func append(to bytes: inout [UInt8]) {
        bytes.appendBigEndian(word0)
        bytes.appendBigEndian(word1)
        bytes.appendBigEndian(word2)
        bytes.appendBigEndian(word3)
    }

    /// 64 lower-case hex digits.
    package var hex: String { Hex.encode(bytes) }
    package var description: String { hex }

    package static func < (left: Digest, right: Digest) -> Bool {
        if left.word0 != right.word0 { return left.word0 < right.word0 }
        if left.word1 != right.word1 { return left.word1 < right.word1 }
        if left.word2 != right.word2 { return left.word2 < right.word2 }
        return left.word3 < right.word3
    }
}

/// The name of a chunk: the SHA-256 of its raw bytes.
package typealias ChunkID = Digest

/// A running SHA-256 that the caller brings, so that this target imports nothing.
package protocol HashFunction {
    init()
    /// Adds bytes to what is hashed.
    mutating func update(_ bytes: UnsafeRawBufferPointer)
    /// The digest of all bytes added; the value must not be used afterwards.
    mutating func finish() -> Digest
}

/// Hexadecimal text.
package enum Hex {
    /// Lower-case digits, two a byte.
    package static func encode(_ bytes: some Sequence<UInt8>) -> String {
        let digits = Array("0123456789abcdef".utf8)
        var text: [UInt8] = []
        for byte in bytes {
            text.append(digits[Int(byte >> 4)])
            text.append(digits[Int(byte & 15)])
        }
        return String(decoding: text, as: UTF8.self)
    }

    /// The bytes of an even number of hex digits; nil for anything else.
    package static func decode(_ text: some StringProtocol) -> [UInt8]? {
        var bytes: [UInt8] = []
        var high: UInt8?
        for character in text.utf8 {
            guard let value = digit(character) else { return nil }
            if let first = high {
                bytes.append(first << 4 | value)
                high = nil
            } else {
                high = value
            }
        }
        return high == nil ? bytes : nil
    }

    private static func digit(_ character: UInt8) -> UInt8? {
        switch character {
        case UInt8(ascii: "0")...UInt8(ascii: "9"): character - UInt8(ascii: "0")
        case UInt8(ascii: "a")...UInt8(ascii: "f"): character - UInt8(ascii: "a") + 10
        case UInt8(ascii: "A")...UInt8(ascii: "F"): character - UInt8(ascii: "A") + 10
        default: nil
        }
    }
}

extension UnsafeRawBufferPointer {
    /// The eight bytes at `offset` as a big-endian integer; the caller has checked the bounds.
    func bigEndianWord(at offset: Int) -> UInt64 {
        UInt64(bigEndian: loadUnaligned(fromByteOffset: offset, as: UInt64.self))
    }

    /// The eight bytes at `offset` as a little-endian integer; the caller has checked the bounds.
    func littleEndianWord(at offset: Int) -> UInt64 {
        UInt64(littleEndian: loadUnaligned(fromByteOffset: offset, as: UInt64.self))
    }
}

extension [UInt8] {
    /// Appends eight bytes, most significant first.
    mutating func appendBigEndian(_ value: UInt64) {
        Swift.withUnsafeBytes(of: value.bigEndian) { append(contentsOf: $0) }
    }

    /// Appends eight bytes, least significant first.
    mutating func appendLittleEndian(_ value: UInt64) {
        Swift.withUnsafeBytes(of: value.littleEndian) { append(contentsOf: $0) }
    }
}
