import Glibc
import NIOCore
import Synchronization
import Testing

@testable import Transport

/// Prints figures; asserts none. Meant for release builds: `swift test -c release --filter Throughput`.
@Suite("Throughput", .serialized, .timeLimit(.minutes(1))) struct ThroughputTests {
    #if DEBUG
        private static let scale = 1
    #else
        private static let scale = 20
    #endif

    /// Processor seconds of this process so far: the figure that other load on the machine does not change much.
    private static var processorSeconds: Double {
        var usage = rusage()
        getrusage(__rusage_who_t(RUSAGE_SELF.rawValue), &usage)
        let seconds = usage.ru_utime.tv_sec + usage.ru_stime.tv_sec
        return Double(seconds) + Double(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6
    }

    private final class Echo: ConnectionHandler {
        func received(_ connection: Connection, _ header: FrameHeader, _ payload: ByteBuffer) {
            connection.send(header.kind, id: header.id, payload: payload)
        }
        func closed(_ connection: Connection, _ reason: CloseReason) {}
    }

    private final class Sink: ConnectionHandler {
        let bytes: Board<Int>
        init(_ bytes: Board<Int>) { self.bytes = bytes }
        func received(_ connection: Connection, _ header: FrameHeader, _ payload: ByteBuffer) {
            let count = payload.readableBytes
            bytes.change { $0 += count }
        }
        func closed(_ connection: Connection, _ reason: CloseReason) {}
    }

    /// Keeps `window` requests in flight until `total` are answered.
    private final class Pump: Sendable {
        let channel: RequestChannel
        let total: Int
        let done = Board(0)
        private let started = Atomic<Int>(0)
        private let payload = ByteBuffer(repeating: 1, count: 256)

        init(_ channel: RequestChannel, total: Int) {
            self.channel = channel
            self.total = total
        }

        func next() {
            guard started.add(1, ordering: .relaxed).newValue <= total else { return }
            do throws(TransportError) {
                try channel.call(16, deadline: .now() + .seconds(30), payload: payload) { _ in
                    self.done.change { $0 += 1 }
                    self.next()
                }
            } catch {
                Issue.record(error)
            }
        }
    }

    @Test("echo of 256 bytes, by requests in flight", arguments: [1, 64, 256]) func echo(_ window: Int) async throws {
        try await Loops.run { loops in
            let listener = try await loops.listen { _, _ in .accept(Welcome(identity: Loops.node)) { _ in Echo() } }
            let channel = try await RequestChannel.dial(
                listener.endpoint, hello: Loops.hello(.request), on: loops.client, settings: loops.settings)
            let total = (window == 1 ? 1_000 : 5_000) * Self.scale
            let pump = Pump(channel, total: total)
            let start = ContinuousClock.now
            let processor = Self.processorSeconds
            for _ in 0..<window { pump.next() }
            await pump.done.wait { $0 == total }
            let seconds = (ContinuousClock.now - start) / .seconds(1)
            let cost = (Self.processorSeconds - processor) * 1e6 / Double(total)
            print(
                "echo 256 B, \(window) in flight: \(Int(Double(total) / seconds)) per second, "
                    + "\((cost * 10).rounded() / 10) µs of processor each, both ends")
            await listener.close()
        }
    }

    @Test("bulk frames of 4 MiB to a sink") func bulk() async throws {
        try await Loops.run { loops in
            let bytes = Board(0)
            let listener = try await loops.listen { _, _ in
                .accept(Welcome(identity: Loops.node)) { _ in Sink(bytes) }
            }
            let connection = try await loops.dial(listener.endpoint, .bulk, Board(Heard()))
            let payload = ByteBuffer(repeating: 1, count: 4 << 20)
            let frames = 32 * Self.scale
            let start = ContinuousClock.now
            let processor = Self.processorSeconds
            for frame in 0..<frames {
                // At most four on their way.
                await bytes.wait { $0 >= (frame - 3) * (4 << 20) }
                #expect(connection.submit(16, id: 1, payload: payload))
            }
            await bytes.wait { $0 == frames * (4 << 20) }
            let seconds = (ContinuousClock.now - start) / .seconds(1)
            let gigabytes = Double(frames) * Double(4 << 20) / 1e9
            let cost = (Self.processorSeconds - processor) / gigabytes
            print(
                "bulk, 4 MiB frames: \(Int(gigabytes * 1_000 / seconds)) MB/s, "
                    + "\((cost * 100).rounded() / 100) s of processor per GB, both ends")
            await listener.close()
        }
    }
}
