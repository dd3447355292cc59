import ReplicaCore
import Testing

@testable import Storage

@Suite struct RepairMarkTests {
    private func format() throws -> TemporaryDirectory {
        let directory = try TemporaryDirectory()
        _ = try DataDirectory.format(
            at: "\(directory.path)/data",
            FormatRequest(node: 1, cluster: "c", members: [.init(node: 1, endpoint: "a:1")], nowMilliseconds: 1)
        ) { _, _ in }
        return directory
    }

    @Test func `a mark outlives the process until it is cleared`() throws {
        let scratch = try format()
        let mark = RepairMark(.feed, "at revision 7\nit differs", milliseconds: 9)
        #expect(mark.detail == "at revision 7 it differs")
        do {
            let directory = try DataDirectory.open(at: "\(scratch.path)/data")
            #expect(directory.repairMarks.isEmpty)
            try directory.record(mark)
            try directory.record(RepairMark(.feed, "later", milliseconds: 10))
            try directory.record(RepairMark(.log, "broken", milliseconds: 11))
            #expect(directory.repairMarks.first == mark, "the first of a cause stays")
        }
        do {
            let directory = try DataDirectory.open(at: "\(scratch.path)/data")
            #expect(directory.repairMarks == [mark, RepairMark(.log, "broken", milliseconds: 11)])
            try directory.clearRepairMarks([.feed, .rows])
            #expect(directory.repairMarks.map(\.cause) == [.log])
        }
        let directory = try DataDirectory.open(at: "\(scratch.path)/data")
        #expect(directory.repairMarks.map(\.cause) == [.log])
    }

    @Test func `a flipped bit neither hides a mark nor stops the node`() throws {
        let scratch = try format()
        try DataDirectory.open(at: "\(scratch.path)/data").record(RepairMark(.rows, "unreadable", milliseconds: 9))
        let path = "\(scratch.path)/data/repair-rows"
        let whole = try bytes(of: path)
        for place in whole.indices {
            var damaged = whole
            damaged[place] ^= 4
            try FileTree.replace(path, with: damaged)
            let marks = try DataDirectory.open(at: "\(scratch.path)/data").repairMarks
            #expect(marks.map(\.cause) == [.rows], "byte \(place)")
        }
    }
}
