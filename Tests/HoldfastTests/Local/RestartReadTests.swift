import Foundation
import Logging
import Testing

@testable import Holdfast

@Suite struct RestartReadTests {
    /// A leader's commit index may be behind until its term's first commit (thesis §6.4); one without peers has nobody to ask.
    @Test func aReadRightAfterACrashSeesTheLastAcknowledgedWrite() async throws {
        let scratch = "\(NSTemporaryDirectory())holdfast-restart-\(UInt64.random(in: 0...(.max)))"
        try FileManager.default.createDirectory(atPath: scratch, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(atPath: scratch) }
        let logger = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }
        let live = try HoldfastNode(NodeConfiguration(.local(directory: "\(scratch)/live")), logger: logger)
        try await live.start()
        for number in 1...4 {
            try await live.store.put("k", Array("\(number)".utf8))
            // Nothing is flushed and the node goes on: what lies on the disk now is what a crash would leave.
            let crashed = "\(scratch)/crash-\(number)"
            // The log makes its next segment beside, under a name that goes while we copy.
            while try FileManager.default.contentsOfDirectory(atPath: "\(scratch)/live/log")
                .contains(where: { $0.hasSuffix(".new") })
            {
                try await Task.sleep(nanoseconds: 5_000_000)
            }
            try FileManager.default.copyItem(atPath: "\(scratch)/live", toPath: crashed)
            let node = try HoldfastNode(NodeConfiguration(.local(directory: crashed)), logger: logger)
            try await node.start()
            let store = node.store
            try await withThrowingTaskGroup(of: String.self) { group in
                for _ in 0..<64 {
                    group.addTask {
                        String(decoding: try await store.get("k")?.value ?? [], as: UTF8.self)
                    }
                    try await Task.sleep(nanoseconds: 200_000)
                }
                for try await text in group { #expect(text == "\(number)") }
            }
            await node.stop()
            try FileManager.default.removeItem(atPath: crashed)
        }
        await live.stop()
    }
}
