internal import Glibc
package import ReplicaCore

/// A checkpoint of the rows on this disk, described by its manifest: what other nodes fetch a state snapshot from.
///
/// ```
///   NAME/manifest     SnapshotManifest; its presence says that the rest is complete
///   NAME/rows/…       the files, hard links of the rows' own where they never change
/// ```
/// NAME is the manifest's ID in hex. Nothing in it changes once it is made.
package struct Checkpoint: Sendable {
    package let manifest: SnapshotManifest
    /// The manifest's ID.
    package let id: Digest
    /// The checkpoint's directory.
    package let path: String
    /// The manifest as it is sent and stored.
    package let encoded: [UInt8]

    private init(_ manifest: SnapshotManifest, at path: String) {
        self.manifest = manifest
        self.path = path
        encoded = manifest.encoded()
        id = SHA256.digest(of: encoded)
    }

    /// The index that the state includes.
    package var index: UInt64 { manifest.head.state.index }

    // MARK: Making

    private static let unfinished = "unfinished"

    /// Makes a checkpoint of the rows as they are now, below `directory` (on the same file system). Flushes the rows and reads every
    /// byte of them; blocks that long.
    package static func make(
        of rows: RowStore, cluster: String, below directory: String
    ) throws(SnapshotError) -> Checkpoint {
        let temporary = directory + "/" + unfinished
        do {
            try FileTree.makeDirectories(directory)
            try FileTree.removeTree(temporary)
            try FileTree.makeDirectory(temporary)
            try rows.checkpoint(at: temporary + "/rows")
            var files: [SnapshotManifest.File] = []
            for name in try FileTree.names(in: temporary + "/rows") where isContent(name) {
                files.append(try describe(name, in: temporary + "/rows"))
            }
            try FileTree.syncDirectory(temporary + "/rows")
            let made = Checkpoint(
                SnapshotManifest(cluster: cluster, head: try head(of: temporary + "/rows"), files: files), at: temporary
            )
            try FileTree.replace(temporary + "/manifest", with: made.encoded)
            let path = directory + "/" + made.id.hex
            // The same state was made into a checkpoint before: that one stays.
            if FileTree.isDirectory(path) {
                try FileTree.removeTree(temporary)
            } else {
                try FileTree.rename(temporary, to: path)
            }
            try FileTree.syncDirectory(directory)
            return Checkpoint(made.manifest, at: path)
        } catch let error as FileError {
            throw SnapshotError(error)
        } catch let error as RowStoreError {
            throw SnapshotError(error)
        } catch let error as RowError {
            throw SnapshotError(error.isCorruption ? .corrupted : .inputOutput, error.message)
        } catch {
            throw SnapshotError(.inputOutput, "a checkpoint cannot be made: \(error)")
        }
    }

    /// RocksDB's own diary and lock are no part of the state.
    private static func isContent(_ name: String) -> Bool { name != "LOCK" && !name.hasPrefix("LOG") }

    private static func head(of path: String) throws -> SnapshotHead {
        var options = RowStoreOptions()
        options.isReadOnly = true
        options.blockCacheBytes = 1 << 20
        options.openFilesMax = 16
        return try SnapshotHead(loading: try RowStore(path: path, options: options))
    }

    private static func describe(_ name: String, in directory: String) throws(FileError) -> SnapshotManifest.File {
        let file = try OpenFile(directory + "/" + name, O_RDONLY)
        try file.sync()
        let (bytes, digest) = try file.digest()
        return SnapshotManifest.File(name: name, bytes: bytes, digest: digest)
    }

    // MARK: Reading

    /// The checkpoint at `path`; nil if there is none that is complete.
    package static func open(at path: String) throws(SnapshotError) -> Checkpoint? {
        let bytes: [UInt8]?
        do {
            bytes = try FileTree.read(path + "/manifest", bytesMax: SnapshotManifest.bytesMax)
        } catch {
            throw SnapshotError(error)
        }
        guard let bytes else { return nil }
        do throws(DecodeError) {
            let found = Checkpoint(try SnapshotManifest(decoding: bytes), at: path)
            return path.hasSuffix("/" + found.id.hex) ? found : nil
        } catch {
            return nil
        }
    }

    /// Every complete checkpoint below `directory`, the newest state first; what a crash left half made is removed.
    package static func all(below directory: String) throws(SnapshotError) -> [Checkpoint] {
        guard FileTree.isDirectory(directory) else { return [] }
        var found: [Checkpoint] = []
        do {
            for name in try FileTree.names(in: directory) {
                if let checkpoint = try open(at: directory + "/" + name) {
                    found.append(checkpoint)
                } else if name == unfinished || Digest(hex: name) != nil {
                    try FileTree.removeTree(directory + "/" + name)
                }
            }
        } catch let error as FileError {
            throw SnapshotError(error)
        } catch let error as SnapshotError {
            throw error
        } catch {
            throw SnapshotError(.inputOutput, "\(error)")
        }
        return found.sorted { $0.index > $1.index }
    }

    /// Bytes of one file from `offset` on, at most `count`; fewer only at its end.
    package func read(file: Int, offset: UInt64, count: Int) throws(SnapshotError) -> [UInt8] {
        guard manifest.files.indices.contains(file), offset <= manifest.files[file].bytes else {
            throw SnapshotError(.missing, "the state snapshot has no file \(file) with a byte \(offset)")
        }
        do {
            let opened = try OpenFile(path + "/rows/" + manifest.files[file].name, O_RDONLY)
            let buffer = UnsafeMutableRawBufferPointer.allocate(
                byteCount: min(count, Int(manifest.files[file].bytes - offset)), alignment: 8)
            defer { buffer.deallocate() }
            return Array(buffer.prefix(try opened.read(into: buffer, at: Int(offset))))
        } catch {
            if error.isMissing { throw SnapshotError(.missing, "the state snapshot \(id) is not kept any more") }
            throw SnapshotError(error)
        }
    }

    /// Removes it from the disk. The rows that it links keep their bytes.
    package func remove() throws(SnapshotError) {
        do {
            // Without its manifest it is not complete: a crash in between leaves something that the next start removes.
            try FileTree.remove(path + "/manifest")
            try FileTree.removeTree(path)
        } catch {
            throw SnapshotError(error)
        }
    }
}

extension OpenFile {
    /// The number of bytes and their SHA-256.
    borrowing func digest() throws(FileError) -> (bytes: UInt64, digest: Digest) {
        let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: 1 << 20, alignment: 4096)
        defer { buffer.deallocate() }
        var hash = SHA256()
        var offset = 0
        while true {
            let count = try read(into: buffer, at: offset)
            if count == 0 { return (UInt64(offset), hash.finish()) }
            hash.update(UnsafeRawBufferPointer(rebasing: buffer[..<count]))
            offset += count
        }
    }
}
