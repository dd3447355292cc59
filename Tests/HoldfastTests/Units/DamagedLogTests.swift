import Foundation
import Logging
import RaftCore
import Storage
import Testing

@testable import Holdfast

/// What a start does about a damaged log, and what is left where it is cut off.
@Suite struct DamagedLogTests {
    private let scratch: String
    private let logger = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }

    /// Three entries, acknowledged, and a flipped bit in the second of them.
    init() throws {
        scratch = NSTemporaryDirectory() + "holdfast-damaged-\(UInt64.random(in: 0...(.max)))"
        var options = LogOptions()
        options.segmentBytes = 1 << 20
        let shape = options
        var request = FormatRequest(
            node: 1, cluster: "c", members: [.init(node: 1, endpoint: "a:1"), .init(node: 2, endpoint: "b:1")],
            nowMilliseconds: 1)
        request.reserveBytes = 0
        _ = try DataDirectory.format(at: scratch, request) { layout, identity throws(DirectoryError) in
            do throws(LogError) {
                try LogStore.format(directory: layout.log, identity: identity.incarnation.low, options: shape)
            } catch {
                throw DirectoryError(.inputOutput, "\(error)")
            }
        }
        let path = DataLayout(scratch).log
        let (log, _) = try LogStore.open(directory: path, options: shape)
        _ = log.prepareSpares()
        let entries = (1...3).map { Entry(term: 1, index: LogIndex($0), data: [UInt8](repeating: 7, count: 100)) }
        _ = try log.carryOut([.persist(sequence: 1, hardState: HardState(term: 1, vote: 1), entries: entries)])
        try log.settle()
        try log.flushHeaders()
        log.close()
        let names = try FileManager.default.contentsOfDirectory(atPath: path)
        let damaged = names.filter { $0.hasPrefix("segment-") }.map { URL(filePath: path + "/" + $0) }
            .first { (try? Data(contentsOf: $0))?.dropFirst(4096).prefix(200).contains { $0 == 7 } ?? false }
        let segment = try #require(damaged)
        var bytes = try Data(contentsOf: segment)
        bytes[4096 + 250] ^= 1
        try bytes.write(to: segment)
    }

    @Test func `a damaged log is marked before it is put aside, so that no crash gives the node its vote back`() throws
    {
        defer { try? FileManager.default.removeItem(atPath: scratch) }
        let directory = try DataDirectory.open(at: scratch)
        let rows = try MemberStores.openRows(directory, RowStoreOptions(), logger)
        // Nothing can be put aside: the start ends in the middle.
        let aside = URL(filePath: directory.layout.quarantine)
        try FileManager.default.removeItem(at: aside)
        try Data().write(to: aside)
        #expect(throws: (any Error).self) { try MemberStores.openLog(directory, rows, logger) }
        #expect(directory.repairMarks.map(\.cause) == [.log])
        // The next one goes on, and the mark is still there.
        try FileManager.default.removeItem(at: aside)
        let (log, recovered) = try MemberStores.openLog(directory, rows, logger)
        #expect(recovered.hardState.vote == 1 && recovered.lastIndex == 0)
        log.close()
        #expect(directory.repairMarks.map(\.cause) == [.log])
        #expect(FileManager.default.fileExists(atPath: directory.layout.quarantine + "/log.0/start-1"))
    }
}
