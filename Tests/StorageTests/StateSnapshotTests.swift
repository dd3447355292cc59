import ReplicaCore
import Testing

@testable import Storage

/// Checkpoints, the staging area, and which rows are in force.
@Suite struct StateSnapshotTests {
    private let directory: TemporaryDirectory
    private let layout: DataLayout

    init() throws {
        directory = try TemporaryDirectory()
        layout = DataLayout(directory.path)
    }

    private func bytes(_ text: String) -> [UInt8] { Array(text.utf8) }

    /// Rows as a node of one voter has them after `count` entries, with a row of its own.
    private func rows(_ count: UInt64, at path: String? = nil) throws -> RowStore {
        let store = try RowStore(path: path ?? layout.rows)
        var batch = WriteBatch()
        Applier.format(members: Members(voters: [1, 2, 3]), into: &batch)
        try store.write(batch)
        var state = AppliedState()
        for number in 1...count {
            var batch = WriteBatch()
            batch.put(bytes("k\(number)"), bytes("value \(number)"))
            state.index = number
            state.term = 7
            batch.put([UInt8(ascii: "m"), 1], state.encoded())
            try store.write(batch)
        }
        var own = WriteBatch()
        own.put(bytes("l own"), bytes("sweep"))
        try store.write(own)
        return store
    }

    private func checkpoint(_ store: RowStore) throws -> Checkpoint {
        try Checkpoint.make(of: store, cluster: "c", below: layout.snapshots)
    }

    private func append(
        _ bytes: [UInt8], to file: SnapshotManifest.File, at offset: UInt64, in staging: SnapshotStaging
    ) throws {
        try bytes.withUnsafeBytes { buffer in try staging.append(buffer, to: file, at: offset) }
    }

    /// Puts every file of a checkpoint into staging, in parts.
    private func fetch(_ checkpoint: Checkpoint, into staging: SnapshotStaging, part: Int = 700) throws {
        try staging.begin(checkpoint.manifest)
        for (place, file) in checkpoint.manifest.files.enumerated() {
            while let offset = try staging.progress(of: file), offset < file.bytes {
                let bytes = try checkpoint.read(file: place, offset: offset, count: part)
                try append(bytes, to: file, at: offset, in: staging)
            }
            if try staging.progress(of: file) != nil { try staging.finish(file) }
        }
    }

    @Test func aCheckpointSaysWhichStateItIsAndIsFoundAgain() throws {
        let store = try rows(20)
        let made = try checkpoint(store)
        #expect(made.index == 20)
        #expect(made.manifest.head.state.term == 7)
        #expect(made.manifest.head.members == Members(voters: [1, 2, 3]))
        #expect(made.manifest.bytes > 0)
        let found = try #require(try Checkpoint.all(below: layout.snapshots).first)
        #expect(found.id == made.id)
        #expect(found.encoded == made.encoded)
        // The rows go on; the checkpoint does not.
        var batch = WriteBatch()
        batch.put(bytes("k1"), bytes("other"))
        try store.write(batch)
        try store.flush()
        #expect(try Checkpoint.open(at: made.path)?.index == 20)
        try made.remove()
        #expect(try Checkpoint.all(below: layout.snapshots).isEmpty)
    }

    @Test func whatACrashLeftOfACheckpointIsRemoved() throws {
        let made = try checkpoint(try rows(3))
        try FileTree.remove(made.path + "/manifest")
        try FileTree.makeDirectories(layout.snapshots + "/unfinished/rows")
        #expect(try Checkpoint.all(below: layout.snapshots).isEmpty)
        #expect(try FileTree.names(in: layout.snapshots).isEmpty)
    }

    @Test func stagedRowsAreTheStateWithoutTheOtherNodesOwnRows() throws {
        let made = try checkpoint(try rows(20))
        let other = try TemporaryDirectory()
        let staging = SnapshotStaging(DataLayout(other.path))
        try fetch(made, into: staging)
        let staged = try staging.assemble(made.manifest, options: RowStoreOptions())
        #expect(staged.index == 20)
        #expect(try staged.rows.get(bytes("k20")) == bytes("value 20"))
        #expect(try staged.rows.get(bytes("l own")) == nil)
        #expect(try SnapshotHead(loading: staged.rows) == made.manifest.head)
    }

    @Test func bytesThatWereCutOffAreTakenUpAndThoseOfAnotherSnapshotAreNot() throws {
        let store = try rows(50)
        let first = try checkpoint(store)
        let other = try TemporaryDirectory()
        let staging = SnapshotStaging(DataLayout(other.path))
        try staging.begin(first.manifest)
        let file = try #require(first.manifest.files.max { $0.bytes < $1.bytes })
        let place = try #require(first.manifest.files.firstIndex(of: file))
        let half = try first.read(file: place, offset: 0, count: Int(file.bytes / 2))
        try append(half, to: file, at: 0, in: staging)
        // Another process takes it up.
        let again = SnapshotStaging(DataLayout(other.path))
        #expect(again.interrupted() == first.manifest)
        try again.begin(first.manifest)
        #expect(try again.progress(of: file) == UInt64(half.count))
        // A newer snapshot keeps what both have in common, and only that.
        var batch = WriteBatch()
        batch.put(bytes("z"), bytes("new"))
        try store.write(batch)
        let second = try checkpoint(store)
        try again.begin(second.manifest)
        let isShared = second.manifest.files.contains { $0.digest == file.digest }
        #expect(try again.progress(of: file) == (isShared ? UInt64(half.count) : 0))
        try fetch(second, into: again)
        #expect(try again.assemble(second.manifest, options: RowStoreOptions()).rows.get(bytes("z")) == bytes("new"))
    }

    @Test func otherBytesThanTheManifestNamesAreRefusedAndForgotten() throws {
        let made = try checkpoint(try rows(20))
        let other = try TemporaryDirectory()
        let staging = SnapshotStaging(DataLayout(other.path))
        try staging.begin(made.manifest)
        let file = made.manifest.files[0]
        var bytes = try made.read(file: 0, offset: 0, count: Int(file.bytes))
        bytes[bytes.count / 2] ^= 1
        try append(bytes, to: file, at: 0, in: staging)
        let error = #expect(throws: SnapshotError.self) { try staging.finish(file) }
        #expect(error?.cause == .corrupted)
        #expect(try staging.progress(of: file) == 0)
        let longer = bytes + [0]
        let tooLong = #expect(throws: SnapshotError.self) {
            try append(longer, to: file, at: 0, in: staging)
        }
        #expect(tooLong?.cause == .corrupted)
    }

    @Test func rowsThatRottedBeforeTheyWereReadAreRefused() throws {
        let made = try checkpoint(try rows(200))
        // The manifest names the rotted bytes: the digests hold, RocksDB's checksums do not.
        var manifest = made.manifest
        let place = try #require(manifest.files.firstIndex { $0.name.hasSuffix(".sst") })
        let rotted = made.path + "/rows/" + manifest.files[place].name
        var bytes = try #require(try FileTree.read(rotted, bytesMax: 1 << 20))
        bytes[40] ^= 0x10
        try FileTree.replace(rotted, with: bytes)
        manifest.files[place].digest = SHA256.digest(of: bytes)
        let other = try TemporaryDirectory()
        let staging = SnapshotStaging(DataLayout(other.path))
        try staging.begin(manifest)
        for (place, file) in manifest.files.enumerated() {
            let bytes = try made.read(file: place, offset: 0, count: Int(file.bytes))
            try append(bytes, to: file, at: 0, in: staging)
            try staging.finish(file)
        }
        let error = #expect(throws: SnapshotError.self) {
            try staging.assemble(manifest, options: RowStoreOptions())
        }
        #expect(error?.cause == .corrupted)
        #expect(staging.interrupted() == nil, "bad bytes are not kept")
        #expect(try FileTree.names(in: other.path).allSatisfy { !$0.hasPrefix("rows-") })
    }

    @Test func aManifestWithBytesOfAnotherMeaningIsRefused() throws {
        let made = try checkpoint(try rows(3))
        for name in ["../up", "a/b", "", ".", "..", String(repeating: "n", count: 65), "a b"] {
            var manifest = made.manifest
            manifest.files[0].name = name
            #expect(throws: DecodeError.self) { try SnapshotManifest(decoding: manifest.encoded()) }
        }
        var twice = made.manifest
        twice.files.append(twice.files[0])
        #expect(throws: DecodeError.self) { try SnapshotManifest(decoding: twice.encoded()) }
        var huge = made.manifest
        huge.files[0].bytes = .max
        #expect(throws: DecodeError.self) { try SnapshotManifest(decoding: huge.encoded()) }
        for count in 0..<made.encoded.count {
            #expect(throws: DecodeError.self) { try SnapshotManifest(decoding: Array(made.encoded[..<count])) }
        }
    }

    @Test func theRowsInForceAreTheOnesThePointerNamesAndStay() throws {
        let old = try rows(3)
        try old.flush()
        let made = try checkpoint(old)
        let place = RowsPlace(layout)
        #expect(try place.current() == layout.rows)
        let staging = SnapshotStaging(layout)
        try fetch(made, into: staging)
        let staged = try staging.assemble(made.manifest, options: RowStoreOptions())
        // Not in force yet: a crash now loses the staged rows, not the others.
        #expect(try place.current() == layout.rows)
        try staged.putInForce()
        #expect(try place.current() == staged.rows.path)
        #expect(staging.interrupted() == nil)
        try place.removeOthers()
        #expect(!FileTree.isDirectory(layout.rows))
        #expect(FileTree.isDirectory(staged.rows.path))
        #expect(try place.next() != staged.rows.path)
        // A damaged pointer is refused, never guessed.
        var pointer = try #require(try FileTree.read(layout.rowsPointer, bytesMax: 4_096))
        pointer[20] ^= 1
        try FileTree.replace(layout.rowsPointer, with: pointer)
        let error = #expect(throws: DirectoryError.self) { try place.current() }
        #expect(error?.cause == .corrupted)
    }

    @Test func aViewGoesOnWithTheRowsThatItBeganWith() throws {
        let store = try rows(3)
        let path = store.path
        let made = try checkpoint(store)
        let staging = SnapshotStaging(layout)
        try fetch(made, into: staging)
        let staged = try staging.assemble(made.manifest, options: RowStoreOptions())
        var batch = WriteBatch()
        batch.put(bytes("k1"), bytes("new"))
        try staged.rows.write(batch)
        try staged.putInForce()
        var view = store.reader()
        store.replace(with: staged.rows)
        #expect(try store.get(bytes("k1")) == bytes("new"))
        let before = try view.get(bytes("k1"))
        #expect(before == bytes("value 1"))
        #expect(FileTree.isDirectory(path), "the rows before are removed while somebody reads them")
        view.refresh()
        let after = try view.get(bytes("k1"))
        #expect(after == bytes("new"))
        #expect(!FileTree.isDirectory(path), "the rows before stay though nobody reads them")
        #expect(store.path == staged.rows.path)
    }
}
