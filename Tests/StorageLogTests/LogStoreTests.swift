import Foundation
import RaftCore
import Storage
import Testing

@Suite struct LogStoreTests {
    let directory: TestDirectory

    init() throws {
        directory = try TestDirectory()
        try LogStore.format(directory: directory.path, identity: 7, options: smallOptions())
    }

    func open(_ options: LogOptions = smallOptions()) throws -> RunningLog {
        try RunningLog(directory.path, options: options)
    }

    @Test func `a new log is empty and remembers nothing`() throws {
        let log = try open()
        #expect(log.recovered.hardState == HardState())
        #expect(log.recovered.firstIndex == 1)
        #expect(log.recovered.lastIndex == 0)
        #expect(log.recovered.terms == [])
        #expect(try log.store.term(at: 0) == 0)
        log.store.close()
    }

    @Test func `a directory without a log is refused and not made into one`() throws {
        let empty = try TestDirectory()
        #expect(throws: LogError.notFormatted(path: empty.path)) { try LogStore.open(directory: empty.path) }
        #expect(try empty.files().isEmpty)
        #expect(throws: LogError.self) {
            try LogStore.format(directory: directory.path, identity: 8, options: smallOptions())
        }
    }

    @Test func `what was acknowledged is there after a restart`() throws {
        let written = entries(1...100, term: 3, bytes: 200)
        let log = try open()
        try log.persist(Array(written[..<50]), hardState: HardState(term: 3, vote: 2, commit: 0))
        try log.persist(Array(written[50...]), hardState: HardState(term: 3, vote: 2, commit: 50))
        #expect(try log.all() == written)
        log.store.close()

        let again = try open()
        #expect(again.recovered.lastIndex == 100)
        #expect(again.recovered.lastTerm == 3)
        #expect(again.recovered.terms == [Storage.TermRun(first: 1, term: 3)])
        #expect(again.recovered.hardState == HardState(term: 3, vote: 2, commit: 50))
        #expect(again.recovered.tornBytes == 0)
        #expect(!again.recovered.repairedCopies)
        #expect(try again.all() == written)
        again.store.close()
    }

    @Test func `a commit index alone costs no write and rides along in a later frame`() throws {
        let log = try open()
        try log.persist(entries(1...3, term: 1), hardState: HardState(term: 1, vote: 1, commit: 0))
        let before = log.store.figures
        try log.persist([], hardState: HardState(term: 1, vote: 1, commit: 3))
        #expect(log.store.figures.fsyncs == before.fsyncs)
        #expect(log.store.figures.hardStateWrites == 1)
        try log.persist(entries(4...4, term: 1))
        log.store.close()
        #expect(try open().recovered.hardState.commit == 3)
    }

    @Test func `a conflicting tail is replaced, across segments and a restart`() throws {
        let log = try open()
        try log.persist(entries(1...60, term: 1, bytes: 300), hardState: HardState(term: 1, vote: 1, commit: 5))
        try log.persist(entries(10...12, term: 2, bytes: 300))
        let expected = entries(1...9, term: 1, bytes: 300) + entries(10...12, term: 2, bytes: 300)
        #expect(try log.all() == expected)
        #expect(try log.store.term(at: 9) == 1)
        #expect(try log.store.term(at: 10) == 2)
        #expect(throws: LogError.beyondEnd(last: 12)) { try log.store.term(at: 13) }
        #expect(throws: LogError.beyondEnd(last: 12)) { try log.store.read(from: 13, to: 20, bytesMax: 1) }
        log.store.close()

        let again = try open()
        #expect(again.recovered.terms == [Storage.TermRun(first: 1, term: 1), Storage.TermRun(first: 10, term: 2)])
        #expect(try again.all() == expected)
        try again.persist(entries(11...30, term: 3, bytes: 300))
        #expect(
            try again.all() == Array(expected[..<10]) + entries(11...30, term: 3, bytes: 300))
        again.store.close()
        #expect(try open().all() == Array(expected[..<10]) + entries(11...30, term: 3, bytes: 300))
    }

    @Test func `a tail is replaced within one batch`() throws {
        let log = try open()
        var operations: [LogOperation] = []
        for (first, term) in [(1, 1), (4, 2), (2, 3), (5, 4)] as [(LogIndex, Term)] {
            operations.append(
                .persist(sequence: log.nextSequence, hardState: nil, entries: entries(first...(first + 5), term: term)))
        }
        log.store.submit(contentsOf: operations)
        try log.wait(for: 4)
        let expected = entries(1...1, term: 1) + entries(2...4, term: 3) + entries(5...10, term: 4)
        #expect(try log.all() == expected)
        #expect(log.wait { _ in true }.callbacks == 1)
        log.store.close()
        let again = try open()
        #expect(try again.all() == expected)
        #expect(again.recovered.terms == runs(expected))
    }

    @Test func `compaction gives whole segments back and remembers the point before the first entry`() throws {
        let log = try open()
        let written = entries(1...50, term: 1, bytes: 300) + entries(51...100, term: 2, bytes: 300)
        try log.persist(written, hardState: HardState(term: 2, vote: 0, commit: 0))
        try log.persist([], hardState: HardState(term: 2, vote: 0, commit: 90))
        log.store.submit(.compact(through: 80))
        try log.persist(entries(101...101, term: 2), hardState: nil)
        try log.persist(entries(102...102, term: 2), hardState: nil)
        log.store.close()
        let previous = log.store.previousIndex
        #expect(previous <= 80 && previous > 60)
        #expect(try log.store.term(at: previous) == 2)
        #expect(throws: LogError.compacted(first: previous + 1)) {
            try log.store.read(from: previous, to: 101, bytesMax: 1)
        }
        #expect(throws: LogError.compacted(first: previous + 1)) { try log.store.term(at: previous - 1) }
        #expect(log.store.figures.recycledSegments > 4)

        let again = try open()
        #expect(again.recovered.previousIndex == previous)
        #expect(again.recovered.previousTerm == 2)
        #expect(again.recovered.terms == [Storage.TermRun(first: previous + 1, term: 2)])
        #expect(again.recovered.hardState.commit == 90)
        #expect(
            try again.all() == Array(written[Int(previous)...]) + entries(101...101, term: 2)
                + entries(102...102, term: 2))
        again.store.close()
    }

    @Test func `compaction keeps a segment whose last entry a later segment replaces`() throws {
        let log = try open()
        // Eleven frames fill the first segment; the second goes on with entry 12, and then replaces from 3 on.
        try log.persist(entries(1...12, term: 1, bytes: 300))
        try log.persist(entries(3...20, term: 2, bytes: 8), hardState: HardState(term: 2, vote: 1, commit: 20))
        log.store.submit(.compact(through: 15))
        try log.persist(entries(21...21, term: 2, bytes: 8))
        log.store.close()
        #expect(log.store.previousIndex == 0)
        let expected = entries(1...2, term: 1, bytes: 300) + entries(3...21, term: 2, bytes: 8)
        #expect(try log.all() == expected)
        let again = try open()
        #expect(again.recovered.previousIndex == 0)
        #expect(try again.all() == expected)
        again.store.close()
    }

    @Test func `stale frames of a recycled segment are not resurrected`() throws {
        let log = try open()
        for round in 0..<8 as Range<UInt64> {
            let first = round * 20 + 1
            try log.persist(entries(first...(first + 19), term: 1, bytes: 300))
            log.store.submit(
                .persist(
                    sequence: log.nextSequence, hardState: HardState(term: 1, vote: 0, commit: first + 19), entries: [])
            )
            log.store.submit(.compact(through: first + 19))
        }
        try log.persist(entries(161...161, term: 1))
        log.store.close()
        #expect(log.store.figures.recycledSegments > 6)
        let expected = try log.all()
        let again = try open()
        #expect(again.recovered.lastIndex == 161)
        #expect(try again.all() == expected)
        #expect(again.recovered.tornBytes == 0)
    }

    @Test func `a reset begins the log anew behind a snapshot`() throws {
        let log = try open()
        try log.persist(entries(1...30, term: 1, bytes: 300), hardState: HardState(term: 5, vote: 0, commit: 0))
        try log.reset(index: 1000, term: 5)
        #expect(log.store.previousIndex == 1000)
        #expect(try log.store.term(at: 1000) == 5)
        log.store.close()
        let again = try open()
        #expect(again.recovered.previousIndex == 1000)
        #expect(again.recovered.previousTerm == 5)
        #expect(again.recovered.lastIndex == 1000)
        #expect(again.recovered.hardState.commit == 1000)
        try again.persist(entries(1001...1002, term: 5))
        again.store.close()
        let third = try open()
        #expect(try third.all() == entries(1001...1002, term: 5))
        #expect(third.recovered.previousIndex == 1000)
    }

    @Test func `operations around a reset in one batch keep their order`() throws {
        let log = try open()
        log.store.submit(contentsOf: [
            .persist(sequence: 1, hardState: HardState(term: 1, vote: 0, commit: 0), entries: entries(1...5, term: 1)),
            .reset(sequence: 2, index: 9, term: 1),
            .persist(sequence: 3, hardState: nil, entries: entries(10...12, term: 1)),
        ])
        try log.wait(for: 3)
        #expect(try log.all() == entries(10...12, term: 1))
        log.store.close()
        #expect(try open().all() == entries(10...12, term: 1))
    }

    @Test func `a read stops at its byte limit but gives at least one entry`() throws {
        let log = try open()
        try log.persist(entries(1...40, term: 1, bytes: 300))
        #expect(try log.store.read(from: 5, to: 40, bytesMax: 0).map(\.index) == [5])
        #expect(try log.store.read(from: 5, to: 40, bytesMax: 900).map(\.index) == [5, 6, 7])
        #expect(try log.store.read(from: 5, to: 6, bytesMax: .max).map(\.index) == [5, 6])
        #expect(try log.store.read(from: 1, to: 1000, bytesMax: .max).count == 40)
        log.store.close()
    }

    @Test func `entries from empty to as large as a segment allows come back`() throws {
        let log = try open()
        var written: [Entry] = []
        for (number, bytes) in [0, 1, 7, 8, 4040, 4048, 0, 4047, 3].enumerated() {
            written += entries(LogIndex(number + 1)...LogIndex(number + 1), term: 1, bytes: bytes)
        }
        try log.persist(written)
        log.store.close()
        let again = try open()
        #expect(try again.all() == written)
    }

    @Test func `readers beside a writer that compacts see right entries or are told that they are gone`() async throws {
        let log = try open()
        try log.persist(entries(1...10, term: 1, bytes: 500))
        await withTaskGroup(of: Void.self) { group in
            for _ in 0..<2 {
                group.addTask {
                    var reads = 0
                    while log.store.lastIndex < 400 {
                        let from = log.store.previousIndex + 1
                        do throws(LogError) {
                            let found = try log.store.read(from: from, to: from + 5, bytesMax: 4096)
                            #expect(found == entries(from...(from + UInt64(found.count) - 1), term: 1, bytes: 500))
                            reads += 1
                        } catch .compacted, .beyondEnd {
                            // The entries went in between.
                        } catch {
                            Issue.record("\(error)")
                            return
                        }
                        await Task.yield()
                    }
                    #expect(reads > 0)
                }
            }
            group.addTask {
                do {
                    for index in 11...400 as ClosedRange<LogIndex> {
                        let state = HardState(term: 1, vote: 0, commit: index - 1)
                        try log.persist(entries(index...index, term: 1, bytes: 500), hardState: state)
                        log.store.submit(.compact(through: index - 5))
                    }
                } catch { Issue.record("\(error)") }
            }
        }
        log.store.close()
    }

    @Test func `bytes are pending until they are durable`() throws {
        let log = try open()
        #expect(log.store.pendingBytes == 0)
        try log.persist(entries(1...10, term: 1))
        #expect(log.store.pendingBytes == 0)
        log.store.close()
        log.submit(entries(11...11, term: 1))
        #expect(log.store.pendingBytes == 0)
    }

    @Test func `one batch is acknowledged once and figures count it`() throws {
        let log = try open(smallOptions())
        let operations = entries(1...20, term: 1).map {
            LogOperation.persist(sequence: $0.index, hardState: nil, entries: [$0])
        }
        log.store.submit(contentsOf: operations)
        try log.wait(for: 20)
        let heard = log.wait { _ in true }
        #expect(heard.callbacks == 1)
        let figures = log.store.figures
        #expect(figures.batches == 1)
        #expect(figures.entries == 20)
        #expect(figures.entryBytes == 800)
        #expect(figures.fsyncs == 1)
        #expect(figures.fsyncBuckets.reduce(0, +) == 1)
        #expect(log.store.flushStarted == 0)
        log.store.close()
    }
}
