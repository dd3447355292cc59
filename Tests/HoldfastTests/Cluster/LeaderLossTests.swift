import Foundation
import NIOCore
import Testing

@testable import Holdfast

extension ClusterTests {
    @Suite struct LeaderLoss {
        @Test func everyAcknowledgedWriteSurvivesTheLeaderOnce() async throws {
            try await withCluster { cluster in
                let client = try await cluster.client(timeoutMilliseconds: 20_000)
                let acknowledged = Shared<[String: Revision]>([:])
                let lost = Task {
                    try await eventually("writers are at work") { acknowledged.withLock { $0.count } >= 80 }
                    let leader = try await cluster.leader()
                    try await cluster.stop(leader)
                    return leader
                }
                // Each writer counts a key of its own up by compare-and-set: a write applied twice, or lost, shows.
                try await withThrowingTaskGroup(of: Void.self) { group in
                    for writer in 0..<8 {
                        group.addTask {
                            var revision: Revision = 0
                            for number in 1...60 {
                                revision = try await client.put(
                                    Key("count/\(writer)"), "\(number)", ifRevision: revision
                                ).revision
                                acknowledged.withLock { $0["\(writer):\(number)"] = revision }
                                let plain = try await client.put(Key("plain/\(writer)"), "\(number)").revision
                                #expect(plain > revision)
                            }
                        }
                    }
                    try await group.waitForAll()
                }
                let leader = try await lost.value
                #expect(try await cluster.leader() != leader)
                for writer in 0..<8 {
                    for kind in ["count", "plain"] {
                        let key = try #require(try await client.get(Key("\(kind)/\(writer)")))
                        #expect(key.version == 60, "\(kind)/\(writer) was not written 60 times")
                        #expect(key.value == Array("60".utf8))
                    }
                    let history = acknowledged.withLock { $0 }
                    for number in [1, 17, 30, 42, 60] {
                        let revision = try #require(history["\(writer):\(number)"])
                        let then = try await client.get(Key("count/\(writer)"), at: revision)
                        #expect(then?.value == Array("\(number)".utf8))
                    }
                }
                let revision = try await client.list(.prefix("")).revision
                try await cluster.start(leader)
                #expect(try await cluster.agree() == revision)
            }
        }

        @Test func withoutAQuorumAWriteIsUnknownAndAReadIsRefused() async throws {
            try await withCluster { cluster in
                let leader = try await cluster.leader()
                let client = try await cluster.client([leader])
                try await client.put("k", "v")
                try await cluster.agree()
                for id in cluster.ids where id != leader { try await cluster.stop(id) }
                for store in [client, try cluster.store(leader)] {
                    let short = store.withTimeout(milliseconds: 700)
                    let write = await refusal { try await short.put("k", "w") }
                    // Sent to a leader that has not yet noticed: unknown. To one that has stepped down: not done.
                    #expect([.outcomeUnknown, .unavailable].contains(write?.code))
                    let read = await refusal { _ = try await short.get("k") }
                    #expect([.unavailable, .deadlineExceeded].contains(read?.code))
                    #expect(try await short.get("k", consistency: .stale) != nil)
                }
                // By now it has stepped down, and a write is refused before it is proposed.
                try await eventually("the leader has stepped down") {
                    try await cluster.store(leader).status().leader == nil
                }
                // A call whose deadline meets an attempt under way cannot know; none of them may have happened.
                try await eventually("a write is refused before it is proposed") {
                    let late = await refusal { try await client.withTimeout(milliseconds: 500).put("k", "x") }
                    #expect([.unavailable, .outcomeUnknown].contains(late?.code))
                    return late?.code == .unavailable
                }
                let status = try await client.status()
                #expect(status.nodes.filter { $0.role == .unreachable }.count == 2)
                // With a quorum again the store goes on; the write that was refused did not happen.
                for id in cluster.ids where id != leader { try await cluster.start(id) }
                try await client.put("after", "quorum")
                let text = try await client.text("k")
                #expect(text == "v" || text == "w")
                try await cluster.agree()
            }
        }

        @Test func aWriteBegunWithoutAQuorumIsDoneOnceItIsBack() async throws {
            try await withCluster { cluster in
                let client = try await cluster.client()
                try await client.put("k", "v")
                let leader = try await cluster.leader()
                let away = cluster.ids.filter { $0 != leader }
                for id in away { try await cluster.stop(id) }
                let writes = Task {
                    try await withThrowingTaskGroup(of: Void.self) { group in
                        for number in 0..<8 { group.addTask { try await client.put(Key("late/\(number)"), "x") } }
                        try await group.waitForAll()
                    }
                }
                for id in away { try await cluster.start(id) }
                try await writes.value
                let list = try await client.list(.prefix("late/"))
                #expect(list.keys.count == 8)
                #expect(list.keys.allSatisfy { $0.version == 1 })
                try await cluster.agree()
            }
        }

        @Test func leadershipIsHandedToTheNodeThatIsNamed() async throws {
            try await withCluster { cluster in
                let client = try await cluster.client()
                for _ in 0..<4 {
                    let leader = try await cluster.leader()
                    let next = try #require(cluster.ids.first { $0 == leader % 3 + 1 })
                    let through = try cluster.store(try await cluster.follower())
                    try await through.transferLeadership(to: next)
                    try await eventually("node \(next) leads") { try await cluster.leader() == next }
                    try await client.put("k", "\(next)")
                }
                let leader = try await cluster.leader()
                try await client.transferLeadership(to: leader)
                let stranger = await refusal { try await client.transferLeadership(to: 9) }
                #expect(stranger?.code == .invalidArgument)
                let away = try #require(cluster.ids.first { $0 != leader })
                try await cluster.stop(away)
                let absent = await refusal {
                    try await client.withTimeout(milliseconds: 3_000).transferLeadership(to: away)
                }
                #expect([.unavailable, .deadlineExceeded].contains(absent?.code))
                // The transfer was given up, and writes go on.
                try await client.put("k", "after")
            }
        }

        @Test func aGracefulStopHandsOverAndNoWriterSeesAnError() async throws {
            try await withCluster { cluster in
                let client = try await cluster.client()
                let isOver = Shared(false)
                let count = Shared(0)
                let writer = Task {
                    while !isOver.withLock({ $0 }) {
                        try await client.put("k", "x")
                        count.withLock { $0 += 1 }
                    }
                }
                for _ in 0..<3 {
                    let leader = try await cluster.leader()
                    let term = try await cluster.store(leader).status().term
                    try await cluster.stop(leader)
                    let next = try await cluster.leader()
                    // Handed over, not fought for: the next term is won at once.
                    #expect(try await cluster.store(next).status().term == term + 1)
                    let before = count.withLock { $0 }
                    try await eventually("writes go on") { count.withLock { $0 } > before + 5 }
                    try await cluster.start(leader)
                }
                isOver.withLock { $0 = true }
                try await writer.value
                #expect(try await client.get("k")?.version == UInt64(count.withLock { $0 }))
            }
        }
    }

    @Suite struct Restarts {
        @Test func everyNodeStartsAgainWithEverythingThatWasWritten() async throws {
            try await withCluster { cluster in
                let client = try await cluster.client()
                for number in 0..<200 { try await client.put(Key("k/\(number % 50)"), "\(number)") }
                _ = try await client.delete("k/7")
                let revision = try await cluster.agree()
                let hash = try await cluster.statuses()[0].feedHash
                let list = try await client.list(.prefix(""))
                let lineage = try await client.status().lineage
                for _ in 0..<2 {
                    for id in cluster.ids { try await cluster.stop(id) }
                    try await cluster.start()
                    #expect(try await cluster.agree() == revision)
                    for status in try await cluster.statuses() { #expect(status.feedHash == hash) }
                    #expect(try await client.list(.prefix("")) == list)
                    #expect(try await client.status().lineage == lineage)
                }
                for id in cluster.ids {
                    #expect(try await cluster.store(id).list(.prefix(""), consistency: .stale).keys == list.keys)
                    #expect(try await cluster.store(id).get("k/7", at: revision - 1)?.value == Array("157".utf8))
                }
                let next = try await client.put("k/7", "again")
                #expect(next.revision == revision + 1)
                let watcher = Watcher(client.watch(.prefix(""), from: 1))
                try await eventually("the whole feed is still there") { watcher.revisions.last == revision + 1 }
                #expect(watcher.revisions == Array(1...(revision + 1)).map { $0 })
            }
        }

        @Test func aNodeThatWasAwayCatchesUp() async throws {
            try await withCluster { cluster in
                let client = try await cluster.client()
                let away = try await cluster.follower()
                try await cluster.stop(away)
                for number in 0..<300 { try await client.put(Key("k/\(number % 50)"), "\(number)") }
                try await cluster.start(away)
                let revision = try await cluster.agree()
                #expect(try await cluster.store(away).list(.prefix(""), consistency: .stale).revision == revision)
            }
        }

        @Test func aSessionOutlivesARestartOfTheWholeCluster() async throws {
            try await withCluster { cluster in
                let client = try await cluster.client()
                try await client.put("k", "1")
                for id in cluster.ids { try await cluster.stop(id) }
                try await cluster.start()
                try await client.put("k", "2")
                #expect(try await client.get("k")?.version == 2)
            }
        }

        @Test func aStoppedNodeLetsItsDirectoryAndPortGo() async throws {
            try await withCluster(1) { cluster in
                // Whoever still holds its store must not keep the directory locked.
                var kept: [Store] = []
                for number in 0..<3 {
                    let store = try cluster.store(1)
                    try await store.put("k", "\(number)")
                    kept.append(store)
                    try await cluster.stop(1)
                    try await cluster.start()
                }
                #expect(try await cluster.store(1).text("k") == "2")
                #expect(kept.count == 3)
            }
        }
    }
}
