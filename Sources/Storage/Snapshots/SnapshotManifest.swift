package import ReplicaCore

/// A state snapshot in words: the state that its rows hold, and the files that make them up.
///
/// It comes from another node, so everything in it is checked before it is used: names are plain, and a file counts only once its
/// digest holds.
package struct SnapshotManifest: Sendable, Hashable {
    /// One file of the rows' directory.
    package struct File: Sendable, Hashable {
        /// A plain name: letters, digits, `.`, `_` and `-`.
        package var name: String
        /// Its size in bytes.
        package var bytes: UInt64
        /// The SHA-256 of its bytes.
        package var digest: Digest

        package init(name: String, bytes: UInt64, digest: Digest) {
            self.name = name
            self.bytes = bytes
            self.digest = digest
        }
    }

    /// The largest manifest in bytes: some 12,000 files, which is rows of 400 GB.
    package static let bytesMax = 1 << 20

    /// The name of the cluster.
    package var cluster: String
    package var head: SnapshotHead
    /// In byte order of their names.
    package var files: [File]

    package init(cluster: String, head: SnapshotHead, files: [File]) {
        self.cluster = cluster
        self.head = head
        self.files = files
    }

    /// What names it: the SHA-256 of its encoded form.
    package var id: Digest { SHA256.digest(of: encoded()) }

    /// The bytes of all files.
    package var bytes: UInt64 { files.reduce(0) { $0 + $1.bytes } }

    /// Whether a name may stand in a manifest.
    static func isPlain(_ name: String) -> Bool {
        let letters = name.utf8
        guard !letters.isEmpty, letters.count <= 64, name != ".", name != ".." else { return false }
        return letters.allSatisfy { byte in
            switch byte {
            case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
                UInt8(ascii: "0")...UInt8(ascii: "9"):
                true
            default: "._-".utf8.contains(byte)
            }
        }
    }
}

extension SnapshotManifest: Coded {
    package static var codedName: String { "manifest of a state snapshot" }

    package func encode(into writer: inout ByteWriter) {
        writer.text(cluster)
        head.encode(into: &writer)
        writer.varint(files.count)
        for file in files {
            writer.text(file.name)
            writer.varint(file.bytes)
            writer.digest(file.digest)
        }
    }

    package static func decode(from reader: inout ByteReader) throws(DecodeError) -> SnapshotManifest {
        let cluster = try reader.text()
        let head = try SnapshotHead.decode(from: &reader)
        var files: [File] = []
        var total: UInt64 = 0
        for _ in 0..<(try reader.count(itemBytes: 34)) {
            let file = File(name: try reader.text(), bytes: try reader.varint(), digest: try reader.digest())
            guard isPlain(file.name), files.last.map({ $0.name < file.name }) ?? true else {
                throw .invalid(what: "file of a state snapshot")
            }
            let (sum, isTooLong) = total.addingReportingOverflow(file.bytes)
            guard !isTooLong, sum <= 1 << 50 else { throw .invalid(what: "size of a state snapshot") }
            total = sum
            files.append(file)
        }
        guard !files.isEmpty else { throw .invalid(what: "state snapshot without files") }
        return SnapshotManifest(cluster: cluster, head: head, files: files)
    }
}
