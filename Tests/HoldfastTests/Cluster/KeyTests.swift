import Foundation
import NIOCore
import Testing

@testable import Holdfast

extension ClusterTests {
    @Suite struct Keys {
        @Test func clientsAndEmbeddedMembersSeeOneStore() async throws {
            try await withCluster { cluster in
                let client = try await cluster.client()
                let follower = try cluster.store(try await cluster.follower())
                for (number, store) in [client, follower].enumerated() {
                    let other = number == 0 ? follower : client
                    let key = Key("a/\(number)")
                    let made = try await store.put(key, "one")
                    // The other store reads at once: linearizable without a wait.
                    let read = try #require(try await other.get(key))
                    #expect(read.value == Array("one".utf8))
                    #expect(read.revision == made.revision)
                    #expect(read.createRevision == made.revision)
                    #expect(read.version == 1)
                    try await store.put(key, "two")
                    #expect(try await other.get(key)?.version == 2)
                    #expect(try await other.text(key) == "two")
                }
                let list = try await follower.list(.prefix("a/"))
                #expect(list.keys.map(\.key) == ["a/0", "a/1"])
                #expect(!list.more)
                let limited = try await client.list(.prefix("a/"), limit: 1, order: .descending)
                #expect(limited.keys.map(\.key) == ["a/1"])
                #expect(limited.more)
                #expect(try await client.list(.range(from: "a/0", below: "a/1")).keys.map(\.key) == ["a/0"])
                let removed = try await follower.delete("a/0")
                #expect(removed == list.revision + 1)
                #expect(try await client.get("a/0") == nil)
                #expect(try await client.delete("a/0") == nil)
                #expect(try await client.list(.prefix("")).keys.count == 1)
            }
        }

        @Test func aWriteWithARevisionHappensOnlyThere() async throws {
            try await withCluster { cluster in
                let follower = try await cluster.follower()
                for store in [try await cluster.client(), try cluster.store(follower)] {
                    let first = try await store.put("lock", "a", ifRevision: 0)
                    let taken = await refusal { try await store.put("lock", "b", ifRevision: 0) }
                    #expect(taken?.code == .preconditionFailed)
                    let second = try await store.put("lock", "b", ifRevision: first.revision)
                    #expect(second.revision > first.revision)
                    let late = await refusal { _ = try await store.delete("lock", ifRevision: first.revision) }
                    #expect(late?.code == .preconditionFailed)
                    #expect(try await store.text("lock") == "b")
                    #expect(try await store.delete("lock", ifRevision: second.revision) != nil)
                    #expect(try await store.get("lock") == nil)
                }
            }
        }

        @Test func aTransactionIsOneRevision() async throws {
            try await withCluster { cluster in
                let store = try cluster.store(try await cluster.follower())
                let before = try await store.put("x", "1")
                let done = try await store.transaction(
                    Transaction(
                        compare: [.init("x", .equal, .value(Array("1".utf8))), .init("y", .equal, .revision(0))],
                        then: [
                            .put("x", Array("2".utf8)), .put("y", Array("3".utf8)), .get(.prefix(""), limit: 10),
                            .delete(.key("none")),
                        ],
                        otherwise: [.delete(.prefix(""))]))
                #expect(done.succeeded)
                #expect(done.revision == before.revision + 1)
                guard case .keys(let seen) = done.answers[2] else {
                    Issue.record("the third answer is no list")
                    return
                }
                #expect(seen.keys.map { String(decoding: $0.value, as: UTF8.self) } == ["2", "3"])
                #expect(done.answers[3] == .deleted(0))
                #expect(try await store.get("x")?.revision == done.revision)
                #expect(try await store.get("y")?.revision == done.revision)
                let other = try await store.transaction(
                    Transaction(
                        compare: [.init("x", .equal, .version(7))], then: [.put("x", [])],
                        otherwise: [.get(.key("x"), limit: 0)]))
                #expect(!other.succeeded)
                #expect(other.revision == done.revision, "a transaction that writes nothing makes no revision")
                let twice = await refusal {
                    _ = try await store.transaction(Transaction(then: [.put("x", []), .put("x", [])]))
                }
                #expect(twice?.code == .invalidArgument)
            }
        }

        @Test func historyIsReadUntilItIsCompacted() async throws {
            try await withCluster { cluster in
                let client = try await cluster.client()
                let first = try await client.put("k", "1").revision
                let second = try await client.put("k", "2").revision
                _ = try await client.delete("k")
                let last = try await client.put("k", "4").revision
                for id in cluster.ids {
                    let store = try cluster.store(id)
                    #expect(try await store.get("k", at: first)?.value == Array("1".utf8))
                    #expect(try await store.get("k", at: second)?.value == Array("2".utf8))
                    #expect(try await store.get("k", at: second + 1) == nil)
                }
                let future = await refusal { _ = try await client.get("k", at: last + 1) }
                #expect(future?.code == .invalidArgument)
                try await client.compact(through: second)
                let gone = await refusal { _ = try await client.get("k", at: first) }
                #expect(gone?.code == .compacted)
                #expect(gone?.details["earliest"] == String(second))
                #expect(try await client.get("k", at: second)?.value == Array("2".utf8))
                #expect(try await client.text("k") == "4")
                let again = await refusal { try await client.compact(through: first) }
                #expect(again?.code == .compacted)
                let beyond = await refusal { try await client.compact(through: last + 10) }
                #expect(beyond?.code == .invalidArgument)
            }
        }

        @Test func aStaleReadAnswersWithWhatTheNodeHas() async throws {
            try await withCluster { cluster in
                let client = try await cluster.client()
                try await client.put("k", "old")
                try await cluster.agree()
                for id in cluster.ids {
                    #expect(try await cluster.store(id).text("k", consistency: .stale) == "old")
                    #expect(try await cluster.client([id]).text("k", consistency: .stale) == "old")
                }
            }
        }

        @Test func aReadSeesEveryWriteAcknowledgedBefore() async throws {
            try await withCluster { cluster in
                let writer = try await cluster.client()
                var readers: [Store] = []
                for id in cluster.ids {
                    readers.append(try cluster.store(id))
                    readers.append(try await cluster.client([id]))
                }
                for number in 1...40 {
                    let made = try await writer.put("n", "\(number)")
                    let reader = readers[number % readers.count]
                    let read = try #require(try await reader.get("n"))
                    #expect(read.revision == made.revision)
                    #expect(read.value == Array("\(number)".utf8))
                }
            }
        }

        @Test func whatIsTooLargeIsRefusedAndNothingHappens() async throws {
            try await withCluster { cluster in
                let client = try await cluster.client()
                let before = try await client.put("k", "v").revision
                for store in [client, try cluster.store(try await cluster.follower())] {
                    let value = await refusal {
                        _ = try await store.put("k", [UInt8](repeating: 1, count: 512 << 10 + 1))
                    }
                    #expect(value?.code == .invalidArgument)
                    let key = await refusal { _ = try await store.put(Key([UInt8](repeating: 1, count: 4_097)), []) }
                    #expect(key?.code == .invalidArgument)
                    let empty = await refusal { _ = try await store.put("", []) }
                    #expect(empty?.code == .invalidArgument)
                    let frame = await refusal {
                        _ = try await store.withTimeout(milliseconds: 3_000)
                            .put("k", [UInt8](repeating: 1, count: 9 << 20))
                    }
                    #expect(frame?.code == .invalidArgument)
                    let read = await refusal { _ = try await store.get(Key([UInt8](repeating: 1, count: 4_097))) }
                    #expect(read?.code == .invalidArgument)
                }
                let largest = [UInt8](repeating: 7, count: 512 << 10)
                let made = try await client.put(Key([UInt8](repeating: 1, count: 4_096)), largest)
                #expect(made.revision == before + 1)
                #expect(try await client.get(made.key)?.value == largest)
            }
        }

        @Test func aListThatDoesNotFitAnAnswerSaysSo() async throws {
            try await withCluster { cluster in
                let client = try await cluster.client()
                let value = [UInt8](repeating: 7, count: 500 << 10)
                for number in 10..<22 { _ = try await client.put(Key("big/\(number)"), value) }
                let list = try await client.list(.prefix("big/"))
                #expect(list.more)
                #expect(list.keys.count < 12 && list.keys.count >= 7)
                var all = list.keys
                while all.count < 12 {
                    let last = try #require(all.last).key.bytes
                    all += try await client.list(.range(from: Key(last + [0]), below: "big0")).keys
                }
                #expect(all.map(\.key) == (10..<22).map { Key("big/\($0)") })
            }
        }
    }
}
