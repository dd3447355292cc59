import Foundation
import NIOCore
import ReplicaCore
import Testing

@testable import Holdfast

extension ClusterTests {
    @Suite struct Sessions {
        private func propose(
            _ store: Store, _ envelope: Envelope, milliseconds: Int64 = 10_000
        ) async throws -> Outcome {
            var answer = try await store.router.send(
                .command, ByteBuffer(bytes: envelope.encoded()), to: .leader,
                deadline: .now() + .milliseconds(milliseconds),
                isWrite: true)
            return try Outcome(decoding: answer.readBytes(length: answer.readableBytes) ?? [])
        }

        private func put(_ session: UInt64, _ sequence: UInt64, lowest: UInt64 = 1, _ text: String) -> Envelope {
            Envelope(
                session: session, sequence: sequence, lowestUnanswered: lowest, time: 0,
                command: .put(key: Array("k".utf8)[...], value: Array(text.utf8)[...], lease: 0))
        }

        @Test func aCommandSentAgainIsAppliedOnce() async throws {
            try await withCluster { cluster in
                let client = try await cluster.client()
                let session: UInt64 = 0xABCD
                _ = try await propose(client, Envelope(session: session, time: 0, command: .openSession))
                let first = try await propose(client, put(session, 1, "one"))
                let second = try await propose(client, put(session, 2, "two"))
                #expect(first != second)
                // Again, through another node, after the leader is gone, and after everybody was restarted.
                #expect(try await propose(client, put(session, 1, "one")) == first)
                let other = try await cluster.client([try await cluster.follower()])
                #expect(try await propose(other, put(session, 2, "two")) == second)
                try await cluster.stop(try await cluster.leader())
                #expect(try await propose(client, put(session, 2, "two")) == second)
                for id in cluster.running { try await cluster.stop(id) }
                try await cluster.start()
                #expect(try await propose(client, put(session, 1, "one")) == first)
                let read = try #require(try await client.get("k"))
                #expect(read.version == 2)
                #expect(read.value == Array("two".utf8))
                // Many at once: still once.
                try await withThrowingTaskGroup(of: Outcome.self) { group in
                    for _ in 0..<20 { group.addTask { try await propose(client, put(session, 3, lowest: 3, "three")) } }
                    var outcomes: Set<Outcome> = []
                    for try await outcome in group { outcomes.insert(outcome) }
                    #expect(outcomes.count == 1)
                }
                #expect(try await client.get("k")?.version == 3)
                let answered = await refusal { _ = try await propose(client, put(session, 1, lowest: 3, "one")) }
                #expect(
                    answered != nil, "an answer that the client has seen is not kept, and the command not applied again"
                )
                #expect(try await client.get("k")?.version == 3)
            }
        }

        @Test func anUnknownSessionIsRefusedAndNothingApplied() async throws {
            try await withCluster { cluster in
                let client = try await cluster.client()
                let unknown = await refusal { _ = try await propose(client, put(0x1234, 1, "one")) }
                #expect(unknown?.code == .sessionExpired)
                _ = try await propose(client, Envelope(session: 7, time: 0, command: .openSession))
                _ = try await propose(client, put(7, 1, "one"))
                _ = try await propose(
                    client, Envelope(session: 7, sequence: 2, lowestUnanswered: 2, time: 0, command: .closeSession))
                let closed = await refusal { _ = try await propose(client, put(7, 3, lowest: 3, "two")) }
                #expect(closed?.code == .sessionExpired)
                #expect(try await client.get("k")?.version == 1)
            }
        }

        @Test func manyCommandsOfOneClientAtOnceAreEachAppliedOnce() async throws {
            try await withCluster { cluster in
                let client = try await cluster.client()
                try await withThrowingTaskGroup(of: Void.self) { group in
                    for number in 0..<500 { group.addTask { try await client.put(Key("m/\(number % 20)"), "x") } }
                    try await group.waitForAll()
                }
                let list = try await client.list(.prefix("m/"))
                #expect(list.keys.map(\.version) == [UInt64](repeating: 25, count: 20))
            }
        }
    }
}
