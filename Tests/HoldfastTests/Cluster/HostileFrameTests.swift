import Foundation
import Glibc
import NIOCore
import NIOPosix
import RaftCore
import ReplicaCore
import Testing
import Transport

@testable import Holdfast

/// A socket that sends whatever a test likes; it blocks, with a limit of five seconds.
final class RawSocket {
    private let descriptor: Int32

    init(_ endpoint: String) throws {
        let port = try #require(endpoint.split(separator: ":").last.flatMap { UInt16($0) })
        descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        var patience = timeval(tv_sec: 5, tv_usec: 0)
        setsockopt(descriptor, SOL_SOCKET, SO_RCVTIMEO, &patience, socklen_t(MemoryLayout<timeval>.size))
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_port = port.bigEndian
        address.sin_addr.s_addr = UInt32(0x7F00_0001).bigEndian
        let result = withUnsafePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                connect(descriptor, $0, socklen_t(MemoryLayout<sockaddr_in>.size))
            }
        }
        try #require(result == 0)
    }

    deinit { close(descriptor) }

    func send(_ bytes: [UInt8]) {
        var sent = 0
        while sent < bytes.count {
            let count = bytes.withUnsafeBytes {
                Glibc.send(
                    descriptor, $0.baseAddress?.advanced(by: sent), bytes.count - sent, Int32(MSG_NOSIGNAL))
            }
            guard count > 0 else { return }  // Closed by the node, which is what some tests wait for.
            sent += count
        }
    }

    func send(_ buffer: ByteBuffer) { send(Array(buffer.readableBytesView)) }

    /// What comes next, at most `count` bytes; empty when the node has closed the connection.
    func receive(_ count: Int = 65_536) throws -> [UInt8] {
        var bytes = [UInt8](repeating: 0, count: count)
        let got = recv(descriptor, &bytes, count, 0)
        if got < 0, errno == ECONNRESET { return [] }
        try #require(got >= 0, "the node neither answered nor closed the connection")
        return Array(bytes.prefix(got))
    }

    /// Reads until the node closes.
    func drain() throws {
        while try !receive().isEmpty {}
    }
}

extension ClusterTests {
    @Suite struct HostileFrames {
        private func hello(_ purpose: Purpose) -> ByteBuffer {
            var buffer = ByteBuffer()
            buffer.writeFrame(kind: 1, id: 0) {
                Hello(purpose: purpose, identity: PeerIdentity(role: .client)).encode(into: &$0)
            }
            return buffer
        }

        /// A socket whose hello was answered.
        private func greeted(_ endpoint: String, _ purpose: Purpose) throws -> RawSocket {
            let socket = try RawSocket(endpoint)
            socket.send(hello(purpose))
            let answer = try socket.receive()
            try #require(answer.count > 24 && answer[3] == 2, "no welcome")
            return socket
        }

        @Test func garbageEndsOnlyItsOwnConnection() async throws {
            try await withCluster { cluster in
                let client = try await cluster.client([1])
                try await client.put("k", "v")
                let endpoint = try #require(cluster.members[1])
                let seed = UInt64.random(in: 0...(.max))
                print("hostile frames seed \(seed)")
                var random = SeededRandom(seed: seed)
                func noise(_ count: Int) -> [UInt8] {
                    (0..<count).map { _ in UInt8.random(in: 0...255, using: &random) }
                }
                func frame(_ change: (inout [UInt8]) -> Void) -> [UInt8] {
                    var buffer = ByteBuffer()
                    buffer.writeFrame(kind: FrameKind.range.rawValue, id: 1) { $0.writeBytes([1, 0, 0, 0, 9, 9, 9]) }
                    var bytes = Array(buffer.readableBytesView)
                    change(&bytes)
                    return bytes
                }
                let hostile: [[UInt8]] = [
                    noise(1), noise(23), noise(24), noise(5_000), noise(200_000),
                    [UInt8](repeating: 0, count: 100), Array("GET / HTTP/1.1\r\n\r\n".utf8),
                    frame { $0[0] = 0 }, frame { $0[2] = 9 }, frame { $0[4...7] = [255, 255, 255, 255] },
                    frame { $0[4...7] = [0, 0, 0, 127] }, frame { $0[16] ^= 1 }, frame { $0[25] ^= 1 },
                    frame { $0[20] = 255 }, frame { $0[22] = 255 }, frame { $0[3] = 1 }, frame { $0.removeLast(3) },
                ]
                for bytes in hostile {
                    let stranger = try RawSocket(endpoint)
                    stranger.send(bytes)
                    if bytes.count > 24 { try stranger.drain() }
                    for purpose in [Purpose.request, .bulk] {
                        let known = try greeted(endpoint, purpose)
                        known.send(bytes)
                    }
                }
                for purpose in [Purpose.request, .bulk] {
                    let known = try greeted(endpoint, purpose)
                    known.send(noise(300))
                    try known.drain()
                    let twice = try greeted(endpoint, purpose)
                    twice.send(hello(purpose))
                    try twice.drain()
                }
                #expect(try await client.text("k") == "v")
                try await client.put("k", "w")
                let text = try await client.metrics()
                #expect(text.contains("holdfast_frames_bad"))
                try await cluster.agree()
            }
        }

        @Test func malformedRequestsOfEveryKindAreRefusedAndNothingHappens() async throws {
            try await withCluster { cluster in
                let client = try await cluster.client([1])
                try await client.put("k", "v")
                let before = try await cluster.agree()
                let seed = UInt64.random(in: 0...(.max))
                print("malformed requests seed \(seed)")
                var random = SeededRandom(seed: seed)
                let loops = MultiThreadedEventLoopGroup(numberOfThreads: 1)
                for purpose in [Purpose.request, .bulk] {
                    for id in [1, try await cluster.leader()] as Set<UInt64> {
                        let channel = try await RequestChannel.dial(
                            try #require(cluster.members[id].flatMap { Endpoint($0) }),
                            hello: Hello(purpose: purpose, identity: PeerIdentity(role: .client)), on: loops.next(),
                            settings: TransportSettings(logger: quiet), deadline: .seconds(5))
                        for kind in UInt8(16)...255 {
                            var bodies: [[UInt8]] = [[], [1], [1, 0, 0, 0], [0xE8, 3, 0, 0]]
                            for count in [1, 7, 40] {
                                bodies.append(
                                    [0xE8, 3, 0, 0] + (0..<count).map { _ in UInt8.random(in: 0...255, using: &random) }
                                )
                            }
                            bodies.append([0xE8, 3, 0, 0] + [UInt8](repeating: 255, count: 64))
                            // Valid requests of these kinds need no body.
                            if [FrameKind.clusterStatus, .nodeStatus, .metrics].map(\.rawValue).contains(kind) {
                                continue
                            }
                            for body in bodies {
                                let answer = try await channel.call(kind, deadline: .now() + .seconds(10)) {
                                    $0.writeBytes(body)
                                }
                                let isAnswer = [FrameKind.failure, .success, .event].map(\.rawValue).contains(
                                    answer.header.kind)
                                #expect(isAnswer, "kind \(kind) got a frame of kind \(answer.header.kind)")
                                if answer.header.kind == FrameKind.failure.rawValue {
                                    #expect(!ErrorCodec.decode(answer.payload).message.isEmpty)
                                }
                            }
                        }
                        channel.close()
                    }
                }
                try await loops.shutdownGracefully()
                #expect(try await cluster.agree() == before)
                #expect(try await client.text("k") == "v")
            }
        }

        @Test func everyTruncationOfACommandIsRefused() async throws {
            try await withCluster(1) { cluster in
                let client = try await cluster.client()
                let before = try await client.put("k", "v").revision
                let transaction = Holdfast.Transaction(
                    compare: [.init("k", .equal, .value([1, 2, 3]))],
                    then: [.put("a", [1]), .get(.prefix(""), limit: 3)],
                    otherwise: [.delete(.range(from: "x", below: "y"))])
                let encoded = Envelope(time: 0, command: .transaction(transaction.command)).encoded()
                for length in 0..<encoded.count {
                    let error = await refusal {
                        _ = try await client.router.send(
                            .command, ByteBuffer(bytes: encoded[..<length]), to: .leader,
                            deadline: .now() + .seconds(10))
                    }
                    #expect(error?.code == .invalidArgument)
                }
                let proposals = try await client.metrics()
                #expect(try await client.get("k")?.revision == before)
                #expect(proposals.contains("holdfast_requests_refused_total"))
            }
        }

        @Test func aClientMayNotSendTheCommandsOfMembers() async throws {
            try await withCluster { cluster in
                let client = try await cluster.client()
                let upload = UploadID(1, 2)
                let commands: [Command] = [
                    .lineage(try #require(Lineage([UInt8](repeating: 7, count: 16)))), .uploadExpire(before: .max),
                    .complete(
                        node: 1, incarnation: try #require(Incarnation([UInt8](repeating: 7, count: 16))), through: 9),
                    .publish(
                        Publication(
                            upload: upload, name: "m", version: nil,
                            root: try #require(ChunkID([UInt8](repeating: 7, count: 32))), bytes: 1, chunks: 1,
                            files: 1,
                            durableOn: [])),
                ]
                for command in commands {
                    let error = await refusal {
                        _ = try await client.router.proposeUnnumbered(command, deadline: .now() + .seconds(10))
                    }
                    #expect(error?.code == .permissionDenied)
                }
                // Nor speak on a consensus connection's behalf.
                let endpoint = try #require(cluster.members[1])
                let socket = try greeted(endpoint, .request)
                var frame = ByteBuffer()
                frame.writeFrame(kind: FrameKind.consensus.rawValue, id: 1) {
                    ConsensusCodec.encode(Message(.timeoutNow, to: 1, from: 2, term: 99), into: &$0)
                }
                let term = try await client.status().term
                socket.send(frame)
                let answer = try socket.receive()
                #expect(answer.count > 3 && answer[3] == FrameKind.failure.rawValue)
                #expect(try await client.status().term == term)
            }
        }

        @Test func idleConnectionsOfStrangersDoNotStopTheNode() async throws {
            try await withCluster(1) { cluster in
                let endpoint = try #require(cluster.members[1])
                let client = try await cluster.client()
                try await client.put("k", "v")
                // More than may shake hands at once: the rest is turned away, and those who are known are served.
                let idle = try (0..<400).map { _ in try RawSocket(endpoint) }
                try await client.put("k", "w")
                #expect(idle.count == 400)
            }
        }
    }
}
