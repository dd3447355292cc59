internal import ReplicaCore

/// What later releases say in an answer, behind the fields of the first: sections, each with its number and its length.
///
/// A reader of the first release stops before them, a reader that does not know a number passes over it, and a writer of the first
/// release has none. So nodes of several releases read each other's answers.
enum StatusSection: UInt8 {
    /// Protocol and feature versions.
    case versions = 1
    /// Whether disks are full, and their free bytes.
    case disk = 3
}

extension ByteWriter {
    /// Appends one section.
    mutating func section(_ section: StatusSection, _ body: (inout ByteWriter) -> Void) {
        var inner = ByteWriter()
        body(&inner)
        byte(section.rawValue)
        string(inner.bytes[...])
    }
}

extension ByteReader {
    /// Hands every section that is left and known to `body`, in order. A section may be longer than its reader knows.
    mutating func sections(
        _ body: (StatusSection, inout ByteReader) throws(DecodeError) -> Void
    ) throws(DecodeError) {
        while remaining > 0 {
            let number = try byte()
            var inner = ByteReader(try string())
            if let section = StatusSection(rawValue: number) { try body(section, &inner) }
        }
    }
}
