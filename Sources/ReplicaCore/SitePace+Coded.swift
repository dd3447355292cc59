extension SitePace: Coded {
    package static var codedName: String { "pace of a link" }

    package func encode(into writer: inout ByteWriter) {
        writer.bool(isPaused)
        writer.rate(bytesPerSecond)
        writer.varint(windows.count)
        for window in windows {
            writer.varint(window.from)
            writer.varint(window.below)
            writer.rate(window.bytesPerSecond)
        }
    }

    package static func decode(from reader: inout ByteReader) throws(DecodeError) -> SitePace {
        var pace = SitePace(isPaused: try reader.bool(), bytesPerSecond: try reader.rate())
        for _ in 0..<(try reader.count(itemBytes: 3)) {
            pace.windows.append(
                Window(from: try reader.varint(), below: try reader.varint(), bytesPerSecond: try reader.rate()))
        }
        return pace
    }
}

extension SiteDrill: Coded {
    package static var codedName: String { "drill" }

    package func encode(into writer: inout ByteWriter) {
        writer.varint(begun)
        writer.varint(milliseconds)
        writer.varint(node)
        writer.varint(revision)
        writer.text(failure)
        writer.varint(chunks)
    }

    package static func decode(from reader: inout ByteReader) throws(DecodeError) -> SiteDrill {
        SiteDrill(
            begun: try reader.varint(), milliseconds: try reader.varint(), node: try reader.varint(),
            revision: try reader.varint(), failure: try reader.text(), chunks: try reader.varint())
    }
}

extension ByteWriter {
    /// A rate in bytes a second, of which 0 is none: nil.
    fileprivate mutating func rate(_ rate: UInt64?) { varint(rate ?? 0) }
}

extension ByteReader {
    /// What `ByteWriter.rate` wrote.
    fileprivate mutating func rate() throws(DecodeError) -> UInt64? {
        let rate: UInt64 = try varint()
        return rate == 0 ? nil : rate
    }
}
