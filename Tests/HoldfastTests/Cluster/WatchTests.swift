import Foundation
import NIOCore
import Synchronization
import Testing

@testable import Holdfast

/// Collects what a watch delivers, in a task of its own.
final class Watcher: Sendable {
    private let seen = Mutex<(changes: [Change], error: HoldfastError?, isOver: Bool)>(([], nil, false))
    private let task = Mutex<Task<Void, Never>?>(nil)

    init(_ sequence: ChangeSequence) {
        let task = Task { [weak self] in
            do {
                for try await change in sequence {
                    self?.seen.withLock { $0.changes.append(change) }
                }
            } catch {
                self?.seen.withLock { $0.error = error as? HoldfastError }
            }
            self?.seen.withLock { $0.isOver = true }
        }
        self.task.withLock { $0 = task }
    }

    deinit { task.withLock { $0?.cancel() } }

    var changes: [Change] { seen.withLock { $0.changes } }
    var error: HoldfastError? { seen.withLock { $0.error } }
    var isOver: Bool { seen.withLock { $0.isOver } }
    var revisions: [Revision] { changes.map(\.keyValue.revision) }

    func cancel() { task.withLock { $0?.cancel() } }
}

extension ClusterTests {
    @Suite struct Watches {
        @Test func aWatchFromARevisionHasEveryChangeInOrderOnce() async throws {
            try await withCluster { cluster in
                let client = try await cluster.client()
                var expected: [Revision] = []
                for number in 0..<30 {
                    expected.append(try await client.put(Key("w/\(number % 5)"), "\(number)").revision)
                    try await client.put(Key("other/\(number)"), "x")
                }
                for id in cluster.ids {
                    let embedded = Watcher(try cluster.store(id).watch(.prefix("w/"), from: 1))
                    let remote = Watcher(try await cluster.client([id]).watch(.prefix("w/"), from: expected[10]))
                    try await eventually("both watches have caught up") {
                        embedded.changes.count >= 30 && remote.changes.count >= 20
                    }
                    #expect(embedded.revisions == expected)
                    #expect(remote.revisions == Array(expected[10...]))
                    #expect(
                        embedded.changes.map { String(decoding: $0.keyValue.value, as: UTF8.self) }
                            == (0..<30).map(String.init))
                }
                let one = Watcher(client.watch(.key("w/3"), from: 1))
                _ = try await client.delete("w/3")
                try await eventually("the removal is seen") { one.changes.last?.kind == .delete }
                #expect(one.changes.count == 7)
                #expect(one.changes.last?.keyValue.value == [])
            }
        }

        @Test func aWatchFromNowBeginsWithTheNextChange() async throws {
            try await withCluster { cluster in
                let client = try await cluster.client()
                try await client.put("k", "before")
                try await cluster.agree()
                let watcher = Watcher(client.watch(.key("k")))
                // Nothing says when a watch has begun, so changes are made until one is seen.
                var made: [Revision] = []
                try await eventually("a change is seen") {
                    made.append(try await client.put("k", "\(made.count)").revision)
                    return !watcher.changes.isEmpty
                }
                made.append(try await client.put("k", "last").revision)
                try await eventually("the last change is seen") { watcher.revisions.last == made.last }
                let first = try #require(watcher.revisions.first)
                #expect(watcher.revisions == made.filter { $0 >= first })
            }
        }

        @Test func aWatchGoesOnWithoutAGapWhenItsNodeStops() async throws {
            try await withCluster { cluster in
                let leader = try await cluster.leader()
                let watched = try await cluster.follower()
                let rest = cluster.ids.filter { $0 != watched }
                let watcher = Watcher(try await cluster.client([watched] + rest).watch(.prefix("w/"), from: 1))
                let writer = try await cluster.client(rest)
                var expected: [Revision] = []
                for number in 0..<100 {
                    expected.append(try await writer.put(Key("w/\(number % 7)"), "\(number)").revision)
                    if number == 40 { try await cluster.stop(watched) }
                    if number == 70 { try await cluster.start(watched) }
                    if number == 85 { try await cluster.stop(try #require(rest.first { $0 != leader })) }
                }
                try await eventually("the watch has caught up") { watcher.changes.count >= 100 || watcher.isOver }
                #expect(watcher.error == nil)
                #expect(watcher.revisions == expected)
            }
        }

        @Test func aWatchBelowTheCompactRevisionSaysSo() async throws {
            try await withCluster { cluster in
                let client = try await cluster.client()
                for number in 0..<10 { try await client.put("k", "\(number)") }
                let last = try await client.put("k", "last").revision
                try await client.compact(through: last - 1)
                // Whichever node the client asks must know of it.
                try await cluster.agree()
                for store in [client, try cluster.store(try await cluster.leader())] {
                    let below = Watcher(store.watch(.key("k"), from: 1))
                    try await eventually("the watch ends") { below.isOver }
                    #expect(below.error?.code == .compacted)
                    let earliest = try #require(below.error?.details["earliest"].flatMap { UInt64($0) })
                    let above = Watcher(store.watch(.key("k"), from: earliest))
                    try await eventually("the last change is seen") { above.revisions.last == last }
                }
            }
        }

        @Test func aWatchEndsWhenItsTaskIsCancelled() async throws {
            try await withCluster { cluster in
                for store in [try await cluster.client(), try cluster.store(1)] {
                    let watcher = Watcher(store.watch(.prefix("")))
                    watcher.cancel()
                    try await eventually("the watch ends") { watcher.isOver }
                    #expect(watcher.error == nil)
                }
            }
        }

        @Test func aWatchOfANodeThatStopsEndsWithAnError() async throws {
            try await withCluster(1) { cluster in
                let store = try cluster.store(1)
                let watcher = Watcher(store.watch(.prefix(""), from: 1))
                try await store.put("k", "v")
                try await eventually("the change is seen") { watcher.changes.count == 1 }
                try await cluster.stop(1)
                try await eventually("the watch ends") { watcher.isOver }
                #expect(watcher.error?.code == .unavailable)
                // And so does every other call on the store of a stopped node, at once.
                let get = await refusal { _ = try await store.get("k") }
                #expect(get?.code == .unavailable)
                let put = await refusal { try await store.put("k", "w") }
                #expect(put?.code == .unavailable)
                let status = await refusal { _ = try await store.status() }
                #expect(status?.code == .unavailable)
            }
        }

        @Test func aSlowReaderMissesNothing() async throws {
            try await withCluster { cluster in
                let client = try await cluster.client()
                let value = [UInt8](repeating: 1, count: 100_000)
                var iterator = client.watch(.prefix("w/"), from: 1).makeAsyncIterator()
                var expected: [Revision] = []
                expected.append(try await client.put("w/0", value).revision)
                let first = try await iterator.next()
                #expect(first?.keyValue.revision == expected[0])
                // 30 MB while nobody reads: far more than the pages that may wait.
                for number in 1..<300 { expected.append(try await client.put(Key("w/\(number)"), value).revision) }
                var seen = [expected[0]]
                while seen.count < expected.count, let change = try await iterator.next() {
                    seen.append(change.keyValue.revision)
                }
                #expect(seen == expected)
            }
        }
    }
}
