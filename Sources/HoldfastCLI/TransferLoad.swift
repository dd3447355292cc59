internal import Foundation
internal import Holdfast

/// A model of fresh random bytes that is pushed, waited for and pulled.
struct TransferLoad {
    /// How long each part took, in seconds.
    struct Outcome {
        /// Until the version was published.
        var published: Double
        /// From the same beginning until every node was complete.
        var complete: Double
        /// The pull of all bytes; nil where it was not asked for.
        var pulled: Double?
        /// Bytes of the model.
        var bytes: UInt64
    }

    /// Bytes of tensors in the model.
    var bytes: Int
    /// A model that is there already and stays; nil makes one of `bytes`.
    var source: String?
    /// Whether the model is pulled too.
    var pulls: Bool
    /// A directory for the files, removed in the end.
    var directory: String
    /// The model's name.
    var name: String
    /// How long the members may take to become complete, in milliseconds.
    var timeoutMilliseconds: Int

    /// Runs the parts one after the other, retires the model and removes the files.
    func run(_ store: Store) async throws -> Outcome {
        let made = "\(directory)/\(name)"
        let target = "\(directory)/\(name)-pulled"
        defer {
            for path in [made, target] { Self.remove(path) }
        }
        if source == nil {
            try Self.makeDirectory(made)
            try BenchModelFile.write("\(made)/model.safetensors", dataBytes: bytes, seed: Clock.nanoseconds())
        }
        let begin = ContinuousClock.now
        let result = try await store.push(source ?? made, as: name)
        let published = ContinuousClock.now - begin
        try await untilComplete(
            store, result.model.revision, deadline: ContinuousClock.now + .milliseconds(timeoutMilliseconds))
        let complete = ContinuousClock.now - begin
        let reference = ModelReference(name: name, version: result.model.version)
        var pulled: Double?
        if pulls {
            let begin = ContinuousClock.now
            _ = try await store.pull(reference, into: target)
            pulled = (ContinuousClock.now - begin).inSeconds
        }
        try await store.retire(reference)
        return Outcome(
            published: published.inSeconds, complete: complete.inSeconds, pulled: pulled, bytes: result.model.bytes)
    }

    private func untilComplete(
        _ store: Store, _ revision: Revision, deadline: ContinuousClock.Instant
    ) async throws {
        while true {
            let status = try await store.status()
            if ClusterCondition.complete.holds(in: status),
                status.nodes.allSatisfy({ $0.completeRevision >= revision })
            {
                return
            }
            guard ContinuousClock.now < deadline else {
                throw HoldfastError(
                    .deadlineExceeded, "not every node was complete in time; see 'holdfast cluster status'")
            }
            try await Task.sleep(for: .milliseconds(5))
        }
    }

    private static func makeDirectory(_ path: String) throws(Failure) {
        do {
            try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
        } catch {
            throw .file("directory '\(path)' cannot be made: \(error.localizedDescription)")
        }
    }

    private static func remove(_ path: String) {
        guard FileManager.default.fileExists(atPath: path) else { return }
        do {
            try FileManager.default.removeItem(atPath: path)
        } catch {
            StandardError.line("holdfast: '\(path)' could not be removed: \(error.localizedDescription)")
        }
    }
}

/// A safetensors file of random bytes.
enum BenchModelFile {
    /// The longest tensor in it, in bytes.
    static let tensorBytes = 64 << 20

    /// The header: its length (8 bytes, little-endian), then JSON padded with spaces to a multiple of 8.
    static func header(dataBytes: Int) -> [UInt8] {
        var entries: [String] = []
        var offset = 0
        while offset < dataBytes {
            let end = min(offset + tensorBytes, dataBytes)
            entries.append(
                "\"block.\(entries.count).weight\":{\"dtype\":\"U8\",\"shape\":[\(end - offset)],\"data_offsets\":[\(offset),\(end)]}"
            )
            offset = end
        }
        var json = Array("{\(entries.joined(separator: ","))}".utf8)
        while json.count % 8 != 0 { json.append(UInt8(ascii: " ")) }
        return withUnsafeBytes(of: UInt64(json.count).littleEndian) { Array($0) } + json
    }

    /// Writes the file.
    static func write(_ path: String, dataBytes: Int, seed: UInt64) throws(Failure) {
        let descriptor = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0o600)
        guard descriptor >= 0 else { throw failed(path) }
        defer { close(descriptor) }
        guard header(dataBytes: dataBytes).withUnsafeBytes({ Descriptor.writeAll(descriptor, $0) }) else {
            throw failed(path)
        }
        var random = RandomBytes(seed: seed)
        var block = [UInt8](repeating: 0, count: 1 << 20)
        var left = dataBytes
        while left > 0 {
            let isWritten = block.withUnsafeMutableBytes { buffer in
                random.fill(buffer)
                return Descriptor.writeAll(descriptor, UnsafeRawBufferPointer(rebasing: buffer.prefix(left)))
            }
            guard isWritten else { throw failed(path) }
            left -= min(left, block.count)
        }
        // Else the kernel writes this file back while the push is timed.
        guard fsync(descriptor) == 0 else { throw failed(path) }
    }

    private static func failed(_ path: String) -> Failure {
        .file("'\(path)' cannot be written: \(String(cString: strerror(errno))); set TMPDIR to a directory with room")
    }
}
