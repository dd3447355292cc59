/// The header of a safetensors file: 8 bytes of length (little-endian), then JSON, then the tensors' data without holes.
///
/// Every malformation is `invalidArgument` with a sentence that names the file, the tensor and the field.
package struct SafetensorsHeader: Sendable, Hashable {
    /// One tensor as the header describes it.
    package struct Tensor: Sendable, Hashable {
        /// Its name.
        package var name: String
        /// Its element type.
        package var type: ElementType
        /// The lengths of its dimensions; empty for a scalar.
        package var shape: [UInt64]
        /// Its first byte, counted from the start of the data.
        package var begin: UInt64
        /// The byte after its last, counted from the start of the data.
        package var end: UInt64
    }

    /// One entry of `__metadata__`.
    package struct Note: Sendable, Hashable {
        /// The key.
        package var key: String
        /// The text.
        package var value: String
    }

    /// The tensors in order of their data.
    package var tensors: [Tensor]
    /// `__metadata__` in the order of the file.
    package var notes: [Note]
    /// Where the data begins in the file: 8 and the header's length.
    package var dataStart: UInt64

    /// A header by parts, for what is already checked.
    package init(tensors: [Tensor], notes: [Note], dataStart: UInt64) {
        self.tensors = tensors
        self.notes = notes
        self.dataStart = dataStart
    }

    /// The length that the first 8 bytes of a file state, checked against the format's bound and the file, before
    /// anything of that length is read.
    package static func length(
        prefix: [UInt8], file: String, fileBytes: UInt64
    ) throws(HoldfastError) -> UInt64 {
        guard prefix.count >= 8, fileBytes >= 8 else {
            throw malformed(file, "has \(min(UInt64(prefix.count), fileBytes)) bytes, too few for the header's length")
        }
        var length: UInt64 = 0
        for byte in prefix[0..<8].reversed() { length = length << 8 | UInt64(byte) }
        guard length <= ModelLimits.headerBytesMax else {
            throw malformed(
                file, "field 'header length' is \(length), above the format's limit of \(ModelLimits.headerBytesMax)")
        }
        guard length <= fileBytes - 8 else {
            throw malformed(
                file, "is truncated: field 'header length' is \(length), but only \(fileBytes - 8) bytes follow it")
        }
        return length
    }

    /// Parses the JSON of a header and holds it against the file's length.
    package init(json: [UInt8], file: String, fileBytes: UInt64) throws(HoldfastError) {
        guard json.first == UInt8(ascii: "{") else {
            throw Self.malformed(file, "the header is not a JSON object: its first byte is not '{'")
        }
        var reader = HeaderReader(json)
        do throws(JSONFault) {
            try reader.read()
        } catch {
            throw Self.malformed(file, "\(error.reason) (byte \(error.offset) of the header)")
        }
        dataStart = 8 + UInt64(json.count)
        notes = reader.notes
        guard dataStart <= fileBytes else { throw Self.malformed(file, "is truncated inside the header") }
        tensors = []
        tensors.reserveCapacity(reader.tensors.count)
        for raw in reader.tensors {
            tensors.append(try Self.checked(raw, file: file, dataBytes: fileBytes - dataStart))
        }
        tensors.sort { ($0.begin, $0.end, $0.name) < ($1.begin, $1.end, $1.name) }
        try checkCoverage(file: file, dataBytes: fileBytes - dataStart)
    }

    /// Whether a file of this path is read as safetensors.
    package static func isNamed(_ path: String) -> Bool {
        path.utf8.suffix(12).elementsEqual(".safetensors".utf8)
    }

    private static func malformed(_ file: String, _ reason: String) -> HoldfastError {
        HoldfastError(
            .invalidArgument, "'\(file)' is not a valid safetensors file: \(reason)", details: ["file": file])
    }

    private static func checked(
        _ raw: HeaderReader.RawTensor, file: String, dataBytes: UInt64
    ) throws(HoldfastError) -> Tensor {
        let tensor = "tensor '\(raw.name)'"
        guard let type = ElementType(rawValue: raw.type) else {
            throw malformed(file, "\(tensor): field 'dtype' is '\(raw.type)', which is unknown")
        }
        guard raw.begin <= raw.end else {
            throw malformed(file, "\(tensor): field 'data_offsets' is reversed: [\(raw.begin), \(raw.end)]")
        }
        guard raw.end <= dataBytes else {
            throw malformed(
                file,
                "\(tensor): field 'data_offsets' is out of range: it ends at \(raw.end), but the file has "
                    + "\(dataBytes) bytes of data (is the file truncated?)")
        }
        switch type.size(of: raw.shape) {
        case .overflow:
            throw malformed(file, "\(tensor): field 'shape' \(raw.shape) overflows 64 bits")
        case .partialByte:
            throw malformed(file, "\(tensor): field 'shape' \(raw.shape) of \(type.rawValue) does not fill whole bytes")
        case .bytes(let bytes):
            guard bytes == raw.end - raw.begin else {
                throw malformed(
                    file,
                    "\(tensor): field 'shape' \(raw.shape) of \(type.rawValue) needs \(bytes) bytes, but "
                        + "'data_offsets' [\(raw.begin), \(raw.end)] holds \(raw.end - raw.begin)")
            }
        }
        return Tensor(name: raw.name, type: type, shape: raw.shape, begin: raw.begin, end: raw.end)
    }

    /// The data must be covered from its first byte to its last, each byte by one tensor.
    private func checkCoverage(file: String, dataBytes: UInt64) throws(HoldfastError) {
        var covered: UInt64 = 0
        for tensor in tensors {
            if tensor.begin < covered {
                throw Self.malformed(
                    file,
                    "tensor '\(tensor.name)': field 'data_offsets' begins at \(tensor.begin) and overlaps the tensor "
                        + "before it, which ends at \(covered)")
            }
            if tensor.begin > covered {
                throw Self.malformed(
                    file,
                    "tensor '\(tensor.name)': field 'data_offsets' begins at \(tensor.begin) and leaves a hole after "
                        + "byte \(covered)")
            }
            covered = tensor.end
        }
        guard covered == dataBytes else {
            throw Self.malformed(
                file, "field 'data_offsets' leaves a hole: the last tensor ends at \(covered) of \(dataBytes) bytes")
        }
    }
}

/// Collects what a header's JSON says, before it is held against the file.
private struct HeaderReader {
    struct RawTensor {
        var name: String
        var type = ""
        var shape: [UInt64] = []
        var begin: UInt64 = 0
        var end: UInt64 = 0
    }

    private var scanner: JSONScanner
    private var names: Set<String> = []
    var tensors: [RawTensor] = []
    var notes: [SafetensorsHeader.Note] = []

    init(_ json: [UInt8]) { scanner = JSONScanner(json) }

    mutating func read() throws(JSONFault) {
        var scanner = scanner
        try scanner.object { (key, scanner) throws(JSONFault) in
            let what = key == "__metadata__" ? "field '__metadata__'" : "tensor '\(key)'"
            guard names.insert(key).inserted else { throw scanner.fault("\(what) is there twice") }
            if key == "__metadata__" {
                try Self.within(what) { () throws(JSONFault) in try readNotes(&scanner) }
            } else {
                var tensor = RawTensor(name: key)
                try Self.within(what) { () throws(JSONFault) in try Self.readTensor(&tensor, &scanner) }
                tensors.append(tensor)
            }
        }
        scanner.skipSpace()
        if scanner.next != nil { throw scanner.fault("the header has bytes after its JSON object") }
    }

    /// Puts what was being read before a fault's reason.
    private static func within(_ what: String, _ body: () throws(JSONFault) -> Void) throws(JSONFault) {
        do throws(JSONFault) {
            try body()
        } catch {
            throw JSONFault(reason: "\(what): \(error.reason)", offset: error.offset)
        }
    }

    private mutating func readNotes(_ scanner: inout JSONScanner) throws(JSONFault) {
        // The format's own reader takes null for an absent map.
        if try scanner.takeNull() { return }
        var keys: Set<String> = []
        var notes: [SafetensorsHeader.Note] = []
        try scanner.object { (key, scanner) throws(JSONFault) in
            guard keys.insert(key).inserted else { throw scanner.fault("key '\(key)' is there twice") }
            var value = ""
            try Self.within("key '\(key)'") { () throws(JSONFault) in value = try scanner.string() }
            notes.append(SafetensorsHeader.Note(key: key, value: value))
        }
        self.notes = notes
    }

    private static func readTensor(_ tensor: inout RawTensor, _ scanner: inout JSONScanner) throws(JSONFault) {
        var fields: Set<String> = []
        var raw = tensor
        try scanner.object { (field, scanner) throws(JSONFault) in
            guard fields.insert(field).inserted else { throw scanner.fault("field '\(field)' is there twice") }
            try within("field '\(field)'") { () throws(JSONFault) in
                switch field {
                case "dtype": raw.type = try scanner.string()
                case "shape":
                    try scanner.array { (scanner) throws(JSONFault) in raw.shape.append(try scanner.unsigned()) }
                    if raw.shape.count > Int(UInt16.max) { throw scanner.fault("has more than 65535 dimensions") }
                case "data_offsets":
                    var offsets: [UInt64] = []
                    try scanner.array { (scanner) throws(JSONFault) in offsets.append(try scanner.unsigned()) }
                    guard offsets.count == 2 else { throw scanner.fault("has \(offsets.count) numbers, not 2") }
                    (raw.begin, raw.end) = (offsets[0], offsets[1])
                default: try scanner.skipValue()
                }
            }
        }
        for field in ["dtype", "shape", "data_offsets"] where !fields.contains(field) {
            throw scanner.fault("field '\(field)' is missing")
        }
        tensor = raw
    }
}
