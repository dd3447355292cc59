extension Envelope: Coded {
    package static var codedName: String { "envelope" }

    package func encode(into writer: inout ByteWriter) {
        writer.fixed64(session)
        writer.fixed64(sequence)
        writer.fixed64(lowestUnanswered)
        writer.fixed64(time)
        command.encode(into: &writer)
    }

    package static func decode(from reader: inout ByteReader) throws(DecodeError) -> Envelope {
        Envelope(
            session: try reader.fixed64(),
            sequence: try reader.fixed64(),
            lowestUnanswered: try reader.fixed64(),
            time: try reader.fixed64(),
            command: try Command.decode(from: &reader))
    }
}
