internal import ReplicaCore

/// A small file of lines that is read back exactly as it was written, or not at all.
///
/// ```
/// holdfast KIND VERSION
/// NAME=VALUE
/// seal=SHA-256 of all bytes before this line, 64 lower-case hex digits
/// ```
/// Every line ends with one newline. The first line and the seal keep this form in all versions, so that a file of
/// another version is told from a damaged one.
struct SealedText: Equatable {
    /// What is wrong with bytes that should be a sealed text.
    enum Fault: Error, Equatable {
        /// The first line is not ours.
        case foreign
        /// The bytes are not what was written.
        case damaged
        /// It is whole, but of another version.
        case version(Int)
    }

    /// Longer files are damaged.
    static let bytesMax = 1 << 20

    let kind: String
    let version: Int
    /// Names and values in the order of the file. Neither holds a newline; no name holds "=".
    let fields: [(name: String, value: String)]

    init(kind: String, version: Int, fields: [(name: String, value: String)]) {
        self.kind = kind
        self.version = version
        self.fields = fields
    }

    static func == (left: SealedText, right: SealedText) -> Bool { left.bytes == right.bytes }

    var bytes: [UInt8] {
        var text = "holdfast \(kind) \(version)\n"
        for field in fields { text += "\(field.name)=\(field.value)\n" }
        return Array((text + "seal=\(SHA256.digest(of: Array(text.utf8)).hex)\n").utf8)
    }

    /// Reads back what `bytes` gave, for one kind and version.
    init(_ bytes: [UInt8], kind: String, version: Int) throws(Fault) {
        try self.init(bytes, kind: kind, versions: version...version)
    }

    /// Reads back what `bytes` gave, for one kind and any of these versions.
    init(_ bytes: [UInt8], kind: String, versions: ClosedRange<Int>) throws(Fault) {
        guard bytes.count <= SealedText.bytesMax, let text = String(validating: bytes, as: UTF8.self) else {
            throw .damaged
        }
        guard text.utf8.starts(with: "holdfast \(kind) ".utf8) else { throw .foreign }
        var lines = text.split(separator: "\n", omittingEmptySubsequences: false)
        guard lines.popLast() == "", let seal = lines.popLast(), let first = lines.first else { throw .damaged }
        let sealed = bytes.dropLast(seal.utf8.count + 1)
        guard seal == "seal=\(SHA256.digest(of: Array(sealed)).hex)" else { throw .damaged }
        guard let found = Int(first.dropFirst("holdfast \(kind) ".count)), found >= 0 else { throw .damaged }
        guard versions.contains(found) else { throw .version(found) }
        var fields: [(name: String, value: String)] = []
        for line in lines.dropFirst() {
            guard let mark = line.firstIndex(of: "=") else { throw .damaged }
            fields.append((String(line[..<mark]), String(line[line.index(after: mark)...])))
        }
        self.init(kind: kind, version: found, fields: fields)
        // One text has one form: what would be written now is what was read.
        guard self.bytes == bytes else { throw .damaged }
    }

    /// The values, if the names are exactly these in this order.
    func values(_ names: String...) -> [String]? {
        fields.map(\.name) == names ? fields.map(\.value) : nil
    }
}
