package import NIOCore
package import ReplicaCore
internal import Storage

/// Reads chunks from a source that is not trusted: every one is checked against its name.
package struct VerifiedChunks: Sendable {
    /// Where the chunks come from.
    package let source: any ChunkSource

    package init(_ source: any ChunkSource) { self.source = source }

    /// Reads a chunk, checks it on a hashing thread, and there hands it to `use`.
    ///
    /// One that does not match its name is doubted at its source, which replaces a bad copy, and read once more (a wire may be at fault); then `corrupted`, naming
    /// `owner` and the chunk.
    package func read<Result: Sendable>(
        _ id: ChunkID, bytes: Int?, of owner: String,
        use: @escaping @Sendable (_ chunk: ByteBuffer) throws(HoldfastError) -> Result
    ) async throws(HoldfastError) -> Result {
        for _ in 0..<2 {
            if Task.isCancelled { throw HoldfastError(wrapping: CancellationError()) }
            let chunk = try await source.readChunk(id)
            if let bytes, chunk.readableBytes != bytes {
                await source.doubt(id)
                continue
            }
            let result = try await ModelThreads.run { () throws(HoldfastError) -> Result? in
                guard SHA256.digest(of: chunk) == id else { return nil }
                return try use(chunk)
            }
            if let result { return result }
            await source.doubt(id)
        }
        throw HoldfastError(
            .corrupted, "chunk \(id.hex) of '\(owner)' does not match its name, read twice; check the nodes' disks",
            details: ["file": owner, "chunk": id.hex])
    }

    /// Reads the manifest of a published version and holds it against what was published.
    package func manifest(of model: ModelVersion) async throws(HoldfastError) -> Manifest {
        guard let root = ChunkID(hex: model.root) else {
            throw HoldfastError(.corrupted, "the root of '\(model.name)@\(model.version)' is not a chunk's name")
        }
        let what = "the manifest of \(model.name)@\(model.version)"
        let description = try await read(root, bytes: nil, of: what) { (chunk) throws(HoldfastError) in
            try ManifestRoot(decoding: Array(chunk.readableBytesView))
        }
        var encoded: [UInt8] = []
        encoded.reserveCapacity(Int(description.manifestBytes))
        for (index, part) in description.parts.enumerated() {
            let bytes = try await read(part, bytes: description.bytes(ofPart: index), of: what) {
                (chunk) throws(HoldfastError) in chunk
            }
            encoded.append(contentsOf: bytes.readableBytesView)
        }
        let complete = encoded
        let manifest = try await ModelThreads.run { () throws(HoldfastError) in try Manifest(decoding: complete) }
        guard manifest.totalBytes == model.bytes, manifest.files.count == model.files else {
            throw HoldfastError(.corrupted, "\(what) does not have the files and bytes that were published")
        }
        return manifest
    }
}
