internal import Glibc
package import ReplicaCore

/// A chunk opened for reading, for sendfile(2) and the like.
package struct ChunkFile: ~Copyable {
    private let file: OpenFile
    /// The size in bytes.
    package let byteCount: Int

    init(_ file: consuming OpenFile, byteCount: Int) {
        self.file = file
        self.byteCount = byteCount
    }

    /// Gives the descriptor to the caller, who closes it.
    package consuming func release() -> Int32 { file.release() }
}

/// What `verify` found.
package enum ChunkVerdict: Sendable, Equatable {
    /// The bytes are those that the name stands for.
    case whole
    /// The chunk is not here.
    case missing
    /// The bytes were wrong or could not be read; the file is in the quarantine under this path.
    case corrupted(movedTo: String)
}

extension ChunkStore {
    /// Reads a chunk into the front of `buffer` and answers its size. The bytes are not checked against the name.
    package func read(_ id: ChunkID, into buffer: UnsafeMutableRawBufferPointer) throws(ChunkError) -> Int {
        let file = try openFile(id)
        let count = try size(of: file)
        guard count <= buffer.count else {
            throw ChunkError(
                .bufferTooSmall, "chunk \(id.hex) has \(count) bytes and the buffer \(buffer.count); give a larger one")
        }
        do {
            return try file.read(into: UnsafeMutableRawBufferPointer(rebasing: buffer.prefix(count)), at: 0)
        } catch {
            throw ChunkError(error, doing: "read a chunk")
        }
    }

    /// Opens a chunk.
    package func open(_ id: ChunkID) throws(ChunkError) -> ChunkFile {
        let file = try openFile(id)
        let count = try size(of: file)
        return ChunkFile(file, byteCount: count)
    }

    /// Maps a chunk into memory. The bytes are not checked against the name.
    package func map(_ id: ChunkID) throws(ChunkError) -> MappedChunk {
        let file = try openFile(id)
        let count = try size(of: file)
        do {
            return try MappedChunk(file, count: count)
        } catch {
            throw ChunkError(error, doing: "map a chunk")
        }
    }

    /// Reads a chunk and compares its digest with its name. A wrong one is moved to the quarantine, never deleted.
    package func verify(_ id: ChunkID) throws(ChunkError) -> ChunkVerdict {
        do throws(ChunkError) {
            if try digest(of: try openFile(id)) == id { return .whole }
        } catch {
            if error.cause == .missing { return .missing }
            throw error
        }
        return try quarantine(id)
    }

    /// Moves a chunk to the quarantine, durably gone from its name when it returns.
    private func quarantine(_ id: ChunkID) throws(ChunkError) -> ChunkVerdict {
        do {
            var number = 0
            while true {
                let target = "\(quarantinePath)/\(id.hex).\(number)"
                if try FileTree.renameExclusive(path(of: id), to: target) {
                    try FileTree.syncDirectory(quarantinePath)
                    try FileTree.syncDirectory(directory(of: id))
                    return .corrupted(movedTo: target)
                }
                number += 1
            }
        } catch {
            if error.isMissing { return .missing }
            throw ChunkError(error, doing: "move a corrupted chunk to the quarantine")
        }
    }

    private func openFile(_ id: ChunkID) throws(ChunkError) -> OpenFile {
        let path = path(of: id)
        do throws(FileError) {
            return try OpenFile(path, O_RDONLY)
        } catch {
            if error.isMissing { throw ChunkError.missing(path) }
            throw ChunkError(error, doing: "open a chunk")
        }
    }

    private func size(of file: borrowing OpenFile) throws(ChunkError) -> Int {
        do throws(FileError) {
            return try file.size()
        } catch {
            throw ChunkError(error, doing: "open a chunk")
        }
    }

    /// The digest of a file; nil if the device cannot read it, which is as bad as other bytes.
    private func digest(of file: borrowing OpenFile) throws(ChunkError) -> Digest? {
        var hash = SHA256()
        let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: 1 << 18, alignment: 4096)
        defer { buffer.deallocate() }
        var offset = 0
        while true {
            do throws(FileError) {
                let count = try file.read(into: buffer, at: offset)
                hash.update(UnsafeRawBufferPointer(rebasing: buffer[..<count]))
                offset += count
                if count < buffer.count { return hash.finish() }
            } catch {
                if error.isDeviceFault { return nil }
                throw ChunkError(error, doing: "verify a chunk")
            }
        }
    }
}

/// The bytes of a chunk, mapped from its file until the last reference goes.
///
/// `@unchecked Sendable`: the address and the length never change, the memory is read-only, and the file behind it is
/// immutable.
package final class MappedChunk: @unchecked Sendable {
    private let start: UnsafeMutableRawPointer?
    /// The size in bytes.
    package let byteCount: Int

    fileprivate init(_ file: borrowing OpenFile, count: Int) throws(FileError) {
        byteCount = count
        guard count > 0 else {
            start = nil
            return
        }
        let mapped = mmap(nil, count, PROT_READ, MAP_SHARED, file.descriptor, 0)
        guard let mapped, mapped != MAP_FAILED else { throw FileError.now("map", file.path) }
        start = mapped
    }

    deinit {
        if let start { munmap(start, byteCount) }
    }

    /// The bytes; valid only inside the call. A disk that cannot read them ends the process (SIGBUS).
    package func withBytes<R, E: Error>(_ body: (UnsafeRawBufferPointer) throws(E) -> R) throws(E) -> R {
        try body(UnsafeRawBufferPointer(start: start, count: byteCount))
    }
}
