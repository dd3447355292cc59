import Glibc

@testable import Transport

/// A port of loopback that is bound and not listened on: every dial is refused, and no other test can take it meanwhile.
final class RefusingPort {
    /// The address to dial.
    let endpoint: Endpoint
    private let descriptor: CInt

    init?() {
        descriptor = socket(AF_INET, CInt(SOCK_STREAM.rawValue), 0)
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_addr.s_addr = UInt32(0x7F00_0001).bigEndian
        var length = socklen_t(MemoryLayout<sockaddr_in>.size)
        let (descriptor, size) = (descriptor, length)
        let isBound = withUnsafeMutablePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { generic in
                descriptor >= 0 && bind(descriptor, generic, size) == 0
                    && getsockname(descriptor, generic, &length) == 0
            }
        }
        endpoint = Endpoint(host: "127.0.0.1", port: Int(UInt16(bigEndian: address.sin_port)))
        guard isBound else { return nil }
    }

    deinit { close(descriptor) }
}
