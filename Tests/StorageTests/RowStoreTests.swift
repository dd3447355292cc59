import Glibc
import ReplicaCore
import Testing

@testable import Storage

struct FoundRow: Equatable {
    let key: [UInt8]
    let value: [UInt8]
}

/// The rows of a range, as the store gives them.
func rows(
    _ reader: borrowing some RowReader & ~Copyable, _ from: [UInt8], _ below: [UInt8], reverse: Bool = false,
    limit: Int = .max
) throws -> [FoundRow] {
    var found: [FoundRow] = []
    try reader.scan(from: from, below: below, reverse: reverse) { key, value in
        found.append(FoundRow(key: Array(key), value: Array(value)))
        return found.count < limit
    }
    return found
}

private func batch(_ rows: [(String, String)]) -> WriteBatch {
    var batch = WriteBatch()
    for row in rows { batch.put(Array(row.0.utf8), Array(row.1.utf8)) }
    return batch
}

private func text(_ bytes: [UInt8]?) -> String? { bytes.map { String(decoding: $0, as: UTF8.self) } }

@Suite struct RowStoreTests {
    let directory: TemporaryDirectory
    var path: String { directory.path + "/rows" }

    init() throws { directory = try TemporaryDirectory() }

    @Test func `a batch puts, deletes and deletes ranges in its order`() throws {
        let store = try RowStore(path: path)
        try store.write(batch([("a", "1"), ("b", "2"), ("c", "3"), ("d", "4"), ("e", "")]))
        var second = WriteBatch()
        second.deleteRange(from: Array("b".utf8), below: Array("d".utf8))
        second.put(Array("c".utf8), Array("again".utf8))
        second.delete(Array("a".utf8))
        try store.write(second)
        #expect(try store.get(Array("a".utf8)) == nil)
        #expect(try store.get(Array("b".utf8)) == nil)
        #expect(text(try store.get(Array("c".utf8))) == "again")
        #expect(try store.get(Array("e".utf8)) == [])
        #expect(try rows(store, [], [0xFF]).map { text($0.key) } == ["c", "d", "e"])
    }

    @Test func `an empty batch changes nothing`() throws {
        let store = try RowStore(path: path)
        try store.write(WriteBatch())
        #expect(try rows(store, [], [0xFF]).isEmpty)
    }

    @Test func `a scan keeps to its bounds in both directions and stops when told`() throws {
        let store = try RowStore(path: path)
        try store.write(batch([("a", "1"), ("b", "2"), ("c", "3"), ("d", "4")]))
        let from = Array("b".utf8)
        let below = Array("d".utf8)
        for step in 0..<2 {
            let reader = store.reader()
            #expect(try rows(reader, from, below).map { text($0.key) } == ["b", "c"])
            #expect(try rows(reader, from, below, reverse: true).map { text($0.key) } == ["c", "b"])
            #expect(try rows(reader, from, below, limit: 1).map { text($0.key) } == ["b"])
            #expect(try rows(reader, below, from).isEmpty)
            #expect(try rows(reader, from, from).isEmpty)
            #expect(try rows(reader, [], [0xFF], reverse: true, limit: 1).map { text($0.key) } == ["d"])
            #expect(try rows(reader, Array("bb".utf8), Array("c".utf8)).isEmpty)
            if step == 0 { try store.flush() }  // First from memory, then from a table file.
        }
    }

    @Test func `a view shows the moment it was taken until it is refreshed`() throws {
        let store = try RowStore(path: path)
        try store.write(batch([("a", "1")]))
        var reader = store.reader()
        let other = store.reader()
        try store.write(batch([("a", "2"), ("b", "2")]))
        try store.flush()
        #expect(text(try reader.get(Array("a".utf8))) == "1")
        #expect(try rows(reader, [], [0xFF]).count == 1)
        reader.refresh()
        #expect(text(try reader.get(Array("a".utf8))) == "2")
        #expect(try rows(reader, [], [0xFF]).count == 2)
        #expect(try rows(other, [], [0xFF]).count == 1)
    }

    @Test func `a released view keeps no buffers, and can be used again`() throws {
        let store = try RowStore(path: path)
        for index in 0..<2_000 { try store.write(batch([("row/\(index)", String(repeating: "x", count: 1_000))])) }
        var reader = store.reader()
        #expect(try rows(reader, [], [0xFF]).count == 2_000)
        try store.flush()
        #expect(store.numbers.bufferBytes > 1_000_000)
        reader.release()
        #expect(store.numbers.bufferBytes < 1_000_000)
        reader.release()
        reader.refresh()
        #expect(try rows(reader, [], [0xFF]).count == 2_000)
    }

    @Test func `a scan inside a scan does not disturb it`() throws {
        let store = try RowStore(path: path)
        try store.write(batch((0..<9).map { ("\($0)", "") }))
        let reader = store.reader()
        var seen: [String?] = []
        var inner = 0
        try reader.scan(from: [], below: [0xFF], reverse: false) { key, _ in
            seen.append(text(Array(key)))
            inner += (try? rows(reader, Array("3".utf8), Array("5".utf8), reverse: seen.count % 2 == 0).count) ?? 0
            return true
        }
        #expect(seen == (0..<9).map { "\($0)" })
        #expect(inner == 18)
    }

    @Test func `a view outlives the last other reference to its store`() throws {
        var store: RowStore? = try RowStore(path: path)
        try store?.write(batch([("a", "1")]))
        guard let reader = store?.reader() else { throw Failure(description: "no reader") }
        store = nil
        #expect(text(try reader.get(Array("a".utf8))) == "1")
    }

    @Test func `a malformed batch is refused whole`() throws {
        let store = try RowStore(path: path)
        let good = batch([("a", "1"), ("b", "2")]).bytes
        for count in 0..<good.count {
            #expect(throws: RowStoreError.self) { try store.write(form: Array(good[..<count])) }
        }
        for (position, value) in [(0, 1), (8, 1), (8, 3), (12, 2), (12, 7), (13, 200), (15, 99)] as [(Int, UInt8)] {
            var bad = good
            bad[position] = value
            let error = #expect(throws: RowStoreError.self) { try store.write(form: bad) }
            #expect(error?.cause == .malformedBatch)
        }
        #expect(throws: RowStoreError.self) { try store.write(form: good + [1]) }
        var endless = good
        endless.replaceSubrange(13..<14, with: [0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF])
        #expect(throws: RowStoreError.self) { try store.write(form: endless) }
        #expect(try rows(store, [], [0xFF]).isEmpty)
        try store.write(form: good)
        #expect(try rows(store, [], [0xFF]).count == 2)
    }

    @Test func `what was flushed survives, and what a crash loses is whole batches from the end`() throws {
        var options = RowStoreOptions()
        options.flushesAtClose = false
        options.writeBufferBytes = 64 << 10  // So that buffers are also written out at moments of their own.
        let batches = 600
        let flushedThrough = 100
        for lastFlush in [0, flushedThrough] {
            let path = "\(path)-\(lastFlush)"
            do {
                let store = try RowStore(path: path, options: options)
                for index in 1...batches {
                    var batch = WriteBatch()
                    batch.put(Array("applied".utf8), Array(String(index).utf8))
                    for part in 0..<3 {
                        let key = "row/\(String(100_000 + index))/\(part)"
                        batch.put(Array(key.utf8), [UInt8](repeating: UInt8(part), count: 200))
                    }
                    try store.write(batch)
                    if index == lastFlush { try store.flush() }
                }
            }
            let store = try RowStore(path: path, options: options)
            let applied = try store.get(Array("applied".utf8)).flatMap { Int(String(decoding: $0, as: UTF8.self)) } ?? 0
            #expect(applied >= lastFlush)
            #expect(applied < batches, "the test shows nothing if nothing was lost")
            let found = try rows(store, Array("row/".utf8), Array("row0".utf8)).map {
                String(decoding: $0.key, as: UTF8.self)
            }
            let expected =
                applied == 0 ? [] : (1...applied).flatMap { index in (0..<3).map { "row/\(100_000 + index)/\($0)" } }
            #expect(found == expected)
        }
    }

    @Test func `closing in order keeps everything`() throws {
        do {
            let store = try RowStore(path: path)
            try store.write(batch([("a", "1")]))
        }
        var options = RowStoreOptions()
        options.createsIfMissing = false
        #expect(text(try RowStore(path: path, options: options).get(Array("a".utf8))) == "1")
    }

    @Test func `a missing store is told apart and not made`() throws {
        var options = RowStoreOptions()
        options.createsIfMissing = false
        let error = #expect(throws: RowStoreError.self) { try RowStore(path: path, options: options) }
        #expect(error?.cause == .missing)
    }

    @Test func `a store that is open is refused`() throws {
        let store = try RowStore(path: path)
        let error = #expect(throws: RowStoreError.self) { try RowStore(path: path) }
        #expect(error?.cause == .locked)
        try store.write(batch([("a", "1")]))
    }

    @Test func `a checkpoint holds the rows of its moment`() throws {
        let store = try RowStore(path: path)
        try store.write(batch([("a", "1")]))
        try store.checkpoint(at: directory.path + "/copy")
        try store.write(batch([("a", "2")]))
        #expect(text(try RowStore(path: directory.path + "/copy").get(Array("a".utf8))) == "1")
        #expect(throws: RowStoreError.self) { try store.checkpoint(at: directory.path + "/copy") }
    }

    @Test func `numbers follow what the store holds`() throws {
        let store = try RowStore(path: path)
        for index in 0..<200 {
            var batch = WriteBatch()
            batch.put(Array("row/\(index)".utf8), (0..<500).map { UInt8(truncatingIfNeeded: ($0 * (index + 7)) >> 2) })
            try store.write(batch)
        }
        #expect(store.numbers.bufferBytes > 100_000)
        #expect(store.numbers.tableBytes == 0)
        try store.flush()
        #expect(store.numbers.tableBytes > 10_000)
        #expect(store.numbers.bufferBytes < 100_000)
        #expect(store.numbers.rowsEstimated == 200)
        #expect(store.numbers.backgroundErrors == 0)
        #expect(!store.numbers.isWriteStopped)
        try store.compactAll()
        try store.verifyChecksums()
        #expect(store.backgroundError == nil)
    }
}

@Suite struct RowStoreDamageTests {
    let directory: TemporaryDirectory
    var path: String { directory.path + "/rows" }

    init() throws { directory = try TemporaryDirectory() }

    private func makeTable() throws -> String {
        let store = try RowStore(path: path)
        var batch = WriteBatch()
        var random = SeededRandom(7)
        for index in 0..<2_000 {
            batch.put(
                Array("row/\(10_000 + index)".utf8), (0..<64).map { _ in UInt8.random(in: 0...255, using: &random) })
        }
        try store.write(batch)
        try store.flush()
        return try #require(try TemporaryDirectory.walk(path).first { $0.hasSuffix(".sst") })
    }

    @Test func `rot in a table file is found by the scrub and by the reader`() throws {
        let table = try makeTable()
        var damaged = try bytes(of: table)
        damaged[damaged.count / 2] ^= 0x10
        try put(damaged, at: table)
        let store = try RowStore(path: path)
        let error = #expect(throws: RowStoreError.self) { try store.verifyChecksums() }
        #expect(error?.cause == .corruption)
        let read = #expect(throws: RowError.self) { try rows(store, [], [0xFF]) }
        #expect(read?.isCorruption == true)
    }

    @Test func `a whole table file passes the scrub`() throws {
        _ = try makeTable()
        try RowStore(path: path).verifyChecksums()
    }

    @Test func `a lost table file is found when the store opens`() throws {
        unlink(try makeTable())
        let error = #expect(throws: RowStoreError.self) { try RowStore(path: path) }
        #expect(error?.cause == .corruption || error?.cause == .inputOutput)
    }

    @Test func `a damaged manifest is found when the store opens`() throws {
        _ = try makeTable()
        let manifest = try #require(try TemporaryDirectory.walk(path).first { $0.contains("MANIFEST") })
        var damaged = try bytes(of: manifest)
        damaged[damaged.count / 2] ^= 0x10
        try put(damaged, at: manifest)
        let error = #expect(throws: RowStoreError.self) { try RowStore(path: path) }
        #expect(error?.cause == .corruption)
    }

    @Test(.enabled(if: TemporaryDirectory.canMount, "only root may mount the small file system that this fills"))
    func `a flush and a checkpoint have everything that was written before, also after a full disk`() throws {
        let small = try TemporaryDirectory(tmpfsBytes: 128 << 20)
        var options = RowStoreOptions()
        // So much in memory that writing it out takes longer than to look at what was written.
        options.writeBufferBytes = 16 << 20
        options.flushesAtClose = false
        var random = SeededRandom(12)
        let noise = (0..<4_096).map { _ in UInt8.random(in: 0...255, using: &random) }
        var count = 0
        do {
            let store = try RowStore(path: small.path + "/rows", options: options)
            func write(_ rows: Int) throws {
                for _ in 0..<rows {
                    var batch = WriteBatch()
                    batch.put(
                        Array("row/\(count)".utf8), noise)
                    try store.write(batch)
                    count += 1
                }
            }
            let ballast = try FileTree.space(of: small.path).free - (1 << 18)
            try put([UInt8](repeating: 1, count: Int(ballast)), at: small.path + "/ballast")
            try write(100)
            #expect(throws: RowStoreError.self) { try store.flush() }
            unlink(small.path + "/ballast")
            for round in 0..<4 {
                try write(1_500)
                if round % 2 == 0 { try store.flush() }
                try store.checkpoint(at: small.path + "/copy-\(round)")
                let copy = try RowStore(path: small.path + "/copy-\(round)", options: options)
                #expect(try rows(copy, [], [0xFF]).count == count)
            }
            try write(1_500)
            try store.flush()
        }
        // As after a crash: closing wrote nothing.
        #expect(try rows(try RowStore(path: small.path + "/rows", options: options), [], [0xFF]).count == count)
    }

    @Test(
        .enabled(if: TemporaryDirectory.canMount, "only root may mount the small file system that this fills"),
        arguments: [true, false])
    func `a full disk stops writing with its own cause, and the store resumes when there is room`(
        resumesByItself: Bool
    ) throws {
        let small = try TemporaryDirectory(tmpfsBytes: 24 << 20)
        var options = RowStoreOptions()
        options.writeBufferBytes = 4 << 20
        let store = try RowStore(path: small.path + "/rows", options: options)
        var random = SeededRandom(11)
        let free = try FileTree.space(of: small.path).free
        try put([UInt8](repeating: 1, count: Int(free) - (1 << 19)), at: small.path + "/ballast")
        func write(_ index: Int) throws(RowStoreError) {
            var batch = WriteBatch()
            batch.put(Array("row/\(index)".utf8), (0..<4_096).map { _ in UInt8.random(in: 0...255, using: &random) })
            try store.write(batch)
        }
        for index in 0..<512 { try write(index) }
        let error = #expect(throws: RowStoreError.self) { try store.flush() }
        #expect(error?.cause == .noSpace)
        #expect(store.backgroundError?.cause == .noSpace)
        #expect(store.numbers.backgroundErrors > 0)
        #expect(try rows(store, [], [0xFF]).count == 512)
        var written = 512
        let refusal = #expect(throws: RowStoreError.self) {
            while written < 8_192 {
                try write(written)
                written += 1
            }
        }
        #expect(refusal?.cause == .noSpace)
        #expect(try rows(store, [], [0xFF]).count == written)
        #expect(throws: RowStoreError.self) { try store.resume() }
        unlink(small.path + "/ballast")
        if resumesByItself {
            try write(written)
        } else {
            try store.resume()
            #expect(store.backgroundError == nil)
            try write(written)
        }
        #expect(store.backgroundError == nil)
        try store.flush()
        #expect(try rows(store, [], [0xFF]).count == written + 1)
        try store.verifyChecksums()
    }
}
