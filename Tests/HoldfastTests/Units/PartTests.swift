import CoreMetrics
import Foundation
import NIOCore
import ReplicaCore
import Synchronization
import Testing

@testable import Holdfast

@Suite struct LaneTests {
    @Test func itemsAreHandledInOrderAndAllBeforeTheEnd() {
        let seen = Shared<[Int]>([])
        let batches = Shared(0)
        let lane = Lane<Int>("test") { items in
            let taken = items
            seen.withLock { $0 += taken }
            batches.withLock { $0 += 1 }
        }
        for number in 0..<10_000 { lane.submit(number) }
        lane.stop()
        #expect(seen.withLock { $0 } == Array(0..<10_000))
        #expect(batches.withLock { $0 } > 0)
        lane.stop()
        #expect(lane.submit(1) == 0)
        #expect(seen.withLock { $0.count } == 10_000, "nothing is handled after the end")
    }

    @Test func manySubmittersLoseNothing() async {
        let sums = Shared<[Int: Int]>([:])
        let lane = Lane<(Int, Int)>("test") { items in
            for (who, number) in items {
                sums.withLock { sums in
                    // In order for each submitter.
                    if sums[who, default: 0] == number { sums[who] = number + 1 }
                }
            }
        }
        await withTaskGroup(of: Void.self) { group in
            for who in 0..<8 { group.addTask { for number in 0..<2_000 { lane.submit((who, number)) } } }
        }
        lane.stop()
        for who in 0..<8 { #expect(sums.withLock { $0[who] } == 2_000) }
    }
}

@Suite struct ClientSessionTests {
    @Test func aNumberIsGivenOnceAndTheLowestUnansweredFollows() throws {
        let session = ClientSession()
        let tickets = try (0..<5).map { _ in try #require(session.take()) }
        #expect(tickets.map(\.sequence) == [1, 2, 3, 4, 5])
        #expect(tickets.allSatisfy { $0.lowestUnanswered == 1 && $0.session == session.id })
        session.finish(tickets[1])
        #expect(try #require(session.take()).lowestUnanswered == 1)
        session.finish(tickets[0])
        let next = try #require(session.take())
        #expect(next.sequence == 7)
        #expect(next.lowestUnanswered == 3)
        session.finish(tickets[0])
        session.finish(tickets[1])
        #expect(try #require(session.take()).lowestUnanswered == 3)
    }

    @Test func theWindowIsBounded() throws {
        let session = ClientSession()
        var tickets: [ClientSession.Ticket] = []
        while let ticket = session.take() { tickets.append(ticket) }
        #expect(tickets.count < Int(Limits.sessionWindow))
        #expect(tickets.count >= Int(Limits.sessionWindow) - 2)
        for ticket in tickets.dropFirst() { session.finish(ticket) }
        #expect(session.take() == nil, "the oldest one still holds the window")
        session.finish(tickets[0])
        let next = try #require(session.take())
        #expect(next.lowestUnanswered == next.sequence)
    }

    @Test func inAnyOrderTheLowestUnansweredIsTrue() throws {
        let seed = UInt64.random(in: 0...(.max))
        print("client session seed \(seed)")
        var random = SeededRandom(seed: seed)
        let session = ClientSession()
        var open: [ClientSession.Ticket] = []
        for _ in 0..<5_000 {
            if Bool.random(using: &random) || open.isEmpty {
                let ticket = try #require(session.take())
                open.append(ticket)
                #expect(ticket.lowestUnanswered == open.map(\.sequence).min())
            } else {
                session.finish(open.remove(at: Int.random(in: 0..<open.count, using: &random)))
            }
        }
    }
}

@Suite struct MetricsRegistryTests {
    @Test func theTextIsPrometheus() {
        let registry = MetricsRegistry()
        let counter = registry.makeCounter(label: "b_total", dimensions: [("kind", "a\"b\\c\nd")])
        counter.increment(by: 2)
        registry.makeCounter(label: "b_total", dimensions: [("kind", "a\"b\\c\nd")]).increment(by: 3)
        registry.makeCounter(label: "b_total", dimensions: []).increment(by: 1)
        registry.makeRecorder(label: "a_bytes", dimensions: [], aggregate: false).record(1.5)
        let timer = registry.makeTimer(label: "c_seconds", dimensions: [])
        timer.recordNanoseconds(500_000_000)
        timer.recordNanoseconds(1_500_000_000)
        registry.makeRecorder(label: "d_items", dimensions: [], aggregate: true).record(Int64(4))
        #expect(
            registry.text() == """
                # TYPE a_bytes gauge
                a_bytes 1.5
                # TYPE b_total counter
                b_total 1
                b_total{kind="a\\"b\\\\c\\nd"} 5
                # TYPE c_seconds summary
                c_seconds_count 2
                c_seconds_sum 2
                # TYPE c_seconds_max gauge
                c_seconds_max 1.5
                # TYPE d_items summary
                d_items_count 1
                d_items_sum 4
                # TYPE d_items_max gauge
                d_items_max 4

                """)
        counter.reset()
        #expect(registry.text().contains("b_total{kind=\"a\\\"b\\\\c\\nd\"} 0"))
    }

    @Test func manyThreadsCountWhatTheyCount() async {
        let registry = MetricsRegistry()
        await withTaskGroup(of: Void.self) { group in
            for _ in 0..<8 {
                group.addTask {
                    for _ in 0..<1_000 { registry.makeCounter(label: "n_total", dimensions: []).increment(by: 1) }
                }
            }
        }
        #expect(registry.text() == "# TYPE n_total counter\nn_total 8000\n")
    }

    @Test func aValueThatIsNoNumberDoesNotTrap() {
        let registry = MetricsRegistry()
        let gauge = registry.makeRecorder(label: "g", dimensions: [], aggregate: false)
        for value in [Double.nan, .infinity, -.infinity, 1e300, -1] {
            gauge.record(value)
            #expect(registry.text().hasPrefix("# TYPE g gauge\ng "))
        }
    }
}

extension ClusterTests {
    @Suite struct Metrics {
        /// The names that a page of the documentation gives in its tables.
        private func documented() throws -> [String] {
            let page = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
                .appendingPathComponent("../../../Docs/Reference/Metrics.md")
            var names: Set<String> = []
            for line in try String(contentsOf: page, encoding: .utf8).split(separator: "\n") {
                guard line.hasPrefix("|"), let first = line.split(separator: "|").first else { continue }
                for part in first.split(separator: "`") where part.hasPrefix("holdfast_") { names.insert(String(part)) }
            }
            return names.sorted()
        }

        @Test func everyDocumentedMetricIsThereAndNoOther() async throws {
            try await withCluster { cluster in
                let client = try await cluster.client()
                try await client.put("k", "v")
                _ = try await client.get("k")
                let names = try documented()
                #expect(names.count > 30)
                for text in [try await client.metrics(), try await cluster.store(2).metrics()] {
                    var found: Set<String> = []
                    for line in text.split(separator: "\n") where !line.hasPrefix("#") {
                        let name = line.prefix { $0 != " " && $0 != "{" }
                        found.insert(String(name))
                        #expect(line.split(separator: " ").last.flatMap { Double($0) } != nil, "\(line)")
                    }
                    #expect(found.sorted() == names)
                }
                let leaders = try await cluster.statuses().filter { $0.role == .leader }
                #expect(leaders.count == 1)
                let text = try await cluster.store(try await cluster.leader()).metrics()
                #expect(text.contains("holdfast_is_leader 1\n"))
                #expect(text.contains("holdfast_revision 1\n"))
                // A complete node's revision is its own, not "everything".
                #expect(text.contains("holdfast_complete_revision 1\n"))
            }
        }
    }
}
