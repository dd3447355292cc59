package import ReplicaCore

/// The manifest's bytes (Docs/Reference/DataFormat.md, "Manifest").
extension Manifest {
    /// The first bytes of an encoded manifest.
    package static let magic = Array("HFMF".utf8)
    /// The version that is written and read.
    package static let version: UInt8 = 1

    /// The bytes; equal manifests have equal bytes.
    package func encoded() -> [UInt8] {
        var writer = ByteWriter(Self.magic)
        writer.byte(Self.version)
        writer.varint(chunks.count)
        for chunk in chunks {
            writer.digest(chunk.id)
            writer.varint(UInt64(chunk.bytes))
        }
        writer.varint(files.count)
        for file in files {
            writer.text(file.path)
            writer.byte(file.kind.rawValue)
            writer.varint(file.bytes)
            writer.digest(file.sha256)
            writer.varint(file.firstChunk)
            writer.varint(file.chunkCount)
            writer.varint(file.notes.count)
            for note in file.notes {
                writer.text(note.key)
                writer.text(note.value)
            }
        }
        writer.varint(tensors.count)
        for tensor in tensors {
            writer.text(tensor.name)
            writer.byte(tensor.type.code)
            writer.varint(tensor.shape.count)
            for length in tensor.shape { writer.varint(length) }
            writer.varint(tensor.file)
            writer.varint(tensor.offset)
            writer.varint(tensor.bytes)
        }
        return writer.bytes
    }

    /// Decodes bytes that came from anywhere: throws `corrupted` (or `incompatible` for another version) unless every
    /// invariant holds.
    package init(decoding bytes: [UInt8]) throws(HoldfastError) {
        do throws(DecodeError) {
            self = try Self.decode(bytes)
        } catch {
            throw Self.refusal(error, what: "manifest")
        }
        if let fault = fault() { throw HoldfastError(.corrupted, "the model's manifest is wrong: \(fault)") }
    }

    /// What a failed decoding is to a caller.
    static func refusal(_ error: DecodeError, what: String) -> HoldfastError {
        if case .unknownVersion(_, let version) = error {
            return HoldfastError(
                .incompatible, "the model's \(what) has format version \(version); this program reads \(Self.version)")
        }
        return HoldfastError(.corrupted, "the model's \(what) cannot be decoded: \(error)")
    }

    private static func decode(_ bytes: [UInt8]) throws(DecodeError) -> Manifest {
        var reader = ByteReader(bytes)
        guard try reader.take(magic.count).elementsEqual(magic) else { throw .invalid(what: "manifest magic") }
        try reader.version(version, of: "manifest")
        var chunks: [Chunk] = []
        let chunkCount = try reader.count(itemBytes: Digest.byteCount + 1)
        chunks.reserveCapacity(chunkCount)
        for _ in 0..<chunkCount {
            let id = try reader.digest()
            guard let length = UInt32(exactly: try reader.varint()) else { throw .invalid(what: "chunk length") }
            chunks.append(Chunk(id: id, bytes: length))
        }
        var files: [File] = []
        for _ in 0..<(try reader.count(itemBytes: 38)) { files.append(try file(&reader)) }
        var tensors: [Tensor] = []
        for _ in 0..<(try reader.count(itemBytes: 6)) { tensors.append(try tensor(&reader)) }
        try reader.finish()
        return Manifest(files: files, tensors: tensors, chunks: chunks)
    }

    private static func file(_ reader: inout ByteReader) throws(DecodeError) -> File {
        let path = try reader.text()
        let code = try reader.byte()
        guard let kind = Kind(rawValue: code) else { throw .unknownTag(what: "file kind", code) }
        let bytes = try reader.varint()
        let sha256 = try reader.digest()
        let firstChunk = try index(&reader, "first chunk")
        let chunkCount = try index(&reader, "chunk count")
        var notes: [SafetensorsHeader.Note] = []
        for _ in 0..<(try reader.count(itemBytes: 2)) {
            notes.append(SafetensorsHeader.Note(key: try reader.text(), value: try reader.text()))
        }
        return File(
            path: path, bytes: bytes, sha256: sha256, kind: kind, firstChunk: firstChunk, chunkCount: chunkCount,
            notes: notes)
    }

    private static func tensor(_ reader: inout ByteReader) throws(DecodeError) -> Tensor {
        let name = try reader.text()
        let code = try reader.byte()
        guard let type = ElementType(code: code) else { throw .unknownTag(what: "element type", code) }
        var shape: [UInt64] = []
        for _ in 0..<(try reader.count(itemBytes: 1)) { shape.append(try reader.varint()) }
        let file = try index(&reader, "file index")
        return Tensor(
            name: name, type: type, shape: shape, file: file, offset: try reader.varint(), bytes: try reader.varint())
    }

    private static func index(_ reader: inout ByteReader, _ what: String) throws(DecodeError) -> Int {
        guard let value = UInt32(exactly: try reader.varint()) else { throw .invalid(what: what) }
        return Int(value)
    }
}

/// The root chunk: where the manifest's own bytes are. Its ID is the model version's root.
package struct ManifestRoot: Sendable, Hashable {
    /// The first bytes of a root chunk.
    package static let magic = Array("HFRT".utf8)

    /// The length of the encoded manifest.
    package var manifestBytes: UInt64
    /// The chunks that hold it, each of 4 MiB but the last.
    package var parts: [ChunkID]

    package init(manifestBytes: UInt64, parts: [ChunkID]) {
        self.manifestBytes = manifestBytes
        self.parts = parts
    }

    /// The bytes.
    package func encoded() -> [UInt8] {
        var writer = ByteWriter(Self.magic)
        writer.byte(Manifest.version)
        writer.varint(manifestBytes)
        writer.varint(parts.count)
        for part in parts { writer.digest(part) }
        return writer.bytes
    }

    /// Decodes a root chunk; throws `corrupted` or `incompatible`.
    package init(decoding bytes: [UInt8]) throws(HoldfastError) {
        do throws(DecodeError) {
            self = try Self.decode(bytes)
        } catch {
            throw Manifest.refusal(error, what: "root chunk")
        }
    }

    /// The length of part `index`.
    package func bytes(ofPart index: Int) -> Int {
        let limit = ModelLimits.chunkBytesMax
        return index < parts.count - 1 ? limit : Int(manifestBytes) - (parts.count - 1) * limit
    }

    private static func decode(_ bytes: [UInt8]) throws(DecodeError) -> ManifestRoot {
        var reader = ByteReader(bytes)
        guard try reader.take(magic.count).elementsEqual(magic) else { throw .invalid(what: "root magic") }
        try reader.version(Manifest.version, of: "root")
        let length = try reader.varint()
        guard length > 0, length <= UInt64(ModelLimits.manifestBytesMax) else {
            throw .invalid(what: "manifest length")
        }
        let count = try reader.count(itemBytes: Digest.byteCount)
        let limit = ModelLimits.chunkBytesMax
        guard count == (Int(length) + limit - 1) / limit else { throw .invalid(what: "number of manifest parts") }
        var parts: [ChunkID] = []
        for _ in 0..<count { parts.append(try reader.digest()) }
        try reader.finish()
        return ManifestRoot(manifestBytes: length, parts: parts)
    }
}
