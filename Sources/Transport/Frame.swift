// The frame: a 24-byte header and a payload. Its layout is drawn in Docs/Reference/WireProtocol.md.

internal import CHoldfast
package import NIOCore

/// Marks in a frame's header; the values are part of the wire protocol.
package struct FrameFlags: OptionSet, Sendable, Hashable {
    package let rawValue: UInt16

    package init(rawValue: UInt16) { self.rawValue = rawValue }

    /// More frames with this id follow (a stream); the last one, or the only one, does not carry it.
    package static let more = FrameFlags(rawValue: 1 << 0)
    /// The checksum covers the header and only the first `summedBytes` of the payload: the rest is a chunk, which its
    /// own SHA-256 name covers.
    package static let partlySummed = FrameFlags(rawValue: 1 << 1)

    /// Every flag that protocol version 1 knows.
    static let known: FrameFlags = [.more, .partlySummed]
}

/// What the first 24 bytes of a frame say.
package struct FrameHeader: Sendable, Hashable {
    /// Size of an encoded header in bytes.
    package static let byteCount = 24
    /// First two bytes of a frame: "HF".
    static let magic: UInt16 = 0x4648
    /// Version of this layout.
    static let layoutVersion: UInt8 = 1
    /// Kinds below this one belong to the transport (hello, welcome, refusal).
    package static let applicationKindMin: UInt8 = 16

    /// What the payload is; values from `applicationKindMin` on are the node's.
    package var kind: UInt8
    /// Marks of this frame.
    package var flags: FrameFlags
    /// Leading payload bytes under the checksum of a `partlySummed` frame; zero in all others.
    package var summedBytes: UInt16
    /// Bytes of payload behind the header.
    package var payloadBytes: UInt32
    /// Request or stream that the frame belongs to.
    package var id: UInt64

    /// A header for a payload of `payloadBytes`.
    package init(kind: UInt8, id: UInt64, flags: FrameFlags = [], summedBytes: UInt16 = 0, payloadBytes: UInt32 = 0) {
        self.kind = kind
        self.id = id
        self.flags = flags
        self.summedBytes = summedBytes
        self.payloadBytes = payloadBytes
    }

    /// Payload bytes that the checksum covers.
    var checkedBytes: Int { flags.contains(.partlySummed) ? Int(summedBytes) : Int(payloadBytes) }
}

/// Why bytes are not a frame; each ends the connection.
package enum FrameFault: Error, Sendable, Hashable {
    /// The first two bytes are not "HF": the peer speaks something else.
    case magic(UInt16)
    /// A layout version that this build does not know.
    case version(UInt8)
    /// Flags that this build does not know, or a summed length that does not fit them.
    case flags(UInt16)
    /// The header announces more bytes than this connection takes.
    case tooLong(bytes: UInt32, limit: Int)
    /// A kind that belongs to the handshake, after it.
    case kind(UInt8)
    /// The bytes are not those that were sent.
    case checksum(expected: UInt32, found: UInt32)
}

extension FrameFault: CustomStringConvertible {
    package var description: String {
        switch self {
        case .magic(let found): "not a Holdfast frame (first bytes \(found))"
        case .version(let version): "frame layout version \(version) is unknown"
        case .flags(let flags): "frame flags \(flags) are unknown or do not fit the frame"
        case .tooLong(let bytes, let limit): "frame of \(bytes) bytes is over the limit of \(limit)"
        case .kind(let kind): "frame of kind \(kind), which belongs to the handshake"
        case .checksum(let expected, let found): "frame checksum \(found) where \(expected) was announced"
        }
    }
}

extension FrameHeader {
    /// Writes the header over the 24 bytes at `address`, with the checksum continued from nothing over header and
    /// `summed`, the payload bytes under the checksum.
    func encode(into address: UnsafeMutableRawPointer, summed: UnsafeRawBufferPointer) {
        address.storeBytes(of: Self.magic.littleEndian, toByteOffset: 0, as: UInt16.self)
        address.storeBytes(of: Self.layoutVersion, toByteOffset: 2, as: UInt8.self)
        address.storeBytes(of: kind, toByteOffset: 3, as: UInt8.self)
        address.storeBytes(of: payloadBytes.littleEndian, toByteOffset: 4, as: UInt32.self)
        address.storeBytes(of: id.littleEndian, toByteOffset: 8, as: UInt64.self)
        address.storeBytes(of: flags.rawValue.littleEndian, toByteOffset: 20, as: UInt16.self)
        address.storeBytes(of: summedBytes.littleEndian, toByteOffset: 22, as: UInt16.self)
        var sum = Self.headerSum(UnsafeRawPointer(address))
        if summed.count > 0 { sum = chf_crc32c(sum, summed.baseAddress, summed.count) }
        address.storeBytes(of: sum.littleEndian, toByteOffset: 16, as: UInt32.self)
    }

    /// Reads a header from the 24 bytes at `address`: the header, its announced checksum and the checksum of the
    /// header's own bytes, from which that of the payload continues.
    static func decode(
        _ address: UnsafeRawPointer, payloadBytesMax: Int
    ) throws(FrameFault) -> (header: FrameHeader, announcedSum: UInt32, runningSum: UInt32) {
        let magic = UInt16(littleEndian: address.loadUnaligned(fromByteOffset: 0, as: UInt16.self))
        guard magic == Self.magic else { throw .magic(magic) }
        let version = address.load(fromByteOffset: 2, as: UInt8.self)
        guard version == layoutVersion else { throw .version(version) }
        let header = FrameHeader(
            kind: address.load(fromByteOffset: 3, as: UInt8.self),
            id: UInt64(littleEndian: address.loadUnaligned(fromByteOffset: 8, as: UInt64.self)),
            flags: FrameFlags(
                rawValue: UInt16(littleEndian: address.loadUnaligned(fromByteOffset: 20, as: UInt16.self))),
            summedBytes: UInt16(littleEndian: address.loadUnaligned(fromByteOffset: 22, as: UInt16.self)),
            payloadBytes: UInt32(littleEndian: address.loadUnaligned(fromByteOffset: 4, as: UInt32.self)))
        guard header.payloadBytes <= payloadBytesMax else {
            throw .tooLong(bytes: header.payloadBytes, limit: payloadBytesMax)
        }
        let partly = header.flags.contains(.partlySummed)
        guard
            FrameFlags.known.isSuperset(of: header.flags),
            partly ? UInt32(header.summedBytes) <= header.payloadBytes : header.summedBytes == 0
        else { throw .flags(header.flags.rawValue) }
        let announced = UInt32(littleEndian: address.loadUnaligned(fromByteOffset: 16, as: UInt32.self))
        return (header, announced, headerSum(address))
    }

    /// Checksum of the header's bytes without the checksum itself: bytes 0 to 15 and 20 to 23.
    private static func headerSum(_ address: UnsafeRawPointer) -> UInt32 {
        chf_crc32c(chf_crc32c(0, address, 16), address + 20, 4)
    }
}

extension ByteBuffer {
    /// Appends one frame whose payload is what `body` writes; answers the payload's bytes.
    @discardableResult
    package mutating func writeFrame(
        kind: UInt8, id: UInt64, flags: FrameFlags = [], _ body: (inout ByteBuffer) -> Void
    ) -> Int {
        let start = writerIndex
        writeRepeatingByte(0, count: FrameHeader.byteCount)
        body(&self)
        let payloadBytes = writerIndex - start - FrameHeader.byteCount
        precondition(payloadBytes >= 0 && payloadBytes <= Int(UInt32.max), "a frame's body may only append")
        // The whole payload is summed here, whatever frame the flags were taken from.
        let header = FrameHeader(
            kind: kind, id: id, flags: flags.subtracting(.partlySummed), payloadBytes: UInt32(payloadBytes))
        let offset = start - readerIndex
        withUnsafeMutableReadableBytes { bytes in
            let frame = UnsafeMutableRawBufferPointer(rebasing: bytes[offset...])
            guard let address = frame.baseAddress else { return }
            header.encode(
                into: address, summed: UnsafeRawBufferPointer(rebasing: frame[FrameHeader.byteCount...]))
        }
        return payloadBytes
    }

    /// Appends the header alone for a payload that follows by itself, of which `summed` are the bytes under the
    /// checksum.
    mutating func writeFrameHeader(_ header: FrameHeader, summed: UnsafeRawBufferPointer) {
        writeWithUnsafeMutableBytes(minimumWritableBytes: FrameHeader.byteCount) { bytes in
            guard let address = bytes.baseAddress else { return 0 }
            header.encode(into: address, summed: summed)
            return FrameHeader.byteCount
        }
    }
}
