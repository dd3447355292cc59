extension ByteWriter {
    /// Whether there is a text, and the text.
    mutating func optionalText(_ value: String?) {
        bool(value != nil)
        if let value { text(value) }
    }
}

extension ByteReader {
    /// What `ByteWriter.optionalText` wrote.
    mutating func optionalText() throws(DecodeError) -> String? {
        try bool() ? try text() : nil
    }

    /// What `ByteWriter.numbers` wrote.
    mutating func numbers() throws(DecodeError) -> [UInt64] {
        var numbers: [UInt64] = []
        for _ in 0..<(try count(itemBytes: 1)) { numbers.append(try varint()) }
        return numbers
    }
}

extension ByteWriter {
    /// A count and that many numbers.
    mutating func numbers(_ values: [UInt64]) {
        varint(values.count)
        for value in values { varint(value) }
    }
}

extension ModelRecord: Coded {
    package static var codedName: String { "model record" }

    package func encode(into writer: inout ByteWriter) {
        writer.digest(root)
        writer.varint(bytes)
        writer.varint(chunks)
        writer.varint(files)
        writer.identifier(upload)
        writer.varint(uploadNumber)
        writer.varint(time)
        writer.bool(isRetired)
    }

    package static func decode(from reader: inout ByteReader) throws(DecodeError) -> ModelRecord {
        ModelRecord(
            root: try reader.digest(),
            bytes: try reader.varint(),
            chunks: try reader.varint(),
            files: try reader.varint(),
            upload: try reader.identifier(),
            uploadNumber: try reader.varint(),
            time: try reader.varint(),
            isRetired: try reader.bool())
    }
}

extension ModelVersion: Coded {
    package static var codedName: String { "model version" }

    package func encode(into writer: inout ByteWriter) {
        writer.text(name)
        writer.text(version)
        record.encode(into: &writer)
        writer.varint(publishedRevision)
        writer.varint(modRevision)
    }

    package static func decode(from reader: inout ByteReader) throws(DecodeError) -> ModelVersion {
        ModelVersion(
            name: try reader.text(),
            version: try reader.text(),
            record: try ModelRecord.decode(from: &reader),
            publishedRevision: try reader.varint(),
            modRevision: try reader.varint())
    }
}

extension UploadInfo: Coded {
    package static var codedName: String { "upload" }

    package func encode(into writer: inout ByteWriter) {
        writer.identifier(id)
        writer.varint(number)
        writer.text(name)
        writer.optionalText(version)
        writer.varint(begun)
        writer.varint(lastActive)
        writer.varint(count)
        writer.varint(prefix)
    }

    package static func decode(from reader: inout ByteReader) throws(DecodeError) -> UploadInfo {
        UploadInfo(
            id: try reader.identifier(),
            number: try reader.varint(),
            name: try reader.text(),
            version: try reader.optionalText(),
            begun: try reader.varint(),
            lastActive: try reader.varint(),
            count: try reader.varint(),
            prefix: try reader.varint())
    }
}

extension Completeness: Coded {
    package static var codedName: String { "completeness" }

    package func encode(into writer: inout ByteWriter) {
        writer.varint(node)
        writer.identifier(incarnation)
        writer.varint(through)
    }

    package static func decode(from reader: inout ByteReader) throws(DecodeError) -> Completeness {
        Completeness(
            node: try reader.varint(), incarnation: try reader.identifier(), through: try reader.varint())
    }
}

extension Members: Coded {
    package static var codedName: String { "members" }

    package func encode(into writer: inout ByteWriter) {
        writer.numbers(voters)
        writer.numbers(outgoingVoters)
        writer.numbers(learners)
        writer.numbers(nextLearners)
        writer.bool(leavesAutomatically)
    }

    package static func decode(from reader: inout ByteReader) throws(DecodeError) -> Members {
        // Ascending, so that a configuration has one form.
        func ascending() throws(DecodeError) -> [UInt64] {
            let nodes = try reader.numbers()
            guard zip(nodes, nodes.dropFirst()).allSatisfy({ $0 <= $1 }) else { throw .invalid(what: "members") }
            return nodes
        }
        return Members(
            voters: try ascending(), outgoingVoters: try ascending(), learners: try ascending(),
            nextLearners: try ascending(), leavesAutomatically: try reader.bool())
    }
}
