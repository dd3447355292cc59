import Foundation
import Testing

@testable import Holdfast

@Suite struct ResourceBudgetTests {
    private static let mappings = 65_530

    @Test func `what is shared out is never more than there is`() throws {
        for files in [512, 513, 600, 1_000, 1_024, 4_096, 5_000, 65_536, 1 << 20] {
            let budget = try ResourceBudget(.member, files: files, mappings: Self.mappings)
            let fixed =
                ResourceBudget.ownFiles + ResourceBudget.chunkFiles + ResourceBudget.snapshotFiles
                + ResourceBudget.peerFiles
            #expect(fixed + budget.tables + budget.connections <= files)
            #expect(budget.tables >= ResourceBudget.tablesMin && budget.tables <= ResourceBudget.tablesMax)
            #expect(budget.connections >= ResourceBudget.connectionsMin)
            #expect(budget.connections <= ResourceBudget.connectionsMax)
            #expect(budget.bulkConnections > 0 && budget.bulkConnections <= budget.connections / 2)
        }
        let most = try ResourceBudget(.member, files: 1 << 20, mappings: Self.mappings)
        #expect(most.tables == 512 && most.connections == 4_096 && most.bulkConnections == 48)
        let usual = try ResourceBudget(.member, files: 1_024, mappings: Self.mappings)
        #expect(usual.tables == 166 && usual.connections == 498)
        #expect(try ResourceBudget(.local, files: 184, mappings: Self.mappings).connections == 0)
    }

    @Test func `a limit that is too low is refused with what to set`() {
        let cases: [(ResourceBudget.Kind, Int, Int, String)] = [
            (.member, 511, Self.mappings, "LimitNOFILE=65536"), (.local, 183, Self.mappings, "ulimit -n 65536"),
            (.member, 1_024, 8_191, "vm.max_map_count"),
        ]
        for (kind, files, mappings, advice) in cases {
            let error = #expect(throws: HoldfastError.self) {
                try ResourceBudget(kind, files: files, mappings: mappings)
            }
            #expect(error?.code == .resourceExhausted)
            #expect(error?.message.contains(advice) == true)
        }
    }

    @Test func `mappings are given back, and beyond the budget bytes are read instead of mapped`() throws {
        let budget = MappingBudget(most: 3)
        #expect(budget.take(3) && !budget.take(1))
        budget.give(3)
        let directory = FileManager.default.temporaryDirectory.appendingPathComponent(UUID().uuidString)
        try FileManager.default.createDirectory(at: directory, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: directory) }
        let path = directory.appendingPathComponent("chunk").path
        try Data(repeating: 7, count: MappedBytes.pageBytes).write(to: URL(fileURLWithPath: path))
        let file = (path: path, bytes: MappedBytes.pageBytes)
        do {
            let two = try #require(MappedBytes.files([file, file], budget: budget))
            #expect(budget.used == 3)
            #expect(MappedBytes.files([file], budget: budget) == nil)
            two.withBytes(from: 0, count: 2) { #expect($0[1] == 7) }
        }
        #expect(budget.used == 0)
        #expect(MappedBytes.files([(path: "/nowhere", bytes: 5)], budget: budget) == nil)
        #expect(budget.used == 0, "what could not be mapped is given back")
    }

    @Test func `the limits of this process can be read`() throws {
        #expect(ProcessLimits.mappings > 0)
        #expect(ProcessLimits.raiseFiles() > 0)
        #expect(try #require(ProcessLimits.filesOpen) > 2)
    }
}
