import NIOCore
import Testing

@testable import Transport

@Suite("Links", .timeLimit(.minutes(1))) struct LinkTests {
    private struct Told: Sendable {
        var ups = 0
        var downs = 0
        var failures: [TransportError] = []
        var frames = 0
    }

    private final class Owner: LinkHandler, Sendable {
        let told = Board(Told())
        func linkUp(_ link: Link, _ connection: Connection) {
            told.change {
                #expect($0.ups == $0.downs)
                $0.ups += 1
            }
        }
        func linkDown(_ link: Link, _ reason: CloseReason) { told.change { $0.downs += 1 } }
        func linkFailed(_ link: Link, _ error: TransportError) { told.change { $0.failures.append(error) } }
        func received(_ link: Link, _ header: FrameHeader, _ payload: ByteBuffer) { told.change { $0.frames += 1 } }
    }

    private static func link(_ loops: Loops, _ endpoint: Endpoint, pause: Int64 = 2) -> Link {
        Link(
            to: endpoint, purpose: .consensus, on: loops.client, settings: loops.settings,
            backoff: Backoff(minimum: pause, maximum: pause * 4, seed: 3)
        ) { Loops.hello(.consensus) }
    }

    @Test("a link comes back after the listener restarts, and tells each change") func reconnects() async throws {
        try await Loops.run { loops in
            let owner = Owner()
            let server = Board(Heard())
            var listener = try await loops.listen(heard: server, echoes: true)
            let endpoint = listener.endpoint
            let link = Self.link(loops, endpoint)
            try await loops.client.submit { link.start(owner) }.get()
            await owner.told.wait { $0.ups == 1 }
            for round in 1...3 {
                let sent = try await loops.client.submit {
                    defer { link.flush() }
                    return link.send(16, id: 1) { $0.writeString("hello") }
                }.get()
                #expect(sent)
                await owner.told.wait { $0.frames == round }
                await listener.close()
                await owner.told.wait { $0.downs == round && !$0.failures.isEmpty }
                let dropped = try await loops.client.submit { link.send(16, id: 1) { $0.writeString("lost") } }.get()
                #expect(!dropped)
                listener = try await loops.listen(endpoint, heard: server, echoes: true)
                await owner.told.wait { $0.ups == round + 1 }
            }
            #expect(loops.meter.counters.reconnects == 3)
            #expect(owner.told.value.failures.allSatisfy { $0 == .connectionRefused(endpoint: "\(endpoint)") })
            try await loops.client.submit { link.close() }.get()
            await server.wait { $0.reason != nil }
            await listener.close()
            #expect(owner.told.value.downs == 3, "a closed link tells nothing")
        }
    }

    @Test("a refusal is told with its code, and the link tries again") func refusal() async throws {
        try await Loops.run { loops in
            let owner = Owner()
            let listener = try await loops.listen { _, _ in .refuse(.unavailable, "starting; try again") }
            let link = Self.link(loops, listener.endpoint)
            try await loops.client.submit { link.start(owner) }.get()
            let told = await owner.told.wait { $0.failures.count >= 3 }
            #expect(told.failures.allSatisfy { $0 == .refused(.unavailable, "starting; try again") })
            #expect(told.ups == 0)
            try await loops.client.submit { link.close() }.get()
            await listener.close()
        }
    }

    /// Drops the first two peers that it gets.
    private final class Picky: LinkHandler, Sendable {
        let told = Board(Told())
        func linkUp(_ link: Link, _ connection: Connection) {
            if told.value.ups < 2 { connection.close(.local("not the one")) }
            told.change { $0.ups += 1 }
        }
        func linkDown(_ link: Link, _ reason: CloseReason) {
            #expect(reason == .local("not the one"))
            told.change { $0.downs += 1 }
        }
        func linkFailed(_ link: Link, _ error: TransportError) {}
        func received(_ link: Link, _ header: FrameHeader, _ payload: ByteBuffer) {
            told.change { $0.frames += 1 }
        }
    }

    @Test("a connection that the owner drops as soon as it is up is told as down and dialled again")
    func droppedByOwner() async throws {
        try await Loops.run { loops in
            let owner = Picky()
            let listener = try await loops.listen(heard: Board(Heard()), echoes: true)
            let link = Self.link(loops, listener.endpoint)
            try await loops.client.submit { link.start(owner) }.get()
            await owner.told.wait { $0.ups == 3 && $0.downs == 2 }
            let sent = try await loops.client.submit {
                defer { link.flush() }
                return link.send(16, id: 1) { $0.writeString("hello") }
            }.get()
            #expect(sent)
            await owner.told.wait { $0.frames == 1 }
            try await loops.client.submit { link.close() }.get()
            await listener.close()
        }
    }

    @Test("a waiting link dials at once when told, also to a new address") func dialNow() async throws {
        try await Loops.run { loops in
            let owner = Owner()
            let gone = try await loops.listen(heard: Board(Heard()))
            await gone.close()
            // The pause is longer than the suite's limit: only dialNow can bring the link up.
            let link = Self.link(loops, gone.endpoint, pause: 1_000_000)
            try await loops.client.submit { link.start(owner) }.get()
            await owner.told.wait { $0.failures.count == 1 }
            let listener = try await loops.listen(heard: Board(Heard()))
            try await loops.client.submit { link.dialNow(listener.endpoint) }.get()
            await owner.told.wait { $0.ups == 1 }
            try await loops.client.submit { link.close() }.get()
            await listener.close()
        }
    }

    @Test(
        "pauses double up to the limit, are drawn from the upper half, and start again",
        arguments: 0..<20 as Range<UInt64>)
    func backoff(_ seed: UInt64) {
        var backoff = Backoff(minimum: 50, maximum: 2_000, seed: seed)
        for expected in [50, 100, 200, 400, 800, 1_600, 2_000, 2_000] as [Int64] {
            let pause = backoff.next()
            #expect(pause >= expected / 2 && pause <= expected, "seed \(seed)")
        }
        backoff.reset()
        #expect(backoff.next() <= 50)
        var again = Backoff(minimum: 50, maximum: 2_000, seed: seed)
        var other = Backoff(minimum: 50, maximum: 2_000, seed: seed &+ 1)
        let pauses = (0..<8).map { _ in again.next() }
        #expect(pauses != (0..<8).map { _ in other.next() }, "two seeds, two rhythms")
    }
}
