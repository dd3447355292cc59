import Glibc
import NIOCore
import Synchronization
import Testing

@testable import Transport

@Suite("Connections", .timeLimit(.minutes(1))) struct ConnectionTests {
    @Test("frames arrive in order, echoed, whatever their size", arguments: Purpose.allCases)
    func echo(_ purpose: Purpose) async throws {
        try await Loops.run { loops in
            let client = Board(Heard())
            let listener = try await loops.listen(heard: Board(Heard()), echoes: true)
            let connection = try await loops.dial(listener.endpoint, purpose, client)
            var dice = Dice(5)
            let sizes = [0, 1, 100, 8_192, 8_193, 70_000, 1 << 20, 4 << 20, 3]
            let payloads = sizes.map {
                ByteBuffer(bytes: dice.bytes(min($0, 4_000)) + [UInt8](repeating: 7, count: $0))
            }
            for (index, payload) in payloads.enumerated() {
                #expect(connection.submit(16, id: UInt64(index), payload: payload))
            }
            let heard = await client.wait { $0.frames.count == payloads.count }
            #expect(heard.frames.map(\.header.id) == (0..<UInt64(payloads.count)).map { $0 })
            for (frame, payload) in zip(heard.frames, payloads) {
                #expect(frame.payload == payload, "\(frame.header.payloadBytes)")
            }
            await listener.close()
        }
    }

    @Test("consensus and request connections stay on the control loop, bulk ones move to the bulk loop")
    func loopOfPurpose() async throws {
        try await Loops.run { loops in
            for purpose in Purpose.allCases {
                let server = Board(Heard())
                let client = Board(Heard())
                let listener = try await loops.listen(heard: server, echoes: true)
                let connection = try await loops.dial(listener.endpoint, purpose, client)
                connection.submit(16, id: 1) { $0.writeString("here") }
                await client.wait { $0.frames.count == 1 }
                let expected = purpose == .bulk ? loops.bulk : loops.control
                #expect(server.value.loops == [ObjectIdentifier(expected)], "\(purpose)")
                #expect(server.value.connection?.remoteAddress.contains("127.0.0.1") == true)
                connection.close()
                #expect(await server.wait { $0.reason != nil }.reason == .remote)
                #expect(await client.wait { $0.reason != nil }.reason == .local("closed"))
                await listener.close()
            }
        }
    }

    @Test("a burst of frames is one turn, and its answers leave with its end") func burstIsATurn() async throws {
        try await Loops.run { loops in
            let server = Board(Heard())
            let client = Board(Heard())
            let listener = try await loops.listen(heard: server, echoes: true)
            let connection = try await loops.dial(listener.endpoint, .consensus, client)
            loops.client.execute {
                for id in 0..<500 as Range<UInt64> { connection.send(20, id: id) { $0.writeInteger(id) } }
                #expect(connection.pendingBytes == 500 * 32)
                connection.flush()
                #expect(connection.isWritable)
            }
            await client.wait { $0.frames.count == 500 }
            #expect(server.value.bursts < 50)
            let counters = loops.meter.counters.consensus
            // Both ends count on one meter here.
            #expect(counters.framesOut == 1_000)
            #expect(counters.bytesOut == 1_000 * 32)
            await listener.close()
        }
    }

    @Test("many threads submit, each in its own order") func submitFromManyThreads() async throws {
        try await Loops.run { loops in
            let server = Board(Heard())
            let listener = try await loops.listen(heard: server)
            let connection = try await loops.dial(listener.endpoint, .request, Board(Heard()))
            await withTaskGroup(of: Void.self) { group in
                for thread in 0..<8 as Range<UInt64> {
                    group.addTask {
                        for count in 0..<200 as Range<UInt64> {
                            #expect(connection.submit(30, id: thread) { $0.writeInteger(count) })
                        }
                    }
                }
            }
            let heard = await server.wait { $0.frames.count == 1_600 }
            for thread in 0..<8 as Range<UInt64> {
                let counts = heard.frames.filter { $0.header.id == thread }.map(\.payload)
                    .compactMap { $0.getInteger(at: $0.readerIndex, as: UInt64.self) }
                #expect(counts == (0..<200).map { $0 })
            }
            await listener.close()
        }
    }

    @Test("a chunk may travel under its own name instead of the checksum") func partlySummed() async throws {
        try await Loops.run { loops in
            let client = Board(Heard())
            let listener = try await loops.listen(heard: Board(Heard()), echoes: true)
            let connection = try await loops.dial(listener.endpoint, .bulk, client)
            for count in [0, 5, 8_192, 4 << 20] {
                let payload = ByteBuffer(repeating: 6, count: count)
                #expect(connection.submit(16, id: UInt64(count), payload: payload, summed: 10))
                let frame = try #require(await client.wait { $0.frames.last?.payload == payload }.frames.last)
                #expect(frame.header.payloadBytes == count)
            }
            var batch = OutboundBatch()
            #expect(
                batch.append(16, 1, [], limit: 100, payload: ByteBuffer(repeating: 6, count: 20), summed: 10) == nil)
            var encoded = ByteBuffer()
            batch.drain { encoded.writeImmutableBuffer($0) }
            encoded.setInteger(UInt8(7), at: 24 + 15)
            var decoder = FrameDecoder(payloadBytesMax: 100)
            guard case .frame(let header, _) = decoder.next(&encoded) else {
                Issue.record("bytes behind the summed ones are not under the checksum")
                return
            }
            #expect(header.flags == .partlySummed)
            #expect(header.summedBytes == 10)
            await listener.close()
        }
    }

    @Test("a frame over the limit is not sent, and the connection lives on") func oversize() async throws {
        try await Loops.run { loops in
            let server = Board(Heard())
            let listener = try await loops.listen(heard: server)
            let connection = try await loops.dial(listener.endpoint, .request, Board(Heard()))
            let large = ByteBuffer(repeating: 0, count: TransportLimits.framePayloadBytesMax + 1)
            #expect(connection.submit(16, id: 1) { $0.writeString("before") })
            #expect(!connection.submit(16, id: 2, payload: large))
            #expect(!connection.submit(16, id: 3) { $0.writeImmutableBuffer(large) })
            #expect(connection.submit(16, id: 4) { $0.writeString("after") })
            #expect(await server.wait { $0.frames.count == 2 }.frames.map(\.header.id) == [1, 4])
            await listener.close()
        }
    }

    /// Lets in a peer that shakes hands and then reads nothing; answers with the node's end.
    private static func deafPeer(
        _ loops: Loops, _ purpose: Purpose, _ server: Board<Heard>, _ body: (Connection, RawPeer) async throws -> Void
    ) async throws {
        let listener = try await loops.listen(heard: server)
        let peer = try await RawPeer(listener.endpoint, on: loops.client)
        var hello = ByteBuffer()
        hello.writeFrame(kind: HandshakeKind.hello, id: 0) { Loops.hello(purpose).encode(into: &$0) }
        peer.write([UInt8](hello.readableBytesView))
        await peer.received.wait { $0 > 0 }
        try await peer.channel.setOption(.autoRead, value: false).get()
        let accepted = await server.wait { $0.connection != nil }.connection
        try await body(#require(accepted), peer)
        await listener.close()
        peer.channel.close(promise: nil)
    }

    @Test("what a peer does not read is bounded, and the bound is told", arguments: [Purpose.request, .bulk])
    func boundedOutbound(_ purpose: Purpose) async throws {
        try await Loops.run { loops in
            let server = Board(Heard())
            try await Self.deafPeer(loops, purpose, server) { connection, peer in
                let payload = ByteBuffer(repeating: 1, count: 1 << 20)
                let (sent, pending) = try await connection.eventLoop.submit {
                    var sent = 0
                    while connection.send(16, id: 1, payload: payload) {
                        sent += 1
                        connection.flush()
                        guard sent < 1_000 else { break }
                    }
                    return (sent, connection.pendingBytes)
                }.get()
                #expect(sent < 1_000)
                #expect(pending <= TransportLimits.outboundBytesMax(purpose) + (1 << 20) + FrameHeader.byteCount)
                var submitted = 0
                while connection.submit(16, id: 2, payload: payload), submitted < 1_000 { submitted += 1 }
                #expect(submitted < 1_000)
                #expect(loops.meter.counters.overloaded >= 2)
                #expect(await server.wait { $0.writable.first == false }.reason == nil)
                // Once the peer reads, everything queued arrives and the connection is writable again.
                try await peer.channel.setOption(.autoRead, value: true).get()
                let whole = (sent + submitted) * (payload.readableBytes + FrameHeader.byteCount)
                await peer.received.wait { $0 >= whole }
                await server.wait { $0.writable.last == true }
                #expect(connection.submit(16, id: 3, payload: ByteBuffer()))
            }
        }
    }

    @Test("a request connection whose peer does not take its answers is not read") func notReadWhileFull() async throws
    {
        try await Loops.run { loops in
            let server = Board(Heard())
            try await Self.deafPeer(loops, .request, server) { connection, peer in
                let payload = ByteBuffer(repeating: 1, count: 1 << 20)
                try await connection.eventLoop.submit {
                    while connection.isWritable {
                        connection.send(16, id: 1, payload: payload)
                        connection.flush()
                    }
                    #expect(!connection.mayRead())
                }.get()
                var request = ByteBuffer()
                for id in 0..<64 as Range<UInt64> {
                    request.writeFrame(kind: 16, id: id) { $0.writeRepeatingByte(0, count: 1 << 20) }
                }
                peer.write([UInt8](request.readableBytesView))
                // 64 MiB do not fit the kernel's buffers: the rest comes only once the answers are taken.
                #expect(server.value.frames.count < 64)
                try await peer.channel.setOption(.autoRead, value: true).get()
                #expect(await server.wait { $0.frames.count == 64 }.writable.last == true)
            }
        }
    }

    @Test("a consensus connection whose peer does not read is closed") func consensusPeerNotReading() async throws {
        try await Loops.run { loops in
            let server = Board(Heard())
            try await Self.deafPeer(loops, .consensus, server) { connection, _ in
                let payload = ByteBuffer(repeating: 1, count: 1 << 20)
                try await connection.eventLoop.submit {
                    for _ in 0..<1_000 where connection.send(16, id: 1, payload: payload) { connection.flush() }
                    #expect(!connection.isOpen)
                    #expect(!connection.send(16, id: 2, payload: payload))
                }.get()
                #expect(await server.wait { $0.reason != nil }.reason == .peerNotReading)
                #expect(!connection.submit(16, id: 3, payload: payload))
            }
        }
    }

    @Test("bad bytes after the handshake close the connection with the fault", arguments: [0, 1, 2])
    func badFrame(_ which: Int) async throws {
        try await Loops.run { loops in
            let server = Board(Heard())
            let listener = try await loops.listen(heard: server)
            let peer = try await RawPeer(listener.endpoint, on: loops.client)
            var bytes = ByteBuffer()
            bytes.writeFrame(kind: HandshakeKind.hello, id: 0) { Loops.hello(.request).encode(into: &$0) }
            peer.write([UInt8](bytes.readableBytesView))
            await peer.received.wait { $0 > 0 }
            var frames = ByteBuffer()
            frames.writeFrame(kind: 16, id: 1) { $0.writeString("good") }
            let badAt = frames.writerIndex
            frames.writeFrame(kind: which == 2 ? HandshakeKind.hello : 16, id: 2) { $0.writeString("bad") }
            switch which {
            case 0: frames.setInteger(UInt8(0xFF), at: badAt + FrameHeader.byteCount)
            case 1: frames.setInteger(UInt32.max, at: badAt + 4)
            default: break
            }
            frames.writeFrame(kind: 16, id: 3) { $0.writeString("never seen") }
            peer.write([UInt8](frames.readableBytesView))
            try await peer.waitForEnd()
            let heard = await server.wait { $0.reason != nil }
            #expect(heard.frames.map(\.header.id) == [1])
            guard case .badFrame = heard.reason else {
                Issue.record("\(String(describing: heard.reason))")
                return
            }
            #expect(loops.meter.counters.badFrames == 1)
            await listener.close()
        }
    }

    @Test("a paused connection is not read until it is resumed") func pausedReading() async throws {
        try await Loops.run { loops in
            let server = Board(Heard())
            let listener = try await loops.listen(heard: server)
            let connection = try await loops.dial(listener.endpoint, .bulk, Board(Heard()))
            let accepted = try #require(await server.wait { $0.connection != nil }.connection)
            try await accepted.eventLoop.submit { accepted.pauseReading() }.get()
            let payload = ByteBuffer(repeating: 3, count: 4 << 20)
            for id in 0..<4 as Range<UInt64> { #expect(connection.submit(16, id: id, payload: payload)) }
            // 16 MiB do not fit the kernel's buffers and the one read that was under way.
            try await loops.client.submit {}.get()
            #expect(server.value.frames.count < 4)
            try await accepted.eventLoop.submit { accepted.resumeReading() }.get()
            await server.wait { $0.frames.count == 4 }
            await listener.close()
        }
    }

    private static func inode(_ descriptor: CInt) -> UInt64? {
        var status = stat()
        return fstat(descriptor, &status) == 0 ? UInt64(status.st_ino) : nil
    }

    @Test("a part of a file follows its opening, and the descriptor is closed") func sendFile() async throws {
        try await Loops.run { loops in
            let client = Board(Heard())
            let server = Board(Heard())
            let listener = try await loops.listen(heard: server)
            _ = try await loops.dial(listener.endpoint, .bulk, client)
            let accepted = try #require(await server.wait { $0.connection != nil }.connection)
            var dice = Dice(8)
            let content = dice.bytes(10_000) + [UInt8](repeating: 9, count: 4 << 20)
            var template = [CChar]("/tmp/holdfast-transport-XXXXXX".utf8CString)
            let descriptor = mkstemp(&template)
            try #require(descriptor >= 0)
            unlink(template)
            #expect(content.withUnsafeBytes { write(descriptor, $0.baseAddress, $0.count) } == content.count)
            let copy = dup(descriptor)
            let inode = Self.inode(descriptor)
            #expect(inode != nil && inode == Self.inode(copy))
            try await accepted.eventLoop.submit {
                accepted.send(16, id: 1) { $0.writeString("before") }
                #expect(
                    accepted.sendFile(
                        17, id: 2, opening: ByteBuffer(string: "opening"), descriptor: descriptor, offset: 100,
                        count: 4 << 20))
                accepted.send(16, id: 3) { $0.writeString("after") }
                accepted.flush()
                // More than the file has, and more than a frame takes.
                let large = dup(copy)
                #expect(!accepted.sendFile(17, id: 4, descriptor: copy, offset: 10_000, count: (4 << 20) + 1))
                #expect(ftruncate(large, 8 << 20) == 0)
                #expect(!accepted.sendFile(17, id: 5, descriptor: large, offset: 0, count: 8 << 20))
            }.get()
            let heard = await client.wait { $0.frames.count == 3 }
            #expect(heard.frames.map(\.header.id) == [1, 2, 3])
            #expect(
                heard.frames[1].payload == ByteBuffer(bytes: [UInt8]("opening".utf8) + content[100..<(100 + (4 << 20))])
            )
            #expect(heard.frames[1].header.flags == .partlySummed)
            // The numbers may have been given to other files since.
            try await accepted.eventLoop.submit {}.get()
            #expect(Self.inode(descriptor) != inode)
            #expect(Self.inode(copy) != inode)
            await listener.close()
        }
    }

    @Test("bulk to a slow reader leaves a request on another connection its turn") func bulkDelaysNothing() async throws
    {
        try await Loops.run { loops in
            let bulkServer = Board(Heard())
            let bulkClient = Board(Heard())
            let client = Board(Heard())
            let listener = try await loops.listen { hello, _ in
                .accept(Welcome(identity: Loops.node)) { _ in
                    Recorder(hello.purpose == .bulk ? bulkServer : Board(Heard()), echoes: hello.purpose != .bulk)
                }
            }
            let bulk = try await loops.dial(listener.endpoint, .bulk, bulkClient)
            let request = try await loops.dial(listener.endpoint, .request, client)
            let source = try #require(await bulkServer.wait { $0.connection != nil }.connection)
            try await bulk.eventLoop.submit { bulk.pauseReading() }.get()
            let payload = ByteBuffer(repeating: 1, count: 4 << 20)
            var queued = 0
            while queued < 64, source.submit(16, id: 1, payload: payload) { queued += 1 }
            // The bulk stream stands: its reader takes nothing. Requests pass all the same.
            for id in 1...20 as ClosedRange<UInt64> {
                request.submit(16, id: id) { $0.writeString("ping") }
                await client.wait { $0.frames.count == Int(id) }
            }
            #expect(bulkClient.value.frames.count < queued)
            try await bulk.eventLoop.submit { bulk.resumeReading() }.get()
            let expected = queued
            await bulkClient.wait { $0.frames.count == expected }
            await listener.close()
        }
    }

    @Test("partly received frames over all connections are bounded") func partialPayloads() async throws {
        let budget = PartialPayloadBudget(limit: 100)
        #expect(budget.add(60))
        #expect(!budget.add(60))
        #expect(budget.add(-60))
        #expect(budget.add(40))
        #expect(!budget.add(1))
    }
}
