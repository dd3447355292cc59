internal import Glibc
package import ReplicaCore

/// A state snapshot in one file, for operators.
///
/// ```
///      8  "HOFLSNA1"
///      8  bytes of the manifest (u64, little-endian)
///      n  the manifest
///     32  SHA-256 of everything before
///         the bytes of the manifest's files, in its order; each has its SHA-256 there
///      8  number of chunks (u64)
///      8  1 if their bytes follow, else 0 (u64)
///   32 n  the chunks' names, ascending: all that the state needs
///     32  SHA-256 of this list with its two numbers
///         with bytes, for every chunk: its size (u32), its bytes; they are checked against the name
/// ```
///
/// Nothing follows: a file that reads whole has one form.
package enum SnapshotFile {
    static let magic = Array("HOFLSNA1".utf8)
    /// The longest chunk that is read; longer ones are not ours.
    static let chunkBytesMax = 64 << 20

    /// Whether there is anything at `path`.
    package static func exists(_ path: String) -> Bool { access(path, F_OK) == 0 }

    /// Where the parts of a file at `path` lie while it is being saved.
    package static func parts(of path: String) -> DataLayout { DataLayout(path + ".partial") }

    /// Removes those parts.
    package static func removeParts(of path: String) throws(SnapshotError) {
        do {
            try FileTree.removeTree(parts(of: path).root)
        } catch {
            throw SnapshotError(error)
        }
    }

    static func number(_ value: UInt64) -> [UInt8] { withUnsafeBytes(of: value.littleEndian) { Array($0) } }

    static func number(_ bytes: some Sequence<UInt8>) -> UInt64 {
        var value: UInt64 = 0
        for (place, byte) in bytes.enumerated() { value |= UInt64(byte) << (8 * UInt64(place)) }
        return value
    }
}

/// Writes a snapshot file under another name and gives it its own once it is whole and durable.
package final class SnapshotFileWriter {
    private let path: String
    private let file: OpenFile
    private var offset = 0

    /// Begins the file at `path` with the files that lie in `staging`, all of them whole. Blocks.
    package init(
        _ path: String, _ manifest: SnapshotManifest, from staging: SnapshotStaging
    ) throws(SnapshotError) {
        self.path = path
        do {
            file = try OpenFile(path + ".new", O_RDWR | O_CREAT | O_TRUNC)
        } catch {
            throw SnapshotError(error)
        }
        let encoded = manifest.encoded()
        let head = SnapshotFile.magic + SnapshotFile.number(UInt64(encoded.count)) + encoded
        try write(head + SHA256.digest(of: head).bytes)
        for each in manifest.files {
            var left = each.bytes
            while left > 0 {
                let count = Int(min(left, 4 << 20))
                try write(try staging.read(each, at: each.bytes - left, count: count))
                left -= UInt64(count)
            }
        }
    }

    /// Adds the list of chunks, ascending; with `bytes` those follow by `add(chunk:)`, in the same order.
    package func add(chunks: [ChunkID], bytes: Bool) throws(SnapshotError) {
        var list = SnapshotFile.number(UInt64(chunks.count)) + SnapshotFile.number(bytes ? 1 : 0)
        for chunk in chunks { chunk.append(to: &list) }
        try write(list + SHA256.digest(of: list).bytes)
    }

    /// Adds the bytes of one chunk, which the caller has checked.
    package func add(chunk: UnsafeRawBufferPointer) throws(SnapshotError) {
        try write(Array(SnapshotFile.number(UInt64(chunk.count))[..<4]))
        try write(chunk)
    }

    /// Makes the file durable under its name; answers its size in bytes.
    package func finish() throws(SnapshotError) -> UInt64 {
        do {
            try file.sync()
            try FileTree.rename(path + ".new", to: path)
            try FileTree.syncDirectory(FileTree.parent(of: path))
            return UInt64(offset)
        } catch {
            throw SnapshotError(error)
        }
    }

    private func write(_ bytes: [UInt8]) throws(SnapshotError) {
        do {
            try file.write(bytes, at: offset)
        } catch {
            throw SnapshotError(error)
        }
        offset += bytes.count
    }

    private func write(_ bytes: UnsafeRawBufferPointer) throws(SnapshotError) {
        do {
            try file.write(bytes, at: offset)
        } catch {
            throw SnapshotError(error)
        }
        offset += bytes.count
    }
}

/// Reads a snapshot file and checks everything that it hands out.
package final class SnapshotFileReader {
    package let manifest: SnapshotManifest
    /// The file's size in bytes.
    package let bytes: UInt64
    private let path: String
    private let file: OpenFile
    private let filesStart: UInt64

    /// Opens the file at `path`. Throws `missing`, or `corrupted` for what is no snapshot file of this version.
    package init(_ path: String) throws(SnapshotError) {
        self.path = path
        do {
            let opened = try OpenFile(path, O_RDONLY)
            bytes = UInt64(try opened.size())
            file = opened
        } catch {
            if error.isMissing { throw SnapshotError(.missing, "there is no file at \(path)") }
            throw SnapshotError(error)
        }
        let start = try Self.take(file, path, at: 0, count: 16)
        guard Array(start[..<8]) == SnapshotFile.magic else {
            throw SnapshotError(.corrupted, "\(path) is no snapshot file of Holdfast")
        }
        let length = SnapshotFile.number(start[8...])
        guard length <= UInt64(SnapshotManifest.bytesMax) else { throw Self.damaged(path) }
        let encoded = try Self.take(file, path, at: 16, count: Int(length))
        let digest = try Self.take(file, path, at: 16 + length, count: Digest.byteCount)
        guard SHA256.digest(of: start + encoded).bytes == digest else { throw Self.damaged(path) }
        do throws(DecodeError) {
            manifest = try SnapshotManifest(decoding: encoded)
        } catch {
            throw SnapshotError(.corrupted, "the manifest in \(path) cannot be read: \(error)")
        }
        filesStart = 16 + length + UInt64(Digest.byteCount)
    }

    /// Puts the state's files into `staging`, each checked. Blocks.
    package func unpack(into staging: SnapshotStaging) throws(SnapshotError) {
        try staging.begin(manifest)
        var offset = filesStart
        for each in manifest.files {
            var done = try staging.progress(of: each) ?? each.bytes
            while done < each.bytes {
                let part = try Self.take(file, path, at: offset + done, count: Int(min(4 << 20, each.bytes - done)))
                try part.withUnsafeBufferPointer { (buffer) throws(SnapshotError) in
                    try staging.append(UnsafeRawBufferPointer(buffer), to: each, at: done)
                }
                done += UInt64(part.count)
            }
            if try staging.progress(of: each) != nil { try staging.finish(each) }
            offset += each.bytes
        }
    }

    /// Holds every byte of the state's files against its digest; nothing is written. Blocks.
    package func verifyFiles() throws(SnapshotError) {
        var offset = filesStart
        for each in manifest.files {
            var hash = SHA256()
            var done: UInt64 = 0
            while done < each.bytes {
                let part = try Self.take(file, path, at: offset + done, count: Int(min(1 << 20, each.bytes - done)))
                part.withUnsafeBytes { hash.update($0) }
                done += UInt64(part.count)
            }
            guard hash.finish() == each.digest else { throw Self.damaged(path) }
            offset += each.bytes
        }
    }

    /// The chunks that the state needs, and whether their bytes are in the file.
    package func chunks() throws(SnapshotError) -> (names: [ChunkID], hasBytes: Bool) {
        let start = filesStart + manifest.bytes
        let numbers = try Self.take(file, path, at: start, count: 16)
        let count = SnapshotFile.number(numbers[..<8])
        guard count <= bytes / UInt64(Digest.byteCount) else { throw Self.damaged(path) }
        let list = try Self.take(file, path, at: start + 16, count: Int(count) * Digest.byteCount)
        let digest = try Self.take(file, path, at: start + 16 + UInt64(list.count), count: Digest.byteCount)
        guard SHA256.digest(of: numbers + list).bytes == digest else { throw Self.damaged(path) }
        var names: [ChunkID] = []
        for place in 0..<Int(count) {
            guard let name = ChunkID(list[(place * Digest.byteCount)..<((place + 1) * Digest.byteCount)]) else {
                throw Self.damaged(path)
            }
            guard names.last.map({ $0 < name }) ?? true else { throw Self.damaged(path) }
            names.append(name)
        }
        switch SnapshotFile.number(numbers[8...]) {
        case 0 where chunksStart(after: names) == bytes: return (names, false)
        case 1: return (names, true)
        default: throw Self.damaged(path)
        }
    }

    /// Where the chunks' bytes begin.
    private func chunksStart(after names: [ChunkID]) -> UInt64 {
        filesStart + manifest.bytes + 16 + UInt64((names.count + 1) * Digest.byteCount)
    }

    /// Calls `body` with every chunk's name and bytes, each checked against its name; throws at the end for a file that goes on behind
    /// the last. To be called where there are bytes. Blocks.
    package func forEachChunk(
        _ body: (ChunkID, UnsafeRawBufferPointer) throws(SnapshotError) -> Void
    ) throws(SnapshotError) {
        let (names, hasBytes) = try chunks()
        guard hasBytes else { return }
        var offset = chunksStart(after: names)
        for name in names {
            let count = Int(SnapshotFile.number(try Self.take(file, path, at: offset, count: 4)))
            guard count <= SnapshotFile.chunkBytesMax else { throw Self.damaged(path) }
            let chunk = try Self.take(file, path, at: offset + 4, count: count)
            guard SHA256.digest(of: chunk) == name else { throw Self.damaged(path) }
            try chunk.withUnsafeBufferPointer { (buffer) throws(SnapshotError) in
                try body(name, UnsafeRawBufferPointer(buffer))
            }
            offset += 4 + UInt64(count)
        }
        guard offset == bytes else { throw Self.damaged(path) }
    }

    private static func take(
        _ file: borrowing OpenFile, _ path: String, at offset: UInt64, count: Int
    ) throws(SnapshotError) -> [UInt8] {
        do {
            let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: count, alignment: 8)
            defer { buffer.deallocate() }
            guard try file.read(into: buffer, at: Int(offset)) == count else { throw damaged(path) }
            return Array(buffer)
        } catch let error as FileError {
            throw SnapshotError(error)
        } catch let error as SnapshotError {
            throw error
        } catch {
            throw SnapshotError(.inputOutput, "\(error)")
        }
    }

    private static func damaged(_ path: String) -> SnapshotError {
        SnapshotError(.corrupted, "\(path) is damaged or cut off; save the snapshot again")
    }
}
