internal import Glibc
package import ReplicaCore

/// A chunk to be written. The buffers must stay valid during the call that writes it.
package struct ChunkBytes {
    package var id: ChunkID
    /// The bytes of the chunk, one after the other.
    package var buffers: [UnsafeRawBufferPointer]
    /// The caller has hashed these bytes and compared the digest with the name.
    package var isVerified: Bool

    package init(id: ChunkID, buffers: [UnsafeRawBufferPointer], isVerified: Bool = false) {
        self.id = id
        self.buffers = buffers
        self.isVerified = isVerified
    }
}

extension ChunkStore {
    /// Writes a chunk; when it returns the chunk is durable. False if it was here already.
    ///
    /// - Throws: `nameMismatch`, `noSpace` or `inputOutput`; nothing of the chunk is kept then.
    @discardableResult
    package func write(
        _ id: ChunkID, _ bytes: UnsafeRawBufferPointer, isVerified: Bool = false
    ) throws(ChunkError) -> Bool {
        try write([ChunkBytes(id: id, buffers: [bytes], isVerified: isVerified)]) > 0
    }

    /// Writes several chunks that share the syncs of their directories, and answers how many were not here before. When
    /// it returns all are durable.
    ///
    /// - Throws: as for one chunk. No chunk that failed is kept; others of the batch may be, whole.
    @discardableResult
    package func write(_ chunks: [ChunkBytes]) throws(ChunkError) -> Int {
        for chunk in chunks where !chunk.isVerified {
            let found = SHA256.digest(of: chunk.buffers)
            guard found == chunk.id else {
                throw ChunkError(
                    .nameMismatch,
                    "the bytes of chunk \(chunk.id.hex) have the digest \(found.hex); they were not "
                        + "kept; read or fetch them again")
            }
        }
        var incoming = Incoming()
        do throws(ChunkError) {
            for chunk in chunks where try !contains(chunk.id) { try incoming.write(chunk, in: self) }
            try incoming.publish(in: self)
        } catch {
            incoming.discard()
            throw error
        }
        return incoming.count
    }
}

/// The chunks of one batch on their way: written to temporary files, then synced, then named.
private struct Incoming: ~Copyable {
    private struct Written {
        let id: ChunkID
        let temporary: String
        let descriptor: Int32
    }

    private var open: [Written] = []
    private(set) var count = 0

    /// Writes the bytes and starts their write-out, so that the syncs of a batch overlap.
    mutating func write(_ chunk: ChunkBytes, in store: ChunkStore) throws(ChunkError) {
        if open.contains(where: { $0.id == chunk.id }) { return }
        let temporary = store.temporaryPath(for: chunk.id)
        do throws(FileError) {
            let file = try OpenFile(temporary, O_WRONLY | O_CREAT | O_EXCL, mode: 0o400)
            do throws(FileError) {
                try Incoming.copy(chunk.buffers, to: file)
            } catch {
                _ = unlink(temporary)
                throw error
            }
            open.append(Written(id: chunk.id, temporary: temporary, descriptor: file.release()))
        } catch {
            throw ChunkError(error, doing: "write chunk \(chunk.id.hex)")
        }
    }

    private static func copy(_ buffers: [UnsafeRawBufferPointer], to file: borrowing OpenFile) throws(FileError) {
        var offset = 0
        var started = 0
        for buffer in buffers {
            var rest = buffer
            while !rest.isEmpty {
                let piece = UnsafeRawBufferPointer(rebasing: rest.prefix(ChunkStore.writeoutBytes))
                try file.write(piece, at: offset)
                offset += piece.count
                rest = UnsafeRawBufferPointer(rebasing: rest.dropFirst(piece.count))
                if offset - started >= ChunkStore.writeoutBytes {
                    file.startWriteout(at: started, count: offset - started)
                    started = offset
                }
            }
        }
        if offset > started { file.startWriteout(at: started, count: offset - started) }
    }

    /// Syncs every file, gives it its name, then syncs each directory once. Keeps (1) and (2) of `ChunkStore`.
    mutating func publish(in store: ChunkStore) throws(ChunkError) {
        guard !open.isEmpty else { return }
        let named = open.map(\.id)
        do throws(FileError) {
            for written in open {
                guard fdatasync(written.descriptor) == 0 else { throw FileError.now("sync", written.temporary) }
            }
            while let written = open.last {
                store.unconfirmed.withLock { _ = $0.insert(written.id) }
                try FileTree.rename(written.temporary, to: store.path(of: written.id))
                _ = close(written.descriptor)
                open.removeLast()
            }
            var directories = named.map { store.directory(of: $0) }
            directories.sort()
            for (place, directory) in directories.enumerated() where place == 0 || directory != directories[place - 1] {
                try FileTree.syncDirectory(directory)
            }
        } catch {
            throw ChunkError(error, doing: "write \(named.count) chunks")
        }
        store.unconfirmed.withLock { unconfirmed in named.forEach { unconfirmed.remove($0) } }
        count = named.count
    }

    /// Forgets what has no name yet.
    mutating func discard() {
        for written in open {
            _ = unlink(written.temporary)
            _ = close(written.descriptor)
        }
        open.removeAll()
    }
}
