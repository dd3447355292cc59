extension Envelope {
    /// Where the time lies in `encoded()`: behind the version byte and three numbers of eight bytes.
    private static let timeOffset = 1 + 3 * 8

    /// Sets the time of an encoded envelope in place, so that a leader need not encode it again.
    package static func stamp(_ milliseconds: UInt64, onto encoded: inout [UInt8]) {
        precondition(encoded.count >= timeOffset + 8, "an envelope has a time")
        for place in 0..<8 {
            encoded[timeOffset + place] = UInt8(truncatingIfNeeded: milliseconds >> (8 * UInt64(place)))
        }
    }
}
