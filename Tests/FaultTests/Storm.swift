import Foundation
import Holdfast
import Logging
import Processes
import Synchronization

/// Writers that put without pause through a client of their own, and remember what was acknowledged: all of it must be found
/// later. A write whose outcome is unknown may be found or not.
final class Storm: Sendable {
    private struct Record {
        var acknowledged: [String: String] = [:]
        var refusals: [HoldfastError.Code: Int] = [:]
        var isOver = false
    }

    private static let quiet = Logger(label: "storm") { _ in SwiftLogNoOpLogHandler() }

    private let prefix: String
    private let node: HoldfastNode
    private let record = Mutex(Record())
    private let work = Mutex<Task<Void, Never>?>(nil)

    /// Begins to write through these members.
    ///
    /// - Parameters:
    ///   - prefix: what the keys begin with.
    ///   - isNoise: whether the values are such as do not compress.
    static func begin(
        _ prefix: String, on cluster: Cluster, at ids: [Int]? = nil, writers: Int = 4, valueBytes: Int = 32,
        isNoise: Bool = false
    ) async throws -> Storm {
        let endpoints = (ids ?? cluster.ids).map { cluster.reached($0) }
        var configuration = NodeConfiguration(.client(endpoints: endpoints))
        configuration.timeoutMilliseconds = 20_000
        let node = try HoldfastNode(configuration, logger: Self.quiet)
        try await node.start()
        let storm = Storm(prefix: prefix, node: node)
        storm.start(writers: writers) { number in
            let fill =
                isNoise
                ? noise(valueBytes * 3 / 4, seed: UInt64(number) &* 0x9E37_79B9 &+ 1)
                : [UInt8](repeating: 0, count: valueBytes * 3 / 4)
            return Data(fill).base64EncodedString() + "\(number)"
        }
        return storm
    }

    private init(prefix: String, node: HoldfastNode) {
        self.prefix = prefix
        self.node = node
    }

    /// How many writes were acknowledged up to now.
    var acknowledged: Int { record.withLock { $0.acknowledged.count } }
    /// How many were refused with this code.
    func refused(_ code: HoldfastError.Code) -> Int { record.withLock { $0.refusals[code] ?? 0 } }

    /// How many were refused at all.
    var refusals: Int { record.withLock { $0.refusals.values.reduce(0, +) } }

    /// Waits for so many acknowledgements beyond those that are there now.
    func progress(_ count: Int, seconds: Int = 30) async throws {
        let before = acknowledged
        try await until("\(count) more acknowledged writes", seconds: seconds) { acknowledged >= before + count }
    }

    private func start(writers: Int, value: @escaping @Sendable (Int) -> String) {
        let task = Task {
            await withTaskGroup(of: Void.self) { group in
                for writer in 0..<writers {
                    group.addTask { await self.write(writer, value: value) }
                }
            }
        }
        work.withLock { $0 = task }
    }

    private func write(_ writer: Int, value: (Int) -> String) async {
        var number = 0
        while !record.withLock({ $0.isOver }) {
            let key = "\(prefix)/\(writer)/\(number)"
            let value = value(number * 64 + writer)
            do {
                try await node.store.put(Key(key), Array(value.utf8))
                record.withLock { $0.acknowledged[key] = value }
            } catch {
                record.withLock { $0.refusals[error.code, default: 0] += 1 }
                // A refusal comes at once; without a pause the loop would only measure how fast.
                try? await Task.sleep(for: .milliseconds(20))
            }
            number += 1
        }
    }

    /// Ends the writers and waits for their last answers.
    func end() async {
        record.withLock { $0.isOver = true }
        await work.withLock { $0 }?.value
        await node.stop()
    }

    /// Deletes all that it wrote.
    func erase(on cluster: Cluster) async throws {
        try await reading(cluster, nil) { store in
            let scope = KeyScope.prefix(Key("\(prefix)/"))
            _ = try await store.transaction(Transaction(compare: [], then: [.delete(scope)]))
        }
    }

    /// Throws unless everything that was acknowledged is found through these members, with its value.
    func verify(on cluster: Cluster, at ids: [Int]? = nil) async throws {
        let expected = record.withLock { $0.acknowledged }
        var found: [String: String] = [:]
        try await reading(cluster, ids) { found = try await all($0) }
        let lost = expected.filter { found[$0.key] != $0.value }.keys.sorted()
        guard lost.isEmpty else {
            throw Unexpected("\(lost.count) of \(expected.count) acknowledged writes are lost: \(lost.prefix(5))")
        }
    }

    private func reading(_ cluster: Cluster, _ ids: [Int]?, _ body: (Store) async throws -> Void) async throws {
        let reader = try HoldfastNode(
            NodeConfiguration(.client(endpoints: (ids ?? cluster.ids).map { cluster.reached($0) })),
            logger: Self.quiet)
        try await reader.start()
        do {
            try await body(reader.store)
        } catch {
            await reader.stop()
            throw error
        }
        await reader.stop()
    }

    private func all(_ store: Store) async throws -> [String: String] {
        var found: [String: String] = [:]
        var from = Key("\(prefix)/")
        let end = Key("\(prefix)0")
        while true {
            let page = try await store.list(.range(from: from, below: end))
            for item in page.keys {
                found[String(decoding: item.key.bytes, as: UTF8.self)] = String(decoding: item.value, as: UTF8.self)
            }
            guard page.more, let last = page.keys.last else { break }
            from = Key(last.key.bytes + [0])
        }
        return found
    }
}
