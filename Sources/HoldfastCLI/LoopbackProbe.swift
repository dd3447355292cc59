internal import Foundation

/// A TCP connection over loopback between two threads, for the round trip that no request can beat.
enum LoopbackProbe {
    private static let messageBytes = 128
    private static let rounds = 3000

    /// The median round trip in microseconds.
    static func median() throws(Failure) -> Double {
        let listener = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        guard listener >= 0 else { throw failed("opened") }
        defer { close(listener) }
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_addr.s_addr = UInt32(0x7F00_0001).bigEndian
        guard withSockaddr(&address, { bind(listener, $0, $1) }) == 0, listen(listener, 1) == 0 else {
            throw failed("bound")
        }
        var length = socklen_t(MemoryLayout<sockaddr_in>.size)
        let named = withUnsafeMutablePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { getsockname(listener, $0, &length) }
        }
        let client = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        guard named == 0, client >= 0 else { throw failed("opened") }
        defer { close(client) }
        guard withSockaddr(&address, { connect(client, $0, $1) }) == 0 else { throw failed("connected") }
        let server = accept(listener, nil, nil)
        guard server >= 0 else { throw failed("accepted") }
        noDelay(client)
        noDelay(server)
        // The echoing thread owns its end and goes when the other end is closed.
        Thread.detachNewThread {
            echo(server)
            close(server)
        }
        return try pingPong(client)
    }

    private static func pingPong(_ client: Int32) throws(Failure) -> Double {
        var message = [UInt8](repeating: 1, count: messageBytes)
        var samples: [UInt64] = []
        for round in 0..<rounds {
            let begin = Clock.nanoseconds()
            guard exchange(client, &message) else { throw failed("used") }
            // The first rounds wake both threads up and are not counted.
            if round >= rounds / 10 { samples.append(Clock.nanoseconds() - begin) }
        }
        return Latencies(samples).microseconds(50)
    }

    private static func exchange(_ descriptor: Int32, _ message: inout [UInt8]) -> Bool {
        guard send(descriptor, message, messageBytes, Int32(MSG_NOSIGNAL)) == messageBytes else { return false }
        return recv(descriptor, &message, messageBytes, Int32(MSG_WAITALL)) == messageBytes
    }

    private static func echo(_ descriptor: Int32) {
        var message = [UInt8](repeating: 0, count: messageBytes)
        while recv(descriptor, &message, messageBytes, Int32(MSG_WAITALL)) == messageBytes {
            guard send(descriptor, message, messageBytes, Int32(MSG_NOSIGNAL)) == messageBytes else { return }
        }
    }

    private static func noDelay(_ descriptor: Int32) {
        var on: Int32 = 1
        // Without it the figure is only worse.
        _ = setsockopt(descriptor, Int32(IPPROTO_TCP), TCP_NODELAY, &on, socklen_t(MemoryLayout<Int32>.size))
    }

    private static func withSockaddr(
        _ address: inout sockaddr_in, _ body: (UnsafePointer<sockaddr>, socklen_t) -> Int32
    ) -> Int32 {
        withUnsafePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                body($0, socklen_t(MemoryLayout<sockaddr_in>.size))
            }
        }
    }

    private static func failed(_ what: String) -> Failure {
        .file("a loopback connection could not be \(what): \(String(cString: strerror(errno)))")
    }
}
