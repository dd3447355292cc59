/// The data of a normal entry: nothing, or envelopes, each after its length in four bytes, little-endian.
package enum EntryPayload {
    /// Appends one envelope.
    package static func append(_ envelope: Envelope, to payload: inout [UInt8]) {
        var writer = ByteWriter(payload)
        payload = []
        let start = writer.bytes.count
        writer.fixed32(0)
        writer.byte(Envelope.codedVersion)
        envelope.encode(into: &writer)
        let length = UInt32(writer.bytes.count - start - 4)
        for place in 0..<4 { writer.bytes[start + place] = UInt8(truncatingIfNeeded: length >> (8 * UInt32(place))) }
        payload = writer.bytes
    }

    /// Appends one envelope that is already encoded (`Envelope.encoded()`).
    package static func append(encoded envelope: Bytes, to payload: inout [UInt8]) {
        Swift.withUnsafeBytes(of: UInt32(envelope.count).littleEndian) { payload.append(contentsOf: $0) }
        payload.append(contentsOf: envelope)
    }

    /// The encoded envelopes, sharing memory with `payload`.
    package static func split(_ payload: [UInt8]) throws(DecodeError) -> [Bytes] {
        var reader = ByteReader(payload)
        var envelopes: [Bytes] = []
        while reader.remaining > 0 {
            envelopes.append(
                try next(from: &reader, bytesMax: Limits.envelopeBytesMax + Limits.shipmentFieldsMax))
        }
        return envelopes
    }

    /// Takes the next encoded envelope off the front.
    static func next(
        from reader: inout ByteReader, bytesMax: Int = Limits.envelopeBytesMax
    ) throws(DecodeError) -> Bytes {
        let length = try reader.fixed32()
        guard length <= UInt32(bytesMax) else { throw .invalid(what: "envelope length") }
        return try reader.take(Int(length))
    }
}
