internal import Glibc
internal import NIOCore

/// Where a node listens or is dialled: a host name or address and a port.
package struct Endpoint: Sendable, Hashable, CustomStringConvertible {
    /// Name, IPv4 address, or IPv6 address without brackets.
    package var host: String
    /// Port, 0 to 65,535; 0 lets the system choose when listening.
    package var port: Int

    package init(host: String, port: Int) {
        self.host = host
        self.port = port
    }

    /// Reads `host:port` or `[v6]:port`; nil if it is neither.
    package init?(_ text: String) {
        guard let colon = text.lastIndex(of: ":"), let port = UInt16(text[text.index(after: colon)...]) else {
            return nil
        }
        var host = text[..<colon]
        if host.hasPrefix("["), host.hasSuffix("]") {
            host = host.dropFirst().dropLast()
        } else if host.contains(":") {
            return nil
        }
        guard !host.isEmpty else { return nil }
        self.init(host: String(host), port: Int(port))
    }

    package var description: String { host.contains(":") ? "[\(host)]:\(port)" : "\(host):\(port)" }
}

extension SocketAddress {
    /// Whether only processes of this machine can reach the address: 127.0.0.0/8, ::1, or the former inside the latter.
    var isLoopback: Bool {
        switch self {
        case .v4(let address):
            return UInt32(bigEndian: address.address.sin_addr.s_addr) >> 24 == 127
        case .v6(let address):
            var raw = address.address.sin6_addr
            return withUnsafeBytes(of: &raw) { bytes in
                let isMapped = bytes[..<10].allSatisfy { $0 == 0 } && bytes[10] == 0xFF && bytes[11] == 0xFF
                if isMapped { return bytes[12] == 127 }
                return bytes[..<15].allSatisfy { $0 == 0 } && bytes[15] == 1
            }
        case .unixDomainSocket:
            return true
        }
    }
}
