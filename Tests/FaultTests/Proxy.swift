import Foundation
import Processes
import Synchronization

/// What the network between members does now, in each direction by itself.
final class Network: Sendable {
    private struct State {
        var cut: Set<[Int]> = []
        var delay: Duration = .zero
    }

    private let state = Mutex(State())

    /// From now on nothing of `from` arrives at `to`; what is under way waits. The other direction is as it was.
    func cut(_ from: Int, _ to: Int) { state.withLock { _ = $0.cut.insert([from, to]) } }

    /// Lets everything through again.
    func heal() { state.withLock { $0 = State() } }

    /// From now on every piece of bytes arrives so much later, and the next one only after it: a slow link as well as a long one.
    func setDelay(_ delay: Duration) { state.withLock { $0.delay = delay } }

    /// Whether bytes between these ends wait; 0 is a client, who is never cut off.
    func isCut(_ from: Int, _ to: Int) -> Bool { state.withLock { $0.cut.contains([from, to]) } }

    /// How long bytes between members are on their way.
    func delay(_ from: Int, _ to: Int) -> Duration { from == 0 || to == 0 ? .zero : state.withLock { $0.delay } }
}

/// Takes the connections to one member on a port of its own, and passes their bytes on as the network says. A member tells who it
/// is by the loopback address that it dials from: 127.0.0.10 and its ID (the interposer binds it).
final class Proxy: Sendable {
    private let listener: Int32
    private let target: UInt16
    private let member: Int
    private let network: Network

    /// Where a member's process dials from.
    static func source(of member: Int) -> String { "127.0.0.\(10 + member)" }

    init(to member: Int, listening port: UInt16, target: UInt16, network: Network) throws {
        self.member = member
        self.target = target
        self.network = network
        listener = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        var yes: Int32 = 1
        setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &yes, socklen_t(MemoryLayout<Int32>.size))
        let listener = self.listener
        guard listener >= 0, withLoopback(port, { bind(listener, $0, $1) }) == 0, listen(listener, 64) == 0 else {
            throw Unexpected("no proxy on port \(port): error \(errno)")
        }
        Thread.detachNewThread { [weak self] in
            while let self, let (connection, from) = self.accept() { self.carry(connection, from) }
        }
    }

    /// Takes no more connections.
    func close() { shutdown(listener, Int32(SHUT_RDWR)) }

    deinit { Glibc.close(listener) }

    private func accept() -> (Int32, Int)? {
        var address = sockaddr_in()
        var count = socklen_t(MemoryLayout<sockaddr_in>.size)
        let connection = withUnsafeMutablePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { Glibc.accept(listener, $0, &count) }
        }
        guard connection >= 0 else { return nil }
        let last = Int(UInt32(bigEndian: address.sin_addr.s_addr) & 0xFF)
        return (connection, max(0, last - 10))
    }

    private func carry(_ connection: Int32, _ from: Int) {
        let onward = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        guard onward >= 0, withLoopback(target, { connect(onward, $0, $1) }) == 0 else {
            // The member is down: whoever dials must see that, not an open connection.
            var linger = Glibc.linger(l_onoff: 1, l_linger: 0)
            setsockopt(connection, SOL_SOCKET, SO_LINGER, &linger, socklen_t(MemoryLayout<Glibc.linger>.size))
            Glibc.close(connection)
            if onward >= 0 { Glibc.close(onward) }
            return
        }
        let pair = Pair(connection, onward)
        let (network, member) = (self.network, self.member)
        Thread.detachNewThread { pair.pump(connection, onward, from, member, network) }
        Thread.detachNewThread { pair.pump(onward, connection, member, from, network) }
    }
}

/// Two sockets that are one connection; both are closed when both directions have ended.
private final class Pair: Sendable {
    private let sockets: [Int32]

    init(_ first: Int32, _ second: Int32) {
        sockets = [first, second]
        var yes: Int32 = 1
        for socket in sockets {
            setsockopt(socket, Int32(IPPROTO_TCP), TCP_NODELAY, &yes, socklen_t(MemoryLayout<Int32>.size))
        }
    }

    deinit { for socket in sockets { close(socket) } }

    func pump(_ from: Int32, _ to: Int32, _ sender: Int, _ receiver: Int, _ network: Network) {
        var buffer = [UInt8](repeating: 0, count: 64 << 10)
        while true {
            let count = read(from, &buffer, buffer.count)
            guard count > 0 else { break }
            let delay = network.delay(sender, receiver)
            if delay > .zero { usleep(UInt32(delay.components.attoseconds / 1_000_000_000_000)) }
            while network.isCut(sender, receiver) { usleep(2_000) }
            var done = 0
            while done < count {
                let sent = buffer[done..<count].withUnsafeBytes {
                    send(to, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL))
                }
                guard sent > 0 else { break }
                done += sent
            }
            guard done == count else { break }
        }
        for socket in sockets { shutdown(socket, Int32(SHUT_RDWR)) }
    }
}
