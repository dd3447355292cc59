package import ReplicaCore

/// What a model version consists of: its files, the tensors in them, and the chunks that hold their bytes.
///
/// Invariants, checked by `fault()` when one is decoded: (1) paths pass `ModelPath`, ascend by their bytes, and none is a
/// directory of another; (2) the files' chunk ranges tile `chunks` in order; (3) the chunk lengths of a file add up to its
/// bytes, each from 1 byte to 4 MiB; (4) a file of one chunk has that chunk's ID as its SHA-256; (5) a tensor lies within a
/// safetensors file, its shape gives its bytes, and its name is unique in the file; (6) tensors ascend by file, offset
/// and name.
package struct Manifest: Sendable, Hashable {
    /// How a file was read.
    package enum Kind: UInt8, Sendable {
        /// Its bytes mean nothing to Holdfast.
        case plain = 0
        /// Its tensors are in the table.
        case safetensors = 1
    }

    /// One file.
    package struct File: Sendable, Hashable {
        package var path: String
        package var bytes: UInt64
        package var sha256: Digest
        package var kind: Kind
        /// Its first chunk in `chunks`.
        package var firstChunk: Int
        package var chunkCount: Int
        /// `__metadata__` of a safetensors file.
        package var notes: [SafetensorsHeader.Note]
    }

    /// One tensor.
    package struct Tensor: Sendable, Hashable {
        package var name: String
        package var type: ElementType
        package var shape: [UInt64]
        /// Index in `files`.
        package var file: Int
        /// Its first byte in the file.
        package var offset: UInt64
        package var bytes: UInt64
    }

    /// One chunk.
    package struct Chunk: Sendable, Hashable {
        package var id: ChunkID
        /// 1 byte to 4 MiB.
        package var bytes: UInt32
    }

    package var files: [File]
    package var tensors: [Tensor]
    package var chunks: [Chunk]

    package init(files: [File], tensors: [Tensor], chunks: [Chunk]) {
        self.files = files
        self.tensors = tensors
        self.chunks = chunks
    }

    /// The bytes of all files.
    package var totalBytes: UInt64 { files.reduce(0) { $0 + $1.bytes } }

    /// The chunks of a file.
    package func chunks(of file: File) -> ArraySlice<Chunk> {
        chunks[file.firstChunk..<(file.firstChunk + file.chunkCount)]
    }

    /// Why the invariants do not hold, or nil if they do.
    package func fault() -> String? {
        var nextChunk = 0
        for (index, file) in files.enumerated() {
            if let fault = ModelPath.fault(in: file.path) { return "path '\(file.path)' \(fault)" }
            if index > 0, !ModelPath.precedes(files[index - 1].path, file.path) {
                return "path '\(file.path)' is out of order or there twice"
            }
            guard file.firstChunk == nextChunk, file.chunkCount >= 0, file.chunkCount <= chunks.count - nextChunk else {
                return "the chunks of '\(file.path)' do not follow those before"
            }
            nextChunk += file.chunkCount
            var sum: UInt64 = 0
            for chunk in chunks(of: file) {
                guard chunk.bytes >= 1, chunk.bytes <= ModelLimits.chunkBytesMax else {
                    return "a chunk of '\(file.path)' has \(chunk.bytes) bytes"
                }
                sum += UInt64(chunk.bytes)
            }
            guard sum == file.bytes else {
                return "the chunks of '\(file.path)' have \(sum) bytes, the file \(file.bytes)"
            }
            if file.chunkCount == 1, chunks[file.firstChunk].id != file.sha256 {
                return "'\(file.path)' is one chunk, but its SHA-256 is another"
            }
            if file.kind == .plain, !file.notes.isEmpty { return "'\(file.path)' is plain, but has metadata" }
        }
        guard nextChunk == chunks.count else { return "\(chunks.count - nextChunk) chunks belong to no file" }
        if let conflict = ModelPath.conflict(in: files.map(\.path)) { return "'\(conflict)' is a file and a directory" }
        return tensorFault()
    }

    private func tensorFault() -> String? {
        var names: Set<String> = []
        for (index, tensor) in tensors.enumerated() {
            let what = "tensor '\(tensor.name)'"
            guard files.indices.contains(tensor.file), files[tensor.file].kind == .safetensors else {
                return "\(what) is in no safetensors file"
            }
            let before = index > 0 ? tensors[index - 1] : nil
            if before?.file != tensor.file { names.removeAll(keepingCapacity: true) }
            guard names.insert(tensor.name).inserted else { return "\(what) is there twice" }
            if let before, (before.file, before.offset, before.bytes) > (tensor.file, tensor.offset, tensor.bytes) {
                return "\(what) is out of order"
            }
            let (end, overflow) = tensor.offset.addingReportingOverflow(tensor.bytes)
            guard !overflow, end <= files[tensor.file].bytes else { return "\(what) ends beyond its file" }
            guard tensor.type.size(of: tensor.shape) == .bytes(tensor.bytes) else {
                return "\(what) has \(tensor.bytes) bytes, not those of its shape"
            }
        }
        return nil
    }
}
