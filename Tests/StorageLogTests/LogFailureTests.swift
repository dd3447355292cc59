import Foundation
import RaftCore
import Storage
import Testing

/// A failed write or flush stops the log for good.
@Suite struct LogFailureTests {
    @Test(arguments: [LogCall.write, .flush])
    func `a failed write is reported once, never tried again, and nothing is acknowledged any more`(
        call: LogCall
    ) throws {
        let directory = try TestDirectory()
        try LogStore.format(directory: directory.path, identity: 5, options: smallOptions())
        let armed = Counter()
        let hits = Counter()
        var options = smallOptions()
        options.failure = { seen, path in
            guard armed.value > 0, path.contains("segment-000001"), seen == call else {
                return nil
            }
            hits.increment()
            return 5  // EIO
        }
        options.headerDelayNanoseconds = 1_000_000
        options.unbuffered = call != .flush
        let log = try RunningLog(directory.path, options: options)
        try log.persist(entries(1...2, term: 1))
        armed.increment()
        log.submit(entries(3...4, term: 1))
        let heard = log.wait { !$0.failures.isEmpty }
        guard case .failed(_, _, code: 5) = try #require(heard.failures.first) else {
            Issue.record("\(heard.failures)")
            return
        }
        let pending = log.store.pendingBytes
        for index in 5...20 as ClosedRange<LogIndex> { log.submit(entries(index...index, term: 1)) }
        #expect(log.store.pendingBytes == pending)
        log.store.close()
        #expect(log.failures.count == 1)
        #expect(hits.value == 1)
        #expect(try log.store.read(from: 1, to: 2, bytesMax: .max) == entries(1...2, term: 1))
        let (_, recovered) = try LogStore.open(directory: directory.path)
        #expect(recovered.lastIndex >= 2)
    }

    @Test func `a failed write of the hard state is not acknowledged`() throws {
        for copy in ["hardstate-1", "hardstate-2"] {
            let directory = try TestDirectory()
            try LogStore.format(directory: directory.path, identity: 5, options: smallOptions())
            var options = smallOptions()
            options.failure = { call, path in call == .write && path.hasSuffix(copy) ? 5 : nil }
            let log = try RunningLog(directory.path, options: options)
            #expect(throws: LogError.self) {
                try log.persist(entries(1...1, term: 4), hardState: HardState(term: 4, vote: 1, commit: 0))
            }
            log.store.close()
            let (_, recovered) = try LogStore.open(directory: directory.path)
            // Not acknowledged: either is right, but never entries of a term that is not remembered.
            #expect(recovered.hardState.term == (copy == "hardstate-1" ? 0 : 4))
            #expect(recovered.lastIndex == 0)
        }
    }

    @Test func `on a full disk the spare segments carry the log, then it waits, and goes on once there is room`() throws
    {
        let directory = try TestDirectory()
        try LogStore.format(directory: directory.path, identity: 5, options: smallOptions())
        let full = Counter()
        var options = smallOptions()
        options.spareSegments = 2
        let made = Counter()
        options.failure = { call, path in
            if call == .flushDirectory { made.increment() }
            return full.value > 0 && call == .allocate && path.contains("segment") ? 28 : nil
        }
        let log = try RunningLog(directory.path, options: options)
        try log.persist(entries(1...1, term: 1, bytes: 3000))
        // One segment in use and two spares.
        #expect(made.reaches(3))
        full.increment()
        // Each entry needs a segment of its own; the spares take two.
        try log.persist(entries(2...3, term: 1, bytes: 3000))
        let waiting = log.submit(entries(4...4, term: 1, bytes: 3000))
        #expect(becomes { log.store.isWaitingForSpace && log.store.isOutOfSpace })
        #expect(log.store.lastIndex == 3)
        full.reset()
        try log.wait(for: waiting)
        #expect(!log.store.isWaitingForSpace)
        #expect(log.failures == [])
        log.store.close()
        let again = try RunningLog(directory.path, options: smallOptions())
        #expect(again.recovered.lastIndex == 4)
        again.store.close()
    }

    @Test func `a log that waits for room can be closed, and nothing of what it had in hand was acknowledged`() throws {
        let directory = try TestDirectory()
        try LogStore.format(directory: directory.path, identity: 5, options: smallOptions())
        var options = smallOptions()
        options.spareSegments = 0
        let full = Counter()
        options.failure = { call, path in full.value > 0 && call == .allocate && path.contains("segment") ? 28 : nil }
        let log = try RunningLog(directory.path, options: options)
        try log.persist(entries(1...1, term: 1, bytes: 3000))
        full.increment()
        let waiting = log.submit(entries(2...2, term: 1, bytes: 3000))
        #expect(becomes { log.store.isWaitingForSpace })
        log.store.close()
        #expect(log.failures == [])
        #expect(log.wait { _ in true }.durable < waiting)
        let again = try RunningLog(directory.path, options: smallOptions())
        #expect(again.recovered.lastIndex == 1)
        try again.persist(entries(2...2, term: 1, bytes: 3000))
        again.store.close()
    }

    @Test func `compaction gives a full disk its segments back`() throws {
        let directory = try TestDirectory()
        try LogStore.format(directory: directory.path, identity: 5, options: smallOptions())
        let full = Counter()
        var options = smallOptions()
        options.failure = { call, path in full.value > 0 && call == .allocate && path.contains("segment") ? 28 : nil }
        let log = try RunningLog(directory.path, options: options)
        try log.persist(entries(1...3, term: 1, bytes: 3000))
        full.increment()
        for index in 4...12 as ClosedRange<LogIndex> {
            log.store.submit(
                .persist(
                    sequence: log.nextSequence, hardState: HardState(term: 0, vote: 0, commit: index - 1), entries: []))
            log.store.submit(.compact(through: index - 1))
            // Compaction follows the acknowledgement of its batch: the second answer shows that it is over.
            try log.persist([])
            try log.persist([])
            try log.persist(entries(index...index, term: 1, bytes: 3000))
        }
        log.store.close()
        #expect(log.store.lastIndex == 12)
        #expect(log.failures == [])
    }

    @Test func `a really full file system is survived`() throws {
        let mount = try TestDirectory()
        guard getuid() == 0, run("/bin/mount", ["-t", "tmpfs", "-o", "size=160k", "tmpfs", mount.path]) == 0 else {
            print("skipped: mounting a small tmpfs needs root")
            return
        }
        defer { #expect(run("/bin/umount", ["-l", mount.path]) == 0) }
        try LogStore.format(directory: mount.path, identity: 5, options: smallOptions())
        let log = try RunningLog(mount.path, options: smallOptions())
        for index in 1...100 as ClosedRange<LogIndex> where !log.store.isWaitingForSpace {
            let number = log.submit(entries(index...index, term: 1, bytes: 3000))
            #expect(becomes { log.store.isWaitingForSpace || log.wait { _ in true }.durable >= number })
        }
        #expect(log.store.isWaitingForSpace)
        log.store.close()
        #expect(log.failures == [])
        let last = log.store.lastIndex
        #expect(last > 5)
        #expect(last < 100)
        let again = try RunningLog(mount.path, options: smallOptions())
        #expect(again.recovered.lastIndex == last)
        #expect(try again.all() == entries(1...last, term: 1, bytes: 3000))
        again.store.close()
    }

    /// Waits for a condition that no callback tells of.
    private func becomes(_ condition: () -> Bool) -> Bool {
        let deadline = Date(timeIntervalSinceNow: 30)
        while !condition(), Date() < deadline { usleep(1_000) }
        return condition()
    }

    private func run(_ path: String, _ arguments: [String]) -> Int32 {
        let process = Process()
        process.executableURL = URL(filePath: path)
        process.arguments = arguments
        do { try process.run() } catch { return -1 }
        process.waitUntilExit()
        return process.terminationStatus
    }
}

/// A number that threads share.
final class Counter: @unchecked Sendable {
    // Proof: `count` is touched only with `condition` locked.
    private let condition = NSCondition()
    private var count = 0

    var value: Int { condition.withLock { count } }

    func increment() {
        condition.withLock {
            count += 1
            condition.broadcast()
        }
    }

    func reset() { condition.withLock { count = 0 } }

    /// Waits until the number is reached, for at most half a minute.
    func reaches(_ wanted: Int) -> Bool {
        let deadline = Date(timeIntervalSinceNow: 30)
        condition.lock()
        defer { condition.unlock() }
        while count < wanted {
            guard condition.wait(until: deadline) else { return false }
        }
        return true
    }
}
