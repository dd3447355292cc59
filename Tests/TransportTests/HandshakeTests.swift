import NIOCore
import Testing

@testable import Transport

@Suite("Handshake", .timeLimit(.minutes(1))) struct HandshakeTests {
    private static let identity = PeerIdentity(
        role: .member, cluster: "nördlich", bootstrap: [UInt8](0..<32), lineage: [UInt8](32..<48), nodeID: 3,
        incarnation: [UInt8](48..<64), endpoint: "[::1]:7000", featureVersion: 5)

    @Test("hello, welcome and refusal are read as they were written") func roundTrip() throws {
        let hello = Hello(purpose: .bulk, target: 9, identity: Self.identity)
        var buffer = ByteBuffer()
        hello.encode(into: &buffer)
        #expect(try Hello(decoding: buffer) == hello)
        buffer.clear()
        var later = hello
        later.identity.configurationIndex = 9
        later.encode(into: &buffer)
        #expect(try Hello(decoding: buffer) == later)
        buffer.clear()
        let welcome = Welcome(identity: Self.identity)
        welcome.encode(into: &buffer)
        #expect(try Welcome(decoding: buffer) == welcome)
        buffer.clear()
        let refusal = Refusal(.otherLineage, "another lineage")
        refusal.encode(into: &buffer)
        #expect(try Refusal(decoding: buffer) == refusal)
    }

    @Test("a hello has the golden bytes of the wire protocol") func golden() {
        var buffer = ByteBuffer()
        Hello(purpose: .bulk, target: 9, identity: Self.identity).encode(into: &buffer)
        var golden: [UInt8] = [1, 1, 3, 9, 0, 0, 0, 0, 0, 0, 0, 1, 5, 0, 0, 0]
        golden += [UInt8](0..<48) + [3, 0, 0, 0, 0, 0, 0, 0] + [UInt8](48..<64)
        golden += [9, 0] + [UInt8]("nördlich".utf8) + [10, 0] + [UInt8]("[::1]:7000".utf8)
        #expect([UInt8](buffer.readableBytesView) == golden)
    }

    @Test("a hello cut anywhere is malformed, one with more behind it is not") func cutHello() throws {
        let hello = Hello(purpose: .request, identity: Self.identity)
        var buffer = ByteBuffer()
        hello.encode(into: &buffer)
        for count in 0..<buffer.readableBytes {
            #expect(throws: HandshakeFault.self) {
                try Hello(decoding: buffer.getSlice(at: 0, length: count) ?? ByteBuffer())
            }
        }
        buffer.writeBytes([1, 2, 3])
        #expect(try Hello(decoding: buffer) == hello)
    }

    @Test("a text longer than allowed is refused by the reader") func longText() {
        var buffer = ByteBuffer()
        Refusal(.badHello, "").encode(into: &buffer)
        buffer.setInteger(UInt16(TransportLimits.handshakeTextBytesMax + 1), at: 2, endianness: .little)
        buffer.writeRepeatingByte(0x61, count: 2_000)
        #expect(throws: HandshakeFault.self) { try Refusal(decoding: buffer) }
    }

    @Test("an admitted dialler gets the welcome, and each end knows the other") func admitted() async throws {
        try await Loops.run { loops in
            let seen = Board<Hello?>(nil)
            let server = Board(Heard())
            let client = Board(Heard())
            let listener = try await loops.listen { hello, _ in
                seen.change { $0 = hello }
                return .accept(Welcome(identity: Self.identity)) { _ in Recorder(server) }
            }
            let connection = try await loops.dial(listener.endpoint, .request, client)
            #expect(connection.peer == Self.identity)
            #expect(connection.isDialled)
            let accepted = await server.wait { $0.connection != nil }.connection
            #expect(accepted?.peer == Loops.hello(.request).identity)
            #expect(accepted?.purpose == .request)
            #expect(seen.value == Loops.hello(.request))
            #expect(listener.endpoint.port != 0)
            await listener.close()
            #expect(await server.wait { $0.reason != nil }.reason == .shutdown)
            #expect(await client.wait { $0.reason != nil }.reason == .remote)
        }
    }

    @Test("a refused dialler gets the code and the sentence", arguments: Purpose.allCases)
    func refused(_ purpose: Purpose) async throws {
        try await Loops.run { loops in
            let listener = try await loops.listen { _, _ in
                .refuse(.otherCluster, "this node is of cluster north; dial another")
            }
            await #expect(
                throws: TransportError.refused(.otherCluster, "this node is of cluster north; dial another")
            ) {
                _ = try await loops.dial(listener.endpoint, purpose, Board(Heard()))
            }
            #expect(loops.meter.counters.refused == 1)
            await listener.close()
        }
    }

    @Test("versions without overlap are refused by the transport") func versions() async throws {
        try await Loops.run { loops in
            let listener = try await loops.listen(heard: Board(Heard()))
            var hello = Loops.hello(.request)
            hello.protocolVersionMin = 200
            hello.protocolVersionMax = 201
            let asked = hello
            let error = await #expect(throws: TransportError.self) {
                _ = try await Dialer.dial(listener.endpoint, hello: asked, on: loops.client, settings: loops.settings) {
                    _ in Recorder(Board(Heard()))
                }
            }
            guard case .refused(.protocolVersion, _) = error else {
                Issue.record("\(String(describing: error))")
                return
            }
            await listener.close()
        }
    }

    @Test("an address where nobody listens is told from one that does not answer the hello") func nobodyThere()
        async throws
    {
        try await Loops.run { loops in
            let port = try #require(RefusingPort())
            let endpoint = port.endpoint
            await #expect(throws: TransportError.connectionRefused(endpoint: "\(endpoint)")) {
                _ = try await loops.dial(endpoint, .request, Board(Heard()))
            }
            withExtendedLifetime(port) {}
        }
    }

    @Test("a connection without a hello is closed at the deadline") func halfOpen() async throws {
        try await Loops.run { loops in
            var settings = loops.settings
            settings.handshakeDeadline = .milliseconds(20)
            let listener = try await loops.listen(settings: settings) { _, _ in .refuse(.unavailable, "") }
            let silent = try await RawPeer(listener.endpoint, on: loops.client)
            try await silent.waitForEnd()
            // It is counted on the listener's loop, a moment after the peer sees the end.
            let end = NIODeadline.now() + .seconds(30)
            while loops.meter.counters.handshakesFailed == 0, .now() < end {
                try await Task.sleep(nanoseconds: 1_000_000)
            }
            #expect(loops.meter.counters.handshakesFailed == 1)
            await listener.close()
        }
    }

    @Test("connections beyond the limit in handshake are cut, those that shake hands are not") func tooMany()
        async throws
    {
        try await Loops.run { loops in
            var settings = loops.settings
            settings.handshakesMax = 1
            let listener = try await loops.listen(settings: settings) { _, _ in
                .accept(Welcome(identity: Loops.node)) { _ in Recorder(Board(Heard())) }
            }
            let first = try await loops.dial(listener.endpoint, .request, Board(Heard()))
            let silent = try await RawPeer(listener.endpoint, on: loops.client)
            let next = try await RawPeer(listener.endpoint, on: loops.client)
            try await next.waitForEnd()
            #expect(loops.meter.counters.refused == 1)
            silent.channel.close(promise: nil)
            try await silent.waitForEnd()
            first.close()
            await listener.close()
        }
    }

    @Test("a connection or a bulk connection beyond its limit is refused as overloaded") func connectionLimits()
        async throws
    {
        try await Loops.run { loops in
            var settings = loops.settings
            settings.connectionsMax = 3
            settings.bulkConnectionsMax = 1
            let listener = try await loops.listen(settings: settings) { _, _ in
                .accept(Welcome(identity: Loops.node)) { _ in Recorder(Board(Heard())) }
            }
            _ = try await loops.dial(listener.endpoint, .bulk, Board(Heard()))
            for purpose in [Purpose.bulk, .request, .request, .request] {
                do {
                    _ = try await loops.dial(listener.endpoint, purpose, Board(Heard()))
                    #expect(purpose == .request)
                } catch TransportError.refused(let code, _) {
                    #expect(code == .overloaded)
                }
            }
            #expect(loops.meter.counters.refused == 2)
            await listener.close()
        }
    }

    @Test("bytes that are no hello end the connection", arguments: [0, 1, 2, 3, 4]) func hostile(_ which: Int)
        async throws
    {
        try await Loops.run { loops in
            let listener = try await loops.listen(heard: Board(Heard()))
            let peer = try await RawPeer(listener.endpoint, on: loops.client)
            var frame = ByteBuffer()
            switch which {
            case 0: frame.writeString("GET / HTTP/1.1\r\nHost: holdfast\r\n\r\n")
            case 1: frame.writeFrame(kind: HandshakeKind.hello, id: 0) { $0.writeRepeatingByte(0, count: 5_000) }
            case 2: frame.writeFrame(kind: HandshakeKind.hello, id: 0) { $0.writeBytes([1, 2, 3]) }
            case 3: frame.writeFrame(kind: 40, id: 0) { Loops.hello(.request).encode(into: &$0) }
            default:
                frame.writeFrame(kind: HandshakeKind.hello, id: 0) { Loops.hello(.bulk).encode(into: &$0) }
                frame.writeFrame(kind: 40, id: 0) { $0.writeString("too early") }
            }
            peer.write([UInt8](frame.readableBytesView))
            try await peer.waitForEnd()
            let counters = loops.meter.counters
            #expect(counters.badFrames == (which < 2 ? 1 : 0))
            #expect(counters.refused == (which < 2 ? 0 : 1))
            await listener.close()
        }
    }

    @Test("anything beyond loopback is refused unless plaintext is allowed", arguments: ["0.0.0.0", "::", "192.0.2.1"])
    func plaintext(_ host: String) async throws {
        try await Loops.run { loops in
            let endpoint = Endpoint(host: host, port: 0)
            await #expect(throws: TransportError.plaintextRefused(endpoint: "\(endpoint)", address: host)) {
                _ = try await loops.listen(endpoint, heard: Board(Heard()))
            }
            guard host == "0.0.0.0" else { return }
            var settings = loops.settings
            settings.allowPlaintext = true
            let listener = try await loops.listen(endpoint, settings: settings) { _, _ in .refuse(.unavailable, "") }
            await listener.close()
        }
    }

    @Test("a port in use and an unknown host are refused with what to do") func bindFailures() async throws {
        try await Loops.run { loops in
            let listener = try await loops.listen(Endpoint(host: "localhost", port: 0), heard: Board(Heard()))
            await #expect(throws: TransportError.addressInUse(endpoint: "\(listener.endpoint)")) {
                _ = try await loops.listen(listener.endpoint, heard: Board(Heard()))
            }
            let error = await #expect(throws: TransportError.self) {
                _ = try await loops.listen(Endpoint(host: "no-such-host.invalid", port: 0), heard: Board(Heard()))
            }
            guard case .bindFailed = error else {
                Issue.record("\(String(describing: error))")
                return
            }
            await listener.close()
        }
    }

    @Test("endpoints are read with and without brackets") func endpoints() {
        #expect(Endpoint("127.0.0.1:80") == Endpoint(host: "127.0.0.1", port: 80))
        #expect(Endpoint("[::1]:0") == Endpoint(host: "::1", port: 0))
        #expect(Endpoint("[::1]:0")?.description == "[::1]:0")
        for text in ["", "host", ":80", "host:", "host:70000", "::1:80", "host:-1", "[]:1"] {
            #expect(Endpoint(text) == nil, "\(text)")
        }
    }
}
