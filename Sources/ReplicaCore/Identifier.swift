/// Sixteen random bytes that name something for ever, shown as 32 hex digits.
package struct Identifier: Hashable, Comparable, Sendable, CustomStringConvertible {
    /// The bytes as two big-endian words, so that comparing words compares bytes.
    package var high: UInt64
    package var low: UInt64

    /// Number of bytes of every identifier.
    package static let byteCount = 16
    /// All bytes zero: "unknown".
    package static let zero = Identifier(0, 0)

    package init(_ high: UInt64, _ low: UInt64) {
        self.high = high
        self.low = low
    }

    /// The identifier in exactly 16 bytes; nil for any other count.
    package init?(_ bytes: UnsafeRawBufferPointer) {
        guard bytes.count == Identifier.byteCount else { return nil }
        self.init(bytes.bigEndianWord(at: 0), bytes.bigEndianWord(at: 8))
    }

    /// The identifier in exactly 16 bytes; nil for any other count.
    package init?(_ bytes: some Collection<UInt8>) {
        let copy = Array(bytes)
        let identifier = copy.withUnsafeBytes { Identifier($0) }
        guard let identifier else { return nil }
        self = identifier
    }

    /// The identifier written as 32 hex digits of either case; nil for anything else.
    package init?(hex: some StringProtocol) {
        guard let bytes = Hex.decode(hex), let identifier = Identifier(bytes) else { return nil }
        self = identifier
    }

    /// The 16 bytes.
    package var bytes: [UInt8] {
        var bytes: [UInt8] = []
        append(to: &bytes)
        return bytes
    }

    /// Appends the 16 bytes.
    package func append(to bytes: inout [UInt8]) {
        bytes.appendBigEndian(high)
        bytes.appendBigEndian(low)
    }

    /// 32 lower-case hex digits.
    package var hex: String { Hex.encode(bytes) }
    package var description: String { hex }

    package static func < (left: Identifier, right: Identifier) -> Bool {
        left.high != right.high ? left.high < right.high : left.low < right.low
    }
}

/// The name of an upload, chosen at random by the client that begins it.
package typealias UploadID = Identifier
/// One life of a node's disk.
package typealias Incarnation = Identifier
/// The history that a cluster's feed belongs to; committed once by the first leader.
package typealias Lineage = Identifier
