import ReplicaCore
import Testing

@testable import Storage

/// The file of `holdfast snapshot save`: it is read whole or refused.
@Suite struct SnapshotFileTests {
    private let directory: TemporaryDirectory
    private var path: String { directory.path + "/file" }

    init() throws { directory = try TemporaryDirectory() }

    /// Writes a file of two small files of rows and two chunks.
    private func write(bytes hasBytes: Bool, chunks: [[UInt8]] = [[1, 2, 3], [4]]) throws -> [UInt8] {
        let contents: [(name: String, bytes: [UInt8])] = [("000012.sst", [7, 7, 7, 7]), ("CURRENT", [8, 8])]
        let files = contents.map { file in
            SnapshotManifest.File(
                name: file.name, bytes: UInt64(file.bytes.count), digest: SHA256.digest(of: file.bytes))
        }
        let head = SnapshotHead(
            state: AppliedState(), members: Members(voters: [1]), lineage: Lineage(1, 2), featureVersion: 2)
        let manifest = SnapshotManifest(cluster: "c", head: head, files: files)
        let staging = SnapshotStaging(DataLayout(directory.path + "/parts"))
        try staging.begin(manifest)
        for (file, content) in zip(files, contents) {
            try content.bytes.withUnsafeBytes { try staging.append($0, to: file, at: 0) }
            try staging.finish(file)
        }
        let named = chunks.map { (name: SHA256.digest(of: $0), bytes: $0) }
        let writer = try SnapshotFileWriter(path, manifest, from: staging)
        try writer.add(chunks: named.map(\.name), bytes: hasBytes)
        if hasBytes { for chunk in named { try chunk.bytes.withUnsafeBytes { try writer.add(chunk: $0) } } }
        _ = try writer.finish()
        return try bytes(of: path)
    }

    /// Reads all of the file as `inspectSnapshot` does; answers the chunks' names and how many bytes of them came.
    private func read() throws(SnapshotError) -> (names: [ChunkID], bytes: Int) {
        let reader = try SnapshotFileReader(path)
        try reader.verifyFiles()
        var bytes = 0
        try reader.forEachChunk { _, chunk in bytes += chunk.count }
        return (try reader.chunks().names, bytes)
    }

    private var ascending: [[UInt8]] { [[1, 2, 3], [4]].sorted { SHA256.digest(of: $0) < SHA256.digest(of: $1) } }

    @Test(arguments: [true, false])
    func aFileIsReadAsItWasWritten(hasBytes: Bool) throws {
        _ = try write(bytes: hasBytes, chunks: ascending)
        let read = try read()
        #expect(read.names == ascending.map { SHA256.digest(of: $0) })
        #expect(read.bytes == (hasBytes ? 4 : 0))
    }

    @Test(arguments: [true, false])
    func anyChangedMissingOrAddedByteIsRefused(hasBytes: Bool) throws {
        let whole = try write(bytes: hasBytes, chunks: ascending)
        var others = whole.indices.map { place in
            var changed = whole
            changed[place] ^= 0x10
            return changed
        }
        others += whole.indices.map { Array(whole[..<$0]) }
        others += [whole + [0], whole + whole]
        for other in others {
            try put(other, at: path)
            #expect(throws: SnapshotError.self) { try read() }
        }
    }

    @Test func chunksOutOfOrderAreRefused() throws {
        _ = try write(bytes: true, chunks: ascending.reversed())
        #expect(throws: SnapshotError.self) { try read() }
        _ = try write(bytes: true, chunks: [[4], [4]])
        #expect(throws: SnapshotError.self) { try read() }
    }
}
