import Foundation
import RaftCore
import Testing

@testable import Storage

/// A damaged log is put aside, and another takes its place.
@Suite struct LogRenewTests {
    private let scratch: TestDirectory
    private var log: String { scratch.path + "/log" }
    private var quarantine: String { scratch.path + "/quarantine" }
    private static let vote = HardState(term: 7, vote: 3, commit: 0)

    init() throws {
        scratch = try TestDirectory()
        try FileManager.default.createDirectory(atPath: scratch.path + "/log", withIntermediateDirectories: true)
        try LogStore.format(directory: log, identity: 99, options: smallOptions())
        let running = try RunningLog(log, options: smallOptions())
        try running.persist(entries(1...60, term: 7), hardState: Self.vote)
        running.store.close()
        // An acknowledged frame in the middle.
        let segment = try #require(
            try FileManager.default.contentsOfDirectory(atPath: log).sorted().first { $0.hasPrefix("segment-") })
        var bytes = [UInt8](try Data(contentsOf: URL(filePath: log + "/" + segment)))
        bytes[4096 + 300] ^= 1
        try Data(bytes).write(to: URL(filePath: log + "/" + segment))
        guard case .corrupted = try #require(throws: LogError.self, performing: { try open() }) else {
            Issue.record("the damage was not noticed")
            return
        }
    }

    @discardableResult private func open() throws -> RecoveredLog {
        let (store, recovered) = try LogStore.open(directory: log, options: smallOptions())
        store.close()
        return recovered
    }

    private func files(_ path: String) throws -> [String: Data] {
        var files: [String: Data] = [:]
        for name in try FileManager.default.contentsOfDirectory(atPath: path) {
            files[name] = try Data(contentsOf: URL(filePath: path + "/" + name))
        }
        return files
    }

    @Test func `term and vote go over, the entries begin behind the rows, the damaged files are kept whole`() throws {
        let before = try files(log)
        try LogStore.renew(directory: log, quarantine: quarantine, after: EntryID(term: 6, index: 20))
        #expect(try files(quarantine + "/log.0") == before)
        let recovered = try open()
        #expect(recovered.hardState == HardState(term: 7, vote: 3, commit: 20))
        #expect(recovered.previousIndex == 20 && recovered.previousTerm == 6 && recovered.lastIndex == 20)
        let running = try RunningLog(log, options: smallOptions())
        try running.persist(entries(21...30, term: 7))
        running.store.close()
        #expect(try open().lastIndex == 30)
    }

    @Test func `rows of a later term bring that term, without a vote`() throws {
        try LogStore.renew(directory: log, quarantine: quarantine, after: EntryID(term: 9, index: 80))
        #expect(try open().hardState == HardState(term: 9, vote: 0, commit: 80))
    }

    @Test func `a later term is entered once and never left`() throws {
        try LogStore.renew(directory: log, quarantine: quarantine, after: EntryID(term: 6, index: 20))
        try LogStore.enter(term: 7, directory: log)
        #expect(try open().hardState.vote == 3)
        try LogStore.enter(term: 8, directory: log)
        try LogStore.enter(term: 5, directory: log)
        #expect(try open().hardState == HardState(term: 8, vote: 0, commit: 20))
    }

    @Test func `a crash between the last two steps is finished by the next open`() throws {
        try LogStore.renew(directory: log, quarantine: quarantine, after: EntryID(term: 6, index: 20))
        try FileManager.default.moveItem(atPath: log, toPath: log + ".new")
        #expect(try open().previousIndex == 20)
        // A second damage finds a name of its own.
        try LogStore.renew(directory: log, quarantine: quarantine, after: EntryID(term: 6, index: 21))
        #expect(try FileManager.default.contentsOfDirectory(atPath: quarantine).sorted() == ["log.0", "log.1"])
    }

    @Test func `without term and vote nothing is changed`() throws {
        for name in ["hardstate-1", "hardstate-2"] {
            var bytes = [UInt8](try Data(contentsOf: URL(filePath: log + "/" + name)))
            bytes[20] ^= 1
            try Data(bytes).write(to: URL(filePath: log + "/" + name))
        }
        let before = try files(log)
        #expect(throws: LogError.self) {
            try LogStore.renew(directory: log, quarantine: quarantine, after: EntryID(term: 6, index: 20))
        }
        #expect(try files(log) == before)
        #expect(!FileManager.default.fileExists(atPath: quarantine))
    }
}
