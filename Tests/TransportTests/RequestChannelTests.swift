import NIOCore
import Synchronization
import Testing

@testable import Transport

@Suite("Requests", .timeLimit(.minutes(1))) struct RequestChannelTests {
    /// Answers what the kind says: 16 echo, 17 nothing, 18 three frames of a stream, 19 hold back until the next echo,
    /// 20 end the connection.
    private final class Responder: ConnectionHandler {
        private var held: [(UInt64, ByteBuffer)] = []

        func received(_ connection: Connection, _ header: FrameHeader, _ payload: ByteBuffer) {
            switch header.kind {
            case 16:
                connection.send(16, id: header.id, payload: payload)
                for (id, payload) in held { connection.send(16, id: id, payload: payload) }
                held = []
            case 18:
                for index in 0..<3 as Range<UInt8> {
                    connection.send(18, id: header.id, flags: index < 2 ? .more : []) { $0.writeInteger(index) }
                }
            case 19: held.append((header.id, payload))
            case 20: connection.close(.local("as asked"))
            default: break
            }
        }

        func closed(_ connection: Connection, _ reason: CloseReason) {}
    }

    private static func run(_ body: (Loops, Listener, RequestChannel) async throws -> Void) async throws {
        try await Loops.run { loops in
            let listener = try await loops.listen { _, _ in
                .accept(Welcome(identity: Loops.node)) { _ in Responder() }
            }
            let channel = try await RequestChannel.dial(
                listener.endpoint, hello: Loops.hello(.request), on: loops.client, settings: loops.settings)
            try await body(loops, listener, channel)
            await listener.close()
        }
    }

    private static var later: NIODeadline { .now() + .seconds(50) }

    @Test("a thousand pipelined requests get their own answers") func pipelined() async throws {
        try await Self.run { loops, _, channel in
            let answers = Board<[UInt64: UInt64]>([:])
            for number in 0..<1_000 as Range<UInt64> {
                try channel.call(16, deadline: Self.later, { $0.writeInteger(number) }) { result in
                    guard case .success(let answer) = result else { return }
                    let found = answer.payload.getInteger(at: answer.payload.readerIndex, as: UInt64.self)
                    answers.change { $0[number] = found }
                }
            }
            let found = await answers.wait { $0.count == 1_000 }
            #expect(found.allSatisfy { $0.key == $0.value })
            #expect(channel.outstandingCount == 0)
        }
    }

    @Test("answers come in any order") func outOfOrder() async throws {
        try await Self.run { _, _, channel in
            async let held = channel.call(19, deadline: Self.later) { $0.writeString("first") }
            async let other: Answer = {
                // Sent only once the first is on its way.
                while channel.outstandingCount == 0 { await Task.yield() }
                return try await channel.call(16, deadline: Self.later) { $0.writeString("second") }
            }()
            let second = try await other
            let first = try await held
            #expect(String(buffer: second.payload) == "second")
            #expect(String(buffer: first.payload) == "first")
        }
    }

    @Test("a stream's frames come one by one until the last") func stream() async throws {
        try await Self.run { _, _, channel in
            let frames = Board<[(UInt8, Bool)]>([])
            try channel.call(18, deadline: Self.later, { _ in }) { result in
                guard case .success(let answer) = result,
                    let index = answer.payload.getInteger(at: answer.payload.readerIndex, as: UInt8.self)
                else { return }
                frames.change { $0.append((index, answer.isLast)) }
            }
            let found = await frames.wait { $0.count == 3 }
            #expect(found.map(\.0) == [0, 1, 2])
            #expect(found.map(\.1) == [false, false, true])
            #expect(channel.outstandingCount == 0)
        }
    }

    @Test("a call without an answer fails at its deadline, in the order of the calls, and others live on")
    func deadline() async throws {
        try await Self.run { _, _, channel in
            let failed = Board<[(Int, TransportError)]>([])
            let soon = NIODeadline.now() + .milliseconds(30)
            for number in 0..<5 {
                try channel.call(17, deadline: number == 2 ? Self.later : soon, { _ in }) { result in
                    guard case .failure(let error) = result else { return }
                    failed.change { $0.append((number, error)) }
                }
            }
            let found = await failed.wait { $0.count == 4 }
            #expect(found.map(\.0) == [0, 1, 3, 4])
            #expect(found.allSatisfy { $0.1 == .deadlineExceeded && $0.1.mayHaveHappened })
            #expect(channel.outstandingCount == 1)
            let answer = try await channel.call(16, deadline: Self.later) { $0.writeString("on") }
            #expect(String(buffer: answer.payload) == "on")
        }
    }

    @Test("an answer after its deadline is counted and dropped") func lateAnswer() async throws {
        try await Self.run { loops, _, channel in
            await #expect(throws: TransportError.deadlineExceeded) {
                _ = try await channel.call(19, deadline: .now() + .milliseconds(20)) { $0.writeString("late") }
            }
            _ = try await channel.call(16, deadline: Self.later) { $0.writeString("releases it") }
            _ = try await channel.call(16, deadline: Self.later) { $0.writeString("comes behind it") }
            #expect(loops.meter.counters.lateAnswers == 1)
        }
    }

    @Test("a cancelled call is forgotten") func cancelled() async throws {
        try await Self.run { loops, _, channel in
            let id = try channel.call(19, deadline: Self.later, { _ in }) { _ in Issue.record("was cancelled") }
            channel.cancel(id)
            _ = try await channel.call(16, deadline: Self.later) { _ in }
            _ = try await channel.call(16, deadline: Self.later) { _ in }
            #expect(channel.outstandingCount == 0)
            #expect(loops.meter.counters.lateAnswers == 1)
        }
    }

    @Test("a lost connection fails every call that was sent, and refuses further ones as not sent") func lost()
        async throws
    {
        try await Self.run { loops, _, channel in
            let failed = Board<[TransportError]>([])
            for kind in [17, 17, 19, 20] as [UInt8] {
                try channel.call(kind, deadline: Self.later, { _ in }) { result in
                    guard case .failure(let error) = result else { return }
                    failed.change { $0.append(error) }
                }
            }
            let found = await failed.wait { $0.count == 4 }
            #expect(found.allSatisfy { $0.mayHaveHappened })
            #expect(channel.outstandingCount == 0)
            let error = #expect(throws: TransportError.self) {
                try channel.call(16, deadline: Self.later, { _ in }) { _ in Issue.record("was refused") }
            }
            #expect(error?.mayHaveHappened == false)
        }
    }

    @Test("a request over the limit is refused before it is sent") func tooLarge() async throws {
        try await Self.run { _, _, channel in
            let bytes = TransportLimits.framePayloadBytesMax + 1
            #expect(throws: TransportError.tooLarge(bytes: bytes, limit: TransportLimits.framePayloadBytesMax)) {
                try channel.call(16, deadline: Self.later, { $0.writeRepeatingByte(0, count: bytes) }) { _ in }
            }
            #expect(channel.outstandingCount == 0)
        }
    }

    @Test("calls beyond the limit are refused as overloaded") func outstandingLimit() async throws {
        try await Self.run { loops, _, channel in
            for _ in 0..<TransportLimits.requestsOutstandingMax {
                try channel.call(17, deadline: Self.later, { _ in }) { _ in }
            }
            #expect(throws: TransportError.overloaded) { try channel.call(17, deadline: Self.later, { _ in }) { _ in } }
            #expect(loops.meter.counters.overloaded == 1)
        }
    }

    @Test("a call in a full socket still keeps its deadline") func deadlineWhileFull() async throws {
        try await Loops.run { loops in
            let paused = Board(Heard())
            let listener = try await loops.listen(heard: paused)
            let channel = try await RequestChannel.dial(
                listener.endpoint, hello: Loops.hello(.request), on: loops.client, settings: loops.settings)
            let accepted = try #require(await paused.wait { $0.connection != nil }.connection)
            try await accepted.eventLoop.submit { accepted.pauseReading() }.get()
            let failed = Board(0)
            let payload = ByteBuffer(repeating: 0, count: 8 << 20)
            var sent = 0
            let soon = NIODeadline.now() + .milliseconds(50)
            while sent < 64 {
                do throws(TransportError) {
                    try channel.call(16, deadline: soon, payload: payload) { result in
                        if case .failure(.deadlineExceeded) = result { failed.change { $0 += 1 } }
                    }
                    sent += 1
                } catch {
                    #expect(error == .overloaded)
                    break
                }
            }
            let expected = sent
            #expect(expected > 0 && expected < 64)
            await failed.wait { $0 == expected }
            await listener.close()
        }
    }
}
