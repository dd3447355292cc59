internal import NIOCore
internal import ReplicaCore

/// What stands in front of every request's body.
struct RequestHead {
    /// How long the caller waits, in milliseconds.
    var timeoutMilliseconds: UInt32

    static func encode(deadline: NIODeadline, into buffer: inout ByteBuffer) {
        let left = (deadline - .now()).nanoseconds / 1_000_000
        buffer.writeInteger(UInt32(clamping: max(left, 1)), endianness: .little)
    }

    /// Reads the head; what remains in `payload` is the body.
    static func decode(_ payload: inout ByteBuffer) throws(HoldfastError) -> NIODeadline {
        guard let timeout = payload.readInteger(endianness: .little, as: UInt32.self) else {
            throw HoldfastError(.invalidArgument, "malformed request: it has no timeout")
        }
        return .now() + .milliseconds(Int64(timeout))
    }
}

extension ByteBuffer {
    /// A reader over everything that is left.
    mutating func byteReader() -> ByteReader { ByteReader(readBytes(length: readableBytes) ?? []) }

    /// A buffer of what `body` writes.
    static func written(_ body: (inout ByteWriter) -> Void) -> ByteBuffer {
        var writer = ByteWriter()
        body(&writer)
        return ByteBuffer(bytes: writer.bytes)
    }
}

extension ByteWriter {
    mutating func optionalText(_ text: String?) {
        bool(text != nil)
        if let text { self.text(text) }
    }

    mutating func list<Value: Coded>(_ values: [Value]) {
        varint(values.count)
        for value in values { value.encode(into: &self) }
    }
}

extension ByteReader {
    mutating func optionalText() throws(DecodeError) -> String? { try bool() ? try text() : nil }

    mutating func list<Value: Coded>(of type: Value.Type) throws(DecodeError) -> [Value] {
        let count = try count(itemBytes: 1)
        var values: [Value] = []
        for _ in 0..<count { values.append(try Value.decode(from: &self)) }
        return values
    }
}

extension ReadConsistency {
    var tag: UInt8 {
        switch self {
        case .linearizable: 0
        case .stale: 1
        case .atLeast: 2
        }
    }

    /// Writes a request for a read around its query. The revision comes last: a node that does not know of it refuses the request.
    func encode(into writer: inout ByteWriter, _ query: (inout ByteWriter) -> Void) {
        writer.byte(tag)
        query(&writer)
        if case .atLeast(let revision) = self { writer.varint(revision) }
    }

    /// Reads what `encode` wrote.
    static func decode<Query>(
        from reader: inout ByteReader, _ query: (inout ByteReader) throws(DecodeError) -> Query
    ) throws(DecodeError) -> (ReadConsistency, Query) {
        let tag = try reader.byte()
        let found = try query(&reader)
        switch tag {
        case 1: return (.stale, found)
        case 2: return (.atLeast(try reader.varint()), found)
        default: return (.linearizable, found)
        }
    }
}

/// The body of a publish request.
struct PublishRequest {
    var upload: UploadID
    var name: String
    var version: String?
    var root: ChunkID
    var totals: UploadTotals

    func encode(into writer: inout ByteWriter) {
        writer.identifier(upload)
        writer.text(name)
        writer.optionalText(version)
        writer.digest(root)
        writer.varint(totals.bytes)
        writer.varint(totals.files)
        writer.varint(totals.chunks)
    }

    static func decode(from reader: inout ByteReader) throws(DecodeError) -> PublishRequest {
        let upload = try reader.identifier()
        let name = try reader.text()
        let version = try reader.optionalText()
        let root = try reader.digest()
        let bytes = try reader.varint()
        let files = try reader.varint()
        let chunks = try reader.varint()
        guard files <= UInt64(UInt32.max), chunks <= UInt64(UInt32.max) else { throw .invalid(what: "totals") }
        return PublishRequest(
            upload: upload, name: name, version: version, root: root,
            totals: UploadTotals(bytes: bytes, files: Int(files), chunks: Int(chunks)))
    }
}

/// The start of a watch.
struct WatchRequest {
    var keys: KeySelector
    var space: Keyspace
    /// The first revision wanted; 0 for whatever comes next.
    var from: UInt64

    func encode(into writer: inout ByteWriter) {
        RangeQuery(keys, space: space).encode(into: &writer)
        writer.varint(from)
    }

    static func decode(from reader: inout ByteReader) throws(DecodeError) -> WatchRequest {
        let query = try RangeQuery.decode(from: &reader)
        return WatchRequest(keys: query.keys, space: query.space, from: try reader.varint())
    }
}

/// One frame of a watch: events, and the revision from which the next frame goes on.
struct WatchFrame {
    var next: UInt64
    var events: [WatchEvent]

    func encode(into writer: inout ByteWriter) {
        writer.varint(next)
        writer.list(events)
    }

    static func decode(from reader: inout ByteReader) throws(DecodeError) -> WatchFrame {
        WatchFrame(next: try reader.varint(), events: try reader.list(of: WatchEvent.self))
    }
}
