internal import NIOCore
internal import ReplicaCore

/// One published version of a model: what is in it, and its bytes.
///
/// The list of files and tensors is read once; bytes are read when they are asked for. It may be used from any thread.
public struct Model: Sendable {
    /// The version.
    public let version: ModelVersion
    /// Its files in order of their paths.
    public let files: [ModelFile]
    /// The tensors of its safetensors files, in order of files and of their data.
    public let tensors: [TensorInfo]
    private let manifest: Manifest
    private let chunks: VerifiedChunks
    private let indexes: [String: [Int]]

    /// Reads what is in a published version.
    package static func load(_ version: ModelVersion, from source: any ChunkSource) async throws(HoldfastError) -> Model
    {
        let chunks = VerifiedChunks(source)
        return Model(version, try await chunks.manifest(of: version), chunks)
    }

    private init(_ version: ModelVersion, _ manifest: Manifest, _ chunks: VerifiedChunks) {
        self.version = version
        self.manifest = manifest
        self.chunks = chunks
        files = manifest.files.map(\.described)
        tensors = manifest.tensors.map { tensor in
            TensorInfo(
                name: tensor.name, dtype: tensor.type.rawValue, shape: tensor.shape, bytes: tensor.bytes,
                file: manifest.files[tensor.file].path)
        }
        indexes = Dictionary(grouping: manifest.tensors.indices) { manifest.tensors[$0].name }
    }

    /// Reads a tensor; its bytes are used without a copy where its chunks are local and raw.
    ///
    /// `file` is needed only where tensors of several files have that name. Throws `notFound` for an unknown name,
    /// `invalidArgument` for an ambiguous one, `corrupted` where a chunk does not match its name.
    public func tensor(_ name: String, in file: String? = nil) async throws(HoldfastError) -> Tensor {
        let all = indexes[name] ?? []
        let found = all.filter { file == nil || tensors[$0].file == file }
        guard let index = found.first else {
            let place = file.map { " in '\($0)'" } ?? ""
            throw HoldfastError(
                .notFound,
                "'\(version.name)@\(version.version)' has no tensor '\(name)'\(place); list its tensors first")
        }
        guard found.count == 1 else {
            let places = found.map { "'\(tensors[$0].file)'" }.joined(separator: ", ")
            throw HoldfastError(.invalidArgument, "the tensor name '\(name)' is in several files: \(places); name one")
        }
        let entry = manifest.tensors[index]
        let range = entry.offset..<(entry.offset + entry.bytes)
        let pieces = pieces(of: manifest.files[entry.file], covering: range)
        if let tensor = try await mapped(tensors[index], pieces, from: range.lowerBound) { return tensor }
        let memory = try await read(range, pieces, of: tensors[index].file)
        return Tensor(info: tensors[index], memory: memory, offset: 0, isMapped: false)
    }

    /// Reads a whole file, checked; meant for the small ones (`config.json`).
    public func data(of path: String) async throws(HoldfastError) -> [UInt8] {
        guard let file = manifest.files.first(where: { $0.path == path }) else {
            throw HoldfastError(.notFound, "'\(version.name)@\(version.version)' has no file '\(path)'")
        }
        let range = 0..<file.bytes
        let memory = try await read(range, pieces(of: file, covering: range), of: path)
        return memory.withBytes(from: 0, count: Int(file.bytes)) { Array($0) }
    }

    /// A chunk that holds a part of what is read.
    private struct Piece: Sendable {
        var chunk: Manifest.Chunk
        /// Where the chunk begins in its file.
        var start: UInt64
        var end: UInt64 { start + UInt64(chunk.bytes) }
    }

    private func pieces(of file: Manifest.File, covering range: Range<UInt64>) -> [Piece] {
        var pieces: [Piece] = []
        var start: UInt64 = 0
        for chunk in manifest.chunks(of: file) where start < range.upperBound {
            let piece = Piece(chunk: chunk, start: start)
            if piece.end > range.lowerBound, !range.isEmpty { pieces.append(piece) }
            start = piece.end
        }
        return pieces
    }

    private func mapped(
        _ info: TensorInfo, _ pieces: [Piece], from offset: UInt64
    ) async throws(HoldfastError) -> Tensor? {
        guard let first = pieces.first else { return nil }
        let source = chunks.source
        return try await ModelThreads.run { () throws(HoldfastError) in
            var files: [(path: String, bytes: Int)] = []
            for piece in pieces {
                guard let path = source.localFile(of: piece.chunk.id) else { return nil }
                files.append((path, Int(piece.chunk.bytes)))
            }
            return MappedBytes.files(files).map {
                Tensor(info: info, memory: $0, offset: Int(offset - first.start), isMapped: true)
            }
        }
    }

    private func read(
        _ range: Range<UInt64>, _ pieces: [Piece], of owner: String
    ) async throws(HoldfastError) -> MappedBytes {
        let memory = try MappedBytes.pages(range.count)
        do {
            try await withThrowingTaskGroup(of: Void.self) { group in
                for (index, piece) in pieces.enumerated() {
                    if index >= ModelLimits.fetchesMax { try await group.next() }
                    group.addTask {
                        try await chunks.read(piece.chunk.id, bytes: Int(piece.chunk.bytes), of: owner) {
                            (bytes) throws(HoldfastError) in Self.copy(bytes, piece, range, memory)
                        }
                    }
                }
                try await group.waitForAll()
            }
        } catch {
            throw HoldfastError(wrapping: error)
        }
        return memory
    }

    private static func copy(_ chunk: ByteBuffer, _ piece: Piece, _ range: Range<UInt64>, _ memory: MappedBytes) {
        let from = max(piece.start, range.lowerBound)
        let to = min(piece.end, range.upperBound)
        chunk.withUnsafeReadableBytes { bytes in
            let part = bytes[Int(from - piece.start)..<Int(to - piece.start)]
            memory.fill(UnsafeRawBufferPointer(rebasing: part), at: Int(from - range.lowerBound))
        }
    }
}
