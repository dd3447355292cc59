internal import Glibc
package import ReplicaCore

/// Where a state snapshot gathers while it is fetched: files by their digests, so that what one snapshot brought serves the next, and
/// what a cut or a restart interrupted goes on where it stopped.
///
/// ```
///   staging/manifest          of the snapshot that is being fetched
///   staging/DIGEST            a file whose digest held, durable
///   staging/DIGEST.part       its first bytes, not yet checked
/// ```
///
/// Invariants:
/// 1. A file under its digest alone is whole: it was checked and fsynced before it got that name.
/// 2. Files of other manifests than the one at hand are removed when it is taken up.
///
/// One fetch at a time. Every call blocks on the disk.
package final class SnapshotStaging: Sendable {
    private let path: String
    let place: RowsPlace
    let onStep: @Sendable (InstallStep) -> Void

    /// - Parameter onStep: hears of every step of an install when it is done, on the thread that did it; for tests.
    package init(_ layout: DataLayout, onStep: @escaping @Sendable (InstallStep) -> Void = { _ in }) {
        path = layout.staging
        place = RowsPlace(layout)
        self.onStep = onStep
    }

    /// The manifest that a fetch was interrupted at; nil for none.
    package func interrupted() -> SnapshotManifest? {
        guard let bytes = try? FileTree.read(path + "/manifest", bytesMax: SnapshotManifest.bytesMax) else {
            return nil
        }
        return try? SnapshotManifest(decoding: bytes)
    }

    /// Takes up a manifest. Keeps (2).
    package func begin(_ manifest: SnapshotManifest) throws(SnapshotError) {
        let wanted = Set(manifest.files.flatMap { [$0.digest.hex, $0.digest.hex + ".part"] })
        do {
            try FileTree.makeDirectories(path)
            for name in try FileTree.names(in: path) where !wanted.contains(name) {
                try FileTree.removeTree(path + "/" + name)
            }
            try FileTree.replace(path + "/manifest", with: manifest.encoded())
        } catch {
            throw SnapshotError(error)
        }
    }

    /// How many bytes of a file are here; nil once it is whole.
    package func progress(of file: SnapshotManifest.File) throws(SnapshotError) -> UInt64? {
        do {
            if try FileTree.size(path + "/" + file.digest.hex) != nil { return nil }
            return UInt64(try FileTree.size(partPath(file)) ?? 0)
        } catch {
            throw SnapshotError(error)
        }
    }

    /// Adds bytes of a file at `offset`, which is what `progress` says.
    package func append(
        _ bytes: UnsafeRawBufferPointer, to file: SnapshotManifest.File, at offset: UInt64
    ) throws(SnapshotError) {
        guard offset <= file.bytes, UInt64(bytes.count) <= file.bytes - offset else {
            throw SnapshotError(.corrupted, "a peer sent more bytes of \(file.name) than the manifest names")
        }
        do {
            let part = try OpenFile(partPath(file), O_WRONLY | O_CREAT)
            try part.write(bytes, at: Int(offset))
            // So that the fsync at the end finds little to do.
            part.startWriteout(at: Int(offset), count: bytes.count)
        } catch {
            throw SnapshotError(error)
        }
    }

    /// Checks a file whose bytes are all here. Throws `corrupted`, with the bytes removed, if they are others. Keeps (1).
    package func finish(_ file: SnapshotManifest.File) throws(SnapshotError) {
        do {
            let part = try OpenFile(partPath(file), O_RDWR | O_CREAT)
            let (bytes, digest) = try part.digest()
            guard bytes == file.bytes, digest == file.digest else {
                try FileTree.remove(partPath(file))
                throw SnapshotError(.corrupted, "\(file.name) of the state snapshot came with other bytes than named")
            }
            try part.sync()
            try FileTree.rename(partPath(file), to: path + "/" + file.digest.hex)
            try FileTree.syncDirectory(path)
        } catch let error as FileError {
            throw SnapshotError(error)
        } catch let error as SnapshotError {
            throw error
        } catch {
            throw SnapshotError(.inputOutput, "\(error)")
        }
    }

    /// Makes rows of the files, which are all whole, and opens them: verified, durable, and not yet in force.
    ///
    /// - Throws: `corrupted` where they are not rows of the state that the manifest names; nothing of them is kept then.
    package func assemble(
        _ manifest: SnapshotManifest, options: RowStoreOptions
    ) throws(SnapshotError) -> StagedRows {
        onStep(.fetched)
        do {
            let rows = try place.next()
            try FileTree.makeDirectory(rows)
            do {
                for file in manifest.files { try give(file, to: rows) }
                let staged = try StagedRows(opening: rows, manifest, staging: self, options: options)
                onStep(.opened)
                return staged
            } catch {
                try FileTree.removeTree(rows)
                if (error as? SnapshotError)?.cause == .corrupted { try FileTree.removeTree(path) }
                throw error
            }
        } catch let error as FileError {
            throw SnapshotError(error)
        } catch let error as DirectoryError {
            throw SnapshotError(error)
        } catch let error as SnapshotError {
            throw error
        } catch {
            throw SnapshotError(.inputOutput, "\(error)")
        }
    }

    /// Bytes of a file that is whole.
    func read(_ file: SnapshotManifest.File, at offset: UInt64, count: Int) throws(SnapshotError) -> [UInt8] {
        do {
            let opened = try OpenFile(path + "/" + file.digest.hex, O_RDONLY)
            let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: count, alignment: 8)
            defer { buffer.deallocate() }
            return Array(buffer.prefix(try opened.read(into: buffer, at: Int(offset))))
        } catch {
            throw SnapshotError(error)
        }
    }

    /// The chunks that the gathered state needs, ascending: those of open uploads and of versions that are not retired, or were not
    /// long ago. Opens the files as rows for the time of the call.
    package func chunks(of manifest: SnapshotManifest) throws(SnapshotError) -> [ChunkID] {
        let view = path + "/view"
        do {
            try FileTree.removeTree(view)
            try FileTree.makeDirectory(view)
            defer { _ = try? FileTree.removeTree(view) }
            for file in manifest.files { try give(file, to: view) }
            var options = RowStoreOptions()
            options.isReadOnly = true
            let rows = try RowStore(path: view, options: options)
            let point = ReadPoint(manifest.head.state)
            var chunks: [ChunkID] = []
            var next = ChunkID.zero
            while true {
                let page = try Pins.pinned(from: next, limit: 16_384, at: point, rows: rows)
                // Each page begins with the last of the one before.
                chunks += chunks.isEmpty ? page : Array(page.dropFirst())
                guard page.count == 16_384, let last = page.last else { return chunks }
                next = last
            }
        } catch let error as FileError {
            throw SnapshotError(error)
        } catch let error as RowStoreError {
            throw SnapshotError(error)
        } catch let error as RowError {
            throw SnapshotError(error.isCorruption ? .corrupted : .inputOutput, error.message)
        } catch {
            throw SnapshotError(.inputOutput, "\(error)")
        }
    }

    /// Table files never change and are linked; the others are RocksDB's to write, so they are copied. Keeps (1).
    private func give(_ file: SnapshotManifest.File, to rows: String) throws(FileError) {
        let from = path + "/" + file.digest.hex
        if file.name.hasSuffix(".sst") { return try FileTree.link(from, to: rows + "/" + file.name) }
        let source = try OpenFile(from, O_RDONLY)
        let target = try OpenFile(rows + "/" + file.name, O_WRONLY | O_CREAT | O_EXCL)
        try target.write(try source.read(count: Int(file.bytes)), at: 0)
        try target.sync()
    }

    /// Removes everything: the snapshot is in force, or nobody wants it.
    package func clear() throws(SnapshotError) {
        do {
            // Without its manifest nothing here is taken up again.
            try FileTree.remove(path + "/manifest")
            try FileTree.removeTree(path)
        } catch {
            throw SnapshotError(error)
        }
    }

    private func partPath(_ file: SnapshotManifest.File) -> String { path + "/" + file.digest.hex + ".part" }
}
