import Dispatch
import Glibc
import ReplicaCore
import Synchronization
import Testing

@testable import Storage

@Suite struct ChunkStoreTests {
    let directory: TemporaryDirectory
    let store: ChunkStore
    var root: String { directory.path + "/chunks" }

    init() throws {
        directory = try TemporaryDirectory()
        store = try ChunkStoreTests.open(directory)
    }

    static func open(_ directory: TemporaryDirectory) throws -> ChunkStore {
        try ChunkStore(path: directory.path + "/chunks", quarantine: directory.path + "/quarantine")
    }

    private func write(_ bytes: [UInt8]) throws -> ChunkID {
        let id = SHA256.digest(of: bytes)
        try bytes.withUnsafeBytes { _ = try store.write(id, $0) }
        return id
    }

    private func path(of id: ChunkID) -> String { "\(root)/\(id.hex.prefix(2))/\(id.hex.dropFirst(2))" }

    private func readBack(_ id: ChunkID) throws -> [UInt8] {
        var bytes = [UInt8](repeating: 0, count: try #require(try store.size(id)))
        let count = try bytes.withUnsafeMutableBytes { try store.read(id, into: $0) }
        return Array(bytes.prefix(count))
    }

    @Test func `a chunk is kept under its name and read back in every way`() throws {
        for content in [[], [1], (0..<3_000_000).map { UInt8(truncatingIfNeeded: $0 >> 3) }] as [[UInt8]] {
            let id = try write(content)
            #expect(try store.contains(id))
            #expect(try store.size(id) == content.count)
            #expect(try readBack(id) == content)
            #expect(try bytes(of: path(of: id)) == content)
            #expect(try store.map(id).withBytes { Array($0) } == content)
            #expect(try store.verify(id) == .whole)
            let file = try store.open(id)
            #expect(file.byteCount == content.count)
            let descriptor = file.release()
            #expect(lseek(descriptor, 0, SEEK_END) == content.count)
            #expect(close(descriptor) == 0)
        }
    }

    @Test func `bytes of another name are refused and leave nothing`() throws {
        let id = SHA256.digest(of: [1, 2, 3])
        let before = try directory.tree()
        let error = #expect(throws: ChunkError.self) {
            try [UInt8]([1, 2, 4]).withUnsafeBytes { _ = try store.write(id, $0) }
        }
        #expect(error?.cause == .nameMismatch)
        #expect(try directory.tree() == before)
        #expect(try !store.contains(id))
    }

    @Test func `a chunk in several buffers is their bytes one after the other`() throws {
        let parts: [[UInt8]] = [[1, 2], [], [3, 4, 5], [UInt8](repeating: 9, count: 2_000_000)]
        let whole = parts.flatMap { $0 }
        let joined = parts.map { part in
            let copy = UnsafeMutableRawBufferPointer.allocate(byteCount: part.count, alignment: 1)
            copy.copyBytes(from: part)
            return UnsafeRawBufferPointer(copy)
        }
        defer { joined.forEach { $0.deallocate() } }
        let id = SHA256.digest(of: whole)
        #expect(try store.write([ChunkBytes(id: id, buffers: joined)]) == 1)
        #expect(try readBack(id) == whole)
    }

    @Test func `a batch writes each chunk once and counts the new ones`() throws {
        let old = try write([7])
        let contents: [[UInt8]] = (0..<40).map { [UInt8($0), 1, 2] } + [[7], [0, 1, 2]]
        let buffers = contents.map { bytes in
            let copy = UnsafeMutableRawBufferPointer.allocate(byteCount: bytes.count, alignment: 1)
            copy.copyBytes(from: bytes)
            return UnsafeRawBufferPointer(copy)
        }
        defer { buffers.forEach { $0.deallocate() } }
        let batch = zip(contents, buffers).map {
            ChunkBytes(id: SHA256.digest(of: $0), buffers: [$1], isVerified: true)
        }
        #expect(try store.write(batch) == 40)
        #expect(try store.write(batch) == 0)
        for (bytes, chunk) in zip(contents, batch) { #expect(try readBack(chunk.id) == bytes) }
        #expect(try store.contains(old))
        #expect(try TemporaryDirectory.walk(root + "/incoming").isEmpty)
    }

    @Test func `a chunk whose directory was not synced is not here yet, and writing it again makes it so`() throws {
        let id = try write([1, 2, 3])
        store.unconfirmed.withLock { _ = $0.insert(id) }
        #expect(try !store.contains(id))
        #expect(try write([1, 2, 3]) == id)
        #expect(try store.contains(id))
    }

    @Test func `a chunk that cannot be named leaves no temporary file and is not here`() throws {
        let id = SHA256.digest(of: [5])
        mkdir(path(of: id), 0o700)
        mkdir(path(of: id) + "/in the way", 0o700)
        #expect(throws: ChunkError.self) { try write([5]) }
        #expect(try !store.contains(id))
        #expect(try TemporaryDirectory.walk(root + "/incoming").isEmpty)
        #expect(throws: ChunkError.self) { try store.map(id) }
    }

    @Test func `what is not here is said to be missing`() throws {
        let id = SHA256.digest(of: [9])
        #expect(try store.size(id) == nil)
        #expect(try !store.contains(id))
        #expect(try store.verify(id) == .missing)
        #expect(try !store.remove(id))
        #expect(throws: ChunkError.self) { try store.map(id) }
        let error = #expect(throws: ChunkError.self) { _ = try store.open(id).release() }
        #expect(error?.cause == .missing)
    }

    @Test func `a buffer that is too small is refused`() throws {
        let id = try write([1, 2, 3])
        var small = [UInt8](repeating: 0, count: 2)
        let error = #expect(throws: ChunkError.self) {
            _ = try small.withUnsafeMutableBytes { try store.read(id, into: $0) }
        }
        #expect(error?.cause == .bufferTooSmall)
    }

    @Test(arguments: 0..<3) func `a damaged chunk goes to the quarantine and can be written again`(damage: Int) throws {
        let content = (0..<500_000).map { UInt8(truncatingIfNeeded: $0) }
        let id = try write(content)
        for round in 0..<2 {
            var damaged = content
            switch damage {
            case 0: damaged[damaged.count - 1] ^= 1
            case 1: damaged.removeLast()
            default: damaged.append(0)
            }
            try put(damaged, at: path(of: id))
            let target = "\(directory.path)/quarantine/\(id.hex).\(round)"
            #expect(try store.verify(id) == .corrupted(movedTo: target))
            #expect(try bytes(of: target) == damaged)
            #expect(try !store.contains(id))
            #expect(try write(content) == id)
            #expect(try store.verify(id) == .whole)
        }
    }

    @Test func `a removed chunk is gone, and who mapped it keeps its bytes`() throws {
        let id = try write([1, 2, 3])
        let mapped = try store.map(id)
        #expect(try store.remove(id))
        #expect(try !store.contains(id))
        #expect(mapped.withBytes { Array($0) } == [1, 2, 3])
    }

    @Test func `chunks are listed in the order of names, until told to stop, and files that are not ours are not`()
        throws
    {
        let ids = try (0..<600).map { try write(Array(String($0).utf8)) }.sorted()
        let foreign = [
            "\(root)/readme", "\(root)/ab/short", "\(root)/ab/\(String(repeating: "A", count: 62))",
            "\(root)/ab/\(String(repeating: "0", count: 63))", "\(root)/ab/\(String(repeating: "0", count: 62)).tmp",
            "\(root)/incoming/notes.txt", "\(root)/incoming/\(ids[0].hex).x", "\(root)/incoming/\(ids[0].hex).007",
        ]
        for path in foreign { try put([1], at: path) }
        for opened in [store, try ChunkStoreTests.open(directory)] {
            var listed: [ChunkID] = []
            try opened.list { id in
                listed.append(id)
                return true
            }
            #expect(listed == ids)
            var first: [ChunkID] = []
            try opened.list { id in
                first.append(id)
                return first.count < 5
            }
            #expect(first == Array(ids.prefix(5)))
        }
        for path in foreign { #expect(try bytes(of: path) == [1]) }
    }

    @Test func `what a crash left half-written is swept when the store opens`() throws {
        let id = try write([1])
        let left = "\(root)/incoming/\(id.hex).17"
        try put([0, 0], at: left)
        let opened = try ChunkStoreTests.open(directory)
        #expect(access(left, F_OK) != 0)
        #expect(try opened.verify(id) == .whole)
    }

    @Test func `many threads write the same and other chunks`() throws {
        let failures = Mutex<[String]>([])
        let store = store
        DispatchQueue.concurrentPerform(iterations: 8) { thread in
            for number in 0..<60 {
                // Half of the chunks are written by all threads at once.
                let bytes = Array("\(number % 2 == 0 ? 0 : thread) \(number)".utf8)
                let id = SHA256.digest(of: bytes)
                do {
                    try bytes.withUnsafeBytes { _ = try store.write(id, $0) }
                    if try !store.contains(id) { failures.withLock { $0.append("\(id) is not here") } }
                    if try store.verify(id) != .whole { failures.withLock { $0.append("\(id) is not whole") } }
                } catch {
                    failures.withLock { $0.append("\(error)") }
                }
            }
        }
        #expect(failures.withLock { $0 } == [])
        var count = 0
        try store.list { _ in
            count += 1
            return true
        }
        #expect(count == 30 + 8 * 30)
        #expect(try TemporaryDirectory.walk(root + "/incoming").isEmpty)
    }

    @Test(.enabled(if: TemporaryDirectory.canMount, "only root may mount the small file system that this fills"))
    func `a full disk refuses a chunk, keeps nothing of it, and takes it when there is room`() throws {
        let small = try TemporaryDirectory(tmpfsBytes: 4 << 20)
        let store = try ChunkStoreTests.open(small)
        let first = [UInt8](repeating: 1, count: 2 << 20)
        let second = [UInt8](repeating: 2, count: 3 << 20)
        let ids = [first, second].map { SHA256.digest(of: $0) }
        try first.withUnsafeBytes { _ = try store.write(ids[0], $0) }
        let error = #expect(throws: ChunkError.self) { try second.withUnsafeBytes { _ = try store.write(ids[1], $0) } }
        #expect(error?.cause == .noSpace)
        #expect(try !store.contains(ids[1]))
        #expect(try TemporaryDirectory.walk(small.path + "/chunks/incoming").isEmpty)
        #expect(try store.verify(ids[0]) == .whole)
        try store.remove(ids[0])
        try second.withUnsafeBytes { _ = try store.write(ids[1], $0) }
        #expect(try store.verify(ids[1]) == .whole)
    }
}
