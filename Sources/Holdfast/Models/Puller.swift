internal import Glibc
internal import NIOCore
internal import ReplicaCore
internal import Storage

/// Pulls a model version into a directory, or verifies that it can be read whole.
///
/// Invariants: (1) no byte counts before it has matched its chunk's name; (2) nothing is written before every file that
/// stands in the way was judged; (3) nothing outside the directory is written, whatever the manifest says; (4) at most
/// `ModelLimits.fetchesMax` chunks are held.
package struct Puller: Sendable {
    private let model: ModelVersion
    private let chunks: VerifiedChunks
    private let manifest: Manifest
    private let meter: TransferMeter

    private init(
        _ model: ModelVersion, _ source: any ChunkSource, _ progress: (@Sendable (TransferProgress) -> Void)?
    ) async throws(HoldfastError) {
        self.model = model
        chunks = VerifiedChunks(source)
        manifest = try await chunks.manifest(of: model)
        meter = TransferMeter(totalBytes: manifest.totalBytes, progress: progress)
    }

    /// Pulls every file of `model` into `directory`, which is made if it is absent.
    ///
    /// A file that is there already with the same content counts as done; one with other content is refused with
    /// `alreadyExists` unless `force`, before anything is written. A pull that was interrupted goes on where it stopped.
    package static func pull(
        _ model: ModelVersion, from source: any ChunkSource, into directory: String, force: Bool = false,
        progress: (@Sendable (TransferProgress) -> Void)? = nil
    ) async throws(HoldfastError) -> PullResult {
        let puller = try await Puller(model, source, progress)
        let root = try await ModelThreads.run { () throws(HoldfastError) in
            try DirectoryHandle.create(path: directory)
        }
        do {
            let wanted = try await puller.judge(below: root, force: force)
            try await puller.fetch(wanted, below: root)
        } catch {
            throw HoldfastError(wrapping: error)
        }
        return puller.result
    }

    /// Reads every chunk of `model` and checks it and every file's SHA-256.
    package static func verify(
        _ model: ModelVersion, from source: any ChunkSource,
        progress: (@Sendable (TransferProgress) -> Void)? = nil
    ) async throws(HoldfastError) -> PullResult {
        let puller = try await Puller(model, source, progress)
        do {
            try await puller.readAll()
        } catch {
            throw HoldfastError(wrapping: error)
        }
        return puller.result
    }

    private var result: PullResult { PullResult(model: model, files: manifest.files.map(\.described)) }

    /// What is to be done about a file.
    private struct Wanted: Sendable {
        /// Index in the manifest.
        var file: Int
        /// Whether something stands there that may be replaced.
        var replacing: Bool
    }

    /// Looks at everything that stands where a file will be: keeps (2).
    private func judge(below root: DirectoryHandle, force: Bool) async throws -> [Wanted] {
        var wanted: [Wanted] = []
        for (index, file) in manifest.files.enumerated() {
            let standing = try await ModelThreads.run { () throws(HoldfastError) in
                try StandingFile(file, below: root)
            }
            switch standing {
            case .absent: wanted.append(Wanted(file: index, replacing: false))
            case .sameSize(let open) where try await Self.holds(open, file):
                try await ModelThreads.run { () throws(HoldfastError) in
                    try PullFile.removeTemporary(of: file, below: root)
                }
                meter.add(file.bytes)
            case .sameSize, .otherSize:
                guard force else { throw PullFile.refusal("\(root.path)/\(file.path)") }
                wanted.append(Wanted(file: index, replacing: true))
            }
        }
        return wanted
    }

    /// Whether an open file has a file's content; in steps, so that a cancelled pull ends.
    private static func holds(_ open: OpenFile, _ file: Manifest.File) async throws(HoldfastError) -> Bool {
        var hash = SHA256()
        var offset: UInt64 = 0
        while offset < file.bytes {
            let (before, start) = (hash, offset)
            let count = min(ModelLimits.chunkBytesMax, Int(file.bytes - offset))
            let step = try await ModelThreads.run { () throws(HoldfastError) -> SHA256? in
                let bytes = try open.read(count: count, at: start)
                var hash = before
                bytes.withUnsafeBytes { hash.update($0) }
                return bytes.count == count ? hash : nil
            }
            guard let step else { return false }
            hash = step
            offset += UInt64(count)
        }
        return hash.finish() == file.sha256
    }

    private func fetch(_ wanted: [Wanted], below root: DirectoryHandle) async throws {
        try await withThrowingTaskGroup(of: Void.self) { group in
            var inFlight = 0
            for item in wanted {
                let file = manifest.files[item.file]
                let target = try await ModelThreads.run { () throws(HoldfastError) in
                    let target = try PullFile(file, below: root, replacing: item.replacing)
                    if file.chunkCount == 0 { try target.finish() }
                    return target
                }
                var offset: UInt64 = 0
                for chunk in manifest.chunks(of: file) {
                    if inFlight == ModelLimits.fetchesMax {  // Keeps (4).
                        try await group.next()
                        inFlight -= 1
                    }
                    inFlight += 1
                    let start = offset
                    group.addTask { try await fetch(chunk, at: start, of: file, into: target) }
                    offset += UInt64(chunk.bytes)
                }
            }
            for try await _ in group {}
        }
    }

    private func fetch(
        _ chunk: Manifest.Chunk, at offset: UInt64, of file: Manifest.File, into target: PullFile
    ) async throws(HoldfastError) {
        var isThere = false
        if target.isResumed {
            isThere = try await ModelThreads.run { () throws(HoldfastError) in try target.holds(chunk, at: offset) }
        }
        if !isThere {
            try await chunks.read(chunk.id, bytes: Int(chunk.bytes), of: file.path) { (bytes) throws(HoldfastError) in
                try target.write(bytes, at: offset)
            }
        }
        meter.add(UInt64(chunk.bytes))
        if target.countChunk() {
            try await ModelThreads.run { () throws(HoldfastError) in try target.finish() }
        }
    }

    /// Reads ahead in any order and hashes whole files in order.
    private func readAll() async throws {
        try await withThrowingTaskGroup(of: (Int, ByteBuffer).self) { group in
            var ready: [Int: ByteBuffer] = [:]
            var asked = 0
            var index = 0
            let owners = manifest.files.flatMap { file in repeatElement(file.path, count: file.chunkCount) }
            for file in manifest.files {
                var hash = SHA256()
                for _ in 0..<file.chunkCount {
                    while asked < manifest.chunks.count, asked < index + ModelLimits.fetchesMax {
                        let (number, chunk, owner) = (asked, manifest.chunks[asked], owners[asked])
                        group.addTask {
                            let bytes = try await chunks.read(chunk.id, bytes: Int(chunk.bytes), of: owner) {
                                (bytes) throws(HoldfastError) in bytes
                            }
                            return (number, bytes)
                        }
                        asked += 1
                    }
                    while ready[index] == nil, let (number, bytes) = try await group.next() { ready[number] = bytes }
                    let bytes = ready.removeValue(forKey: index) ?? ByteBuffer()
                    // A file of one chunk has the chunk's ID as its SHA-256: the manifest was checked for that.
                    if file.chunkCount > 1 { hash = await Self.adding(bytes, to: hash) }
                    meter.add(UInt64(bytes.readableBytes))
                    index += 1
                }
                if file.chunkCount != 1, hash.finish() != file.sha256 {
                    throw HoldfastError(
                        .corrupted, "'\(file.path)' does not have the SHA-256 that its manifest states; push it again",
                        details: ["file": file.path])
                }
            }
        }
    }

    private static func adding(_ bytes: ByteBuffer, to hash: SHA256) async -> SHA256 {
        await ModelThreads.compute {
            var hash = hash
            bytes.withUnsafeReadableBytes { hash.update($0) }
            return hash
        }
    }
}

extension Manifest.File {
    /// The file as callers see it.
    package var described: ModelFile { ModelFile(path: path, bytes: bytes, sha256: sha256.hex) }
}
