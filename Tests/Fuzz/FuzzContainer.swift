import Foundation

@testable import RaftCore
@testable import ReplicaCore
@testable import Storage

/// The file of `holdfast snapshot save`. The input is either the file, or a program that writes one with right digests and any fields,
/// and then damages bytes: random bytes alone would never pass the first digest.
enum FuzzContainer {
    /// In memory where there is such a place: each input is a file, and some are unpacked.
    private static let folder: String = {
        let path = "\(access("/dev/shm", W_OK) == 0 ? "/dev/shm" : NSTemporaryDirectory())/holdfast-fuzz-\(getpid())"
        do {
            try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
        } catch {
            preconditionFailure("'\(path)' cannot be made: \(error)")
        }
        atexit { try? FileManager.default.removeItem(atPath: FuzzContainer.folder) }
        return path
    }()

    static func run(_ bytes: [UInt8]) {
        var input = Input(bytes)
        let isProgram = input.byte() & 1 == 1
        var isHonest = isProgram
        let file = isProgram ? program(&input, &isHonest) : input.rest()
        let path = "\(folder)/in"
        write(file, to: path)
        do throws(SnapshotError) {
            let again = try copy(of: path)
            precondition(again == file, "a snapshot file has two forms")
        } catch {
            precondition(!isHonest, "a whole snapshot file is refused: \(error.message)")
        }
    }

    /// Reads a file in every way, and writes what was read into another one.
    private static func copy(of path: String) throws(SnapshotError) -> [UInt8] {
        let reader = try SnapshotFileReader(path)
        let staging = SnapshotStaging(DataLayout("\(folder)/unpacked"))
        do throws(SnapshotError) {
            try reader.unpack(into: staging)
        } catch {
            precondition((try? reader.verifyFiles()) == nil, "unpacking refuses what the check lets pass")
            throw error
        }
        try reader.verifyFiles()
        let (names, hasBytes) = try reader.chunks()
        let writer = try SnapshotFileWriter("\(folder)/out", reader.manifest, from: staging)
        try writer.add(chunks: names, bytes: hasBytes)
        var seen: [ChunkID] = []
        try reader.forEachChunk { name, chunk throws(SnapshotError) in
            seen.append(name)
            try writer.add(chunk: chunk)
        }
        precondition(seen == (hasBytes ? names : []), "chunks are left out")
        let count = try writer.finish()
        precondition(count == reader.bytes, "a file is longer than what is in it")
        do {
            return Array(try Data(contentsOf: URL(fileURLWithPath: "\(folder)/out")))
        } catch {
            preconditionFailure("what was written cannot be read: \(error)")
        }
    }

    private static func write(_ bytes: [UInt8], to path: String) {
        do {
            try Data(bytes).write(to: URL(fileURLWithPath: path))
        } catch {
            preconditionFailure("'\(path)' cannot be written: \(error)")
        }
    }

    /// Writes the three parts, each with its digest over whatever it says, then flips, cuts or adds bytes.
    private static func program(_ input: inout Input, _ isHonest: inout Bool) -> [UInt8] {
        func lie(_ input: inout Input) -> Bool {
            let lies = input.byte() == 0xEE
            if lies { isHonest = false }
            return lies
        }
        var state = AppliedState()
        state.index = input.number()
        var contents: [UInt8] = []
        var files: [SnapshotManifest.File] = []
        for name in ["000012.sst", "000013.sst", "CURRENT", "MANIFEST-000004"].prefix(1 + input.below(4)) {
            let bytes = input.take(input.below(64))
            contents += bytes
            files.append(
                SnapshotManifest.File(
                    name: lie(&input) ? String(decoding: input.take(input.below(70)), as: UTF8.self) : name,
                    bytes: lie(&input) ? input.number() : UInt64(bytes.count),
                    digest: lie(&input) ? .zero : SHA256.digest(of: bytes)))
        }
        let head = SnapshotHead(
            state: state, members: Members(voters: [1, 2, 3]), lineage: Lineage(1, 2), featureVersion: 2)
        let manifest = SnapshotManifest(cluster: "demo", head: head, files: files).encoded()
        let length = lie(&input) ? input.number() : UInt64(manifest.count)
        let first = (lie(&input) ? input.take(8) : SnapshotFile.magic) + SnapshotFile.number(length) + manifest
        let file = first + SHA256.digest(of: first).bytes + contents + chunks(&input, lie)
        return damaged(file, &input, &isHonest)
    }

    private static func chunks(_ input: inout Input, _ lie: (inout Input) -> Bool) -> [UInt8] {
        let contents = (0..<input.below(4)).map { _ in input.take(input.below(64)) }
        var chunks = Dictionary(contents.map { (SHA256.digest(of: $0), $0) }) { first, _ in first }
            .sorted { $0.key.hex < $1.key.hex }
        if lie(&input) { chunks.reverse() }
        let hasBytes = input.byte() & 1 == 1
        var list = SnapshotFile.number(lie(&input) ? input.number() : UInt64(chunks.count))
        list += SnapshotFile.number(lie(&input) ? input.number() : hasBytes ? 1 : 0)
        for (name, _) in chunks { name.append(to: &list) }
        var bytes = list + SHA256.digest(of: list).bytes
        guard hasBytes else { return bytes }
        for (_, chunk) in chunks {
            let count = lie(&input) ? input.number() : UInt64(chunk.count)
            bytes += SnapshotFile.number(count)[..<4] + chunk
        }
        return bytes
    }

    private static func damaged(_ bytes: [UInt8], _ input: inout Input, _ isHonest: inout Bool) -> [UInt8] {
        var bytes = bytes
        while !input.isEmpty {
            isHonest = false
            let place = (input.below(256) << 8 | input.below(256)) % max(bytes.count, 1)
            switch input.below(3) {
            case 0 where !bytes.isEmpty: bytes[place] ^= input.byte()
            case 1: bytes.removeSubrange(place...)
            default: bytes.append(input.byte())
            }
        }
        return bytes
    }
}
