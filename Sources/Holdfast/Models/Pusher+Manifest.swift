internal import NIOCore
internal import ReplicaCore
internal import Storage

/// The end of a push: the manifest, and the chunks that a lost node took with it.
extension Pusher {
    /// The manifest of what was read.
    func manifest(digests: [Digest], chunks: [Manifest.Chunk]) -> Manifest {
        var files: [Manifest.File] = []
        var tensors: [Manifest.Tensor] = []
        var firstChunk = 0
        for (index, file) in plan.files.enumerated() {
            files.append(
                Manifest.File(
                    path: file.path, bytes: file.identity.bytes, sha256: digests[index],
                    kind: file.header == nil ? .plain : .safetensors, firstChunk: firstChunk,
                    chunkCount: file.chunks.count, notes: file.header?.notes ?? []))
            firstChunk += file.chunks.count
            guard let header = file.header else { continue }
            for tensor in header.tensors {
                tensors.append(
                    Manifest.Tensor(
                        name: tensor.name, type: tensor.type, shape: tensor.shape, file: index,
                        offset: header.dataStart + tensor.begin, bytes: tensor.end - tensor.begin))
            }
        }
        return Manifest(files: files, tensors: tensors, chunks: chunks)
    }

    /// Adds and sends the manifest's chunks.
    func place(_ tail: ManifestChunks) async throws(HoldfastError) {
        var added: [(ordinal: Int, id: ChunkID, bytes: ByteBuffer)] = []
        for (index, part) in tail.parts.enumerated() {
            if let ordinal = ledger.enter(part.id, at: .manifest(part: index)) {
                added.append((ordinal, part.id, part.bytes))
            }
        }
        if let ordinal = ledger.enter(tail.root.id, at: .manifest(part: nil)) {
            added.append((ordinal, tail.root.id, tail.root.bytes))
        }
        guard let first = added.first else { return }
        let present = try await announce(added.map(\.id), firstOrdinal: first.ordinal)
        for (item, isPresent) in zip(added, present) {
            if isPresent {
                ledger.known(item.ordinal, sent: false)
            } else {
                try await rate?.wait(for: item.bytes.readableBytes)
                try await sendOne(item.ordinal, item.id, item.bytes)
            }
        }
    }

    /// Asks the node for every chunk of the upload and sends again what it lacks, read and hashed anew: keeps (3).
    /// Returns how many those were.
    func resendLost(_ tail: ManifestChunks) async throws(HoldfastError) -> Int {
        let count = ledger.count
        var first = 0
        var lost = 0
        while first < count {
            let asked = min(count - first, ModelLimits.haveChunksMax)
            let present = try await have(firstOrdinal: first, count: asked)
            for (index, isPresent) in present.enumerated() where !isPresent {
                try await resend(first + index, tail)
                lost += 1
            }
            first += asked
        }
        return lost
    }

    private func resend(_ ordinal: Int, _ tail: ManifestChunks) async throws(HoldfastError) {
        let chunk = ledger[ordinal]
        switch chunk.place {
        case .manifest(let part):
            try await sendOne(ordinal, chunk.id, part.map { tail.parts[$0].bytes } ?? tail.root.bytes)
        case .file(let index, let offset, let bytes):
            let file = plan.files[index]
            let buffer = try await buffers.take(bytes)
            try await ModelThreads.run { () throws(HoldfastError) in
                try buffer.read(bytes, of: try plan.open(file), at: offset, changed: PushPlan.changed(file))
                guard SHA256.digest(of: buffer.bytes) == chunk.id else { throw PushPlan.changed(file) }
            }
            try await rate?.wait(for: bytes)
            try await sendOne(ordinal, chunk.id, buffer.bytes)
            buffers.give(buffer)
        }
    }
}
