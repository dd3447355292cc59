package import Foundation

/// Free ports below those that the system gives out by itself, so that no other socket takes one while its node is down;
/// all are held at once, so that they differ.
package func freePorts(_ count: Int) throws -> [UInt16] {
    var descriptors: [Int32] = []
    defer { for descriptor in descriptors { close(descriptor) } }
    var ports: [UInt16] = []
    for _ in 0..<1_000 where ports.count < count {
        let port = UInt16.random(in: 12_000..<32_000)
        let descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        guard descriptor >= 0 else { throw Unexpected("no socket: error \(errno)") }
        descriptors.append(descriptor)
        if withLoopback(port, { bind(descriptor, $0, $1) }) == 0 { ports.append(port) }
    }
    guard ports.count == count else { throw Unexpected("no \(count) free ports") }
    return ports
}

/// Calls `body` with the address 127.0.0.1 and a port.
package func withLoopback<Result>(_ port: UInt16, _ body: (UnsafePointer<sockaddr>, socklen_t) -> Result) -> Result {
    var address = sockaddr_in()
    address.sin_family = sa_family_t(AF_INET)
    address.sin_port = port.bigEndian
    address.sin_addr.s_addr = UInt32(0x7F00_0001).bigEndian
    return withUnsafePointer(to: &address) { pointer in
        pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { generic in
            body(generic, socklen_t(MemoryLayout<sockaddr_in>.size))
        }
    }
}
