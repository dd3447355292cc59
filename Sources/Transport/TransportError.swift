/// What can go wrong with connections and requests.
package enum TransportError: Error, Sendable, Hashable {
    /// Nobody listens at the address (ECONNREFUSED): the process there is gone.
    case connectionRefused(endpoint: String)
    /// The address could not be reached: no route, unknown host, no answer in time.
    case unreachable(endpoint: String, message: String)
    /// The other end answered the hello with a refusal.
    case refused(RefusalCode, String)
    /// The other end took the connection and then did not complete the handshake.
    case handshakeFailed(String)
    /// The deadline passed; a request may have been carried out.
    case deadlineExceeded
    /// The connection ended after the request was handed to the socket; it may have been carried out.
    case connectionLost(String)
    /// The connection was closed before the request was handed to the socket: it was not carried out.
    case notSent(String)
    /// A queue is full: nothing was sent; try again later.
    case overloaded
    /// The frame is longer than the connection takes: nothing was sent.
    case tooLarge(bytes: Int, limit: Int)
    /// The address is in use.
    case addressInUse(endpoint: String)
    /// The address cannot be listened on.
    case bindFailed(endpoint: String, message: String)
    /// The address is beyond loopback and plaintext was not allowed.
    case plaintextRefused(endpoint: String, address: String)

    /// Whether a request that ended with this may nevertheless have been carried out.
    package var mayHaveHappened: Bool {
        switch self {
        case .deadlineExceeded, .connectionLost: true
        default: false
        }
    }
}

extension TransportError: CustomStringConvertible {
    package var description: String {
        switch self {
        case .connectionRefused(let endpoint):
            "nobody listens at \(endpoint); is the node running?"
        case .unreachable(let endpoint, let message):
            "\(endpoint) cannot be reached: \(message)"
        case .refused(_, let sentence):
            sentence
        case .handshakeFailed(let message):
            "handshake failed: \(message)"
        case .deadlineExceeded:
            "the deadline passed before an answer came"
        case .connectionLost(let message):
            "the connection was lost before an answer came: \(message)"
        case .notSent(let message):
            "not sent: \(message)"
        case .overloaded:
            "too much is waiting to be sent; try again later"
        case .tooLarge(let bytes, let limit):
            "a frame of \(bytes) bytes is over the limit of \(limit)"
        case .addressInUse(let endpoint):
            "\(endpoint) is in use by another process; choose another port, or port 0 to let the system choose"
        case .bindFailed(let endpoint, let message):
            "cannot listen on \(endpoint): \(message)"
        case .plaintextRefused(let endpoint, let address):
            "refusing to listen on \(endpoint) (\(address)), which is beyond loopback, without encryption; "
                + "listen on 127.0.0.1, or pass --allow-plaintext if the network is trusted"
        }
    }
}

/// Why a connection ended.
package enum CloseReason: Error, Sendable, Hashable {
    /// This end closed it; the text says why.
    case local(String)
    /// The other end closed it in order.
    case remote
    /// The socket failed.
    case failed(String)
    /// The other end sent bytes that are not frames.
    case badFrame(FrameFault)
    /// The other end does not read what it is sent.
    case peerNotReading
    /// Partly received frames took more memory than the listener may use.
    case partialPayloads
    /// The process or its event loop is stopping.
    case shutdown
}

extension CloseReason: CustomStringConvertible {
    package var description: String {
        switch self {
        case .local(let why): why
        case .remote: "closed by the other end"
        case .failed(let message): message
        case .badFrame(let fault): fault.description
        case .peerNotReading: "the other end does not read what it is sent"
        case .partialPayloads: "partly received frames are over their limit"
        case .shutdown: "shutting down"
        }
    }
}
