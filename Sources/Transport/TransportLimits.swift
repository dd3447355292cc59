// Every limit of the transport, each with the sum that led to it.

internal import NIOCore

/// Every limit of the transport in one place.
package enum TransportLimits {
    /// Oldest protocol version this build speaks.
    package static let protocolVersionMin: UInt8 = 1
    /// Newest protocol version this build speaks.
    package static let protocolVersionMax: UInt8 = 1

    /// Largest payload of a consensus or request frame, in bytes: a 512 KiB transaction, or a range answer or a
    /// batch of 256 KiB entries, times 16 so that a reader that catches up gets many per frame.
    package static let framePayloadBytesMax = 8 << 20
    /// Largest payload of a bulk frame, in bytes: a 4 MiB chunk and 64 KiB for what describes it.
    package static let bulkPayloadBytesMax = (4 << 20) + (64 << 10)
    /// Largest payload before the handshake is over, in bytes: a hello is under 600, an unknown peer gets no more.
    package static let handshakePayloadBytesMax = 4 << 10
    /// Longest text in a handshake (cluster name, endpoint, sentence of a refusal), in UTF-8 bytes.
    package static let handshakeTextBytesMax = 512

    /// What a partly received payload may reserve before its bytes arrive, in bytes: four times what has arrived,
    /// and never less than this. A hostile length costs its sender at least a quarter of what it costs us.
    package static let payloadReserveBytesMin = 64 << 10
    /// Partly received payloads over all accepted connections of a listener, in bytes: all bulk connections at their
    /// largest (48 × 4 MiB + 64 KiB is 195 MiB) and 7 largest request frames. Beyond it connections are closed.
    package static let partialPayloadBytesTotalMax = 256 << 20

    /// Accepted connections of one listener: 1,000 clients of a node with 4 connections each.
    package static let connectionsMax = 4_096
    /// Accepted bulk connections of one listener: a push or pull uses one or a few; see `partialPayloadBytesTotalMax`.
    package static let bulkConnectionsMax = 48
    /// Accepted connections whose handshake is not over: 256 × 4 KiB is 1 MiB of hellos.
    package static let handshakesMax = 256
    /// How long a connection may take from accept to hello, and from connect to welcome, in milliseconds.
    package static let handshakeMilliseconds: Int64 = 5_000
    /// How long one connect may take, in milliseconds.
    package static let connectMilliseconds: Int64 = 5_000
    /// Length of the kernel's queue of connections not yet accepted.
    package static let listenBacklog: Int32 = 1_024

    /// Unacknowledged bytes for longer than this end a consensus connection, in milliseconds: eight times the longest
    /// election timeout, so that the node has long elected another leader.
    package static let consensusUserTimeoutMilliseconds = 5_000

    /// A payload from this many bytes on is handed to the socket as it is; a shorter one is copied behind its header,
    /// since a copy of 8 KiB costs less than another element of a writev.
    package static let copiedPayloadBytesMax = 8 << 10
    /// A buffer of coalesced frames is closed and the next begun at this size, in bytes: it bounds both a growing
    /// buffer's copies and what an idle connection keeps.
    package static let coalescedBytesMax = 64 << 10

    /// A buffer of coalesced frames begins at this size, in bytes: a dozen short frames.
    static let coalescedBytesMin = 2 << 10

    /// Requests of one `RequestChannel` without a final answer; beyond it a call is refused as overloaded.
    package static let requestsOutstandingMax = 65_536
    /// Deadlines are checked no more often than this, in milliseconds.
    package static let deadlineGranularityMilliseconds: Int64 = 10

    /// First pause of a link after a failed dial, in milliseconds: one heartbeat.
    package static let backoffMillisecondsMin: Int64 = 50
    /// Longest pause of a link after a failed dial, in milliseconds.
    package static let backoffMillisecondsMax: Int64 = 2_000

    /// Largest payload of a frame for a purpose, in bytes.
    package static func payloadBytesMax(_ purpose: Purpose) -> Int {
        purpose == .bulk ? bulkPayloadBytesMax : framePayloadBytesMax
    }

    /// Bytes given to the socket and not yet taken by the kernel from which a connection calls itself not writable:
    /// two bulk chunks, or a burst of small frames.
    package static func outboundHighBytes(_ purpose: Purpose) -> Int {
        purpose == .bulk ? 8 << 20 : 1 << 20
    }

    /// Bytes not yet taken by the kernel at which a send is refused (once for the loop's queue, once for the queue of
    /// other threads): four bulk frames; for the others four frames of the largest size.
    package static func outboundBytesMax(_ purpose: Purpose) -> Int {
        purpose == .bulk ? 16 << 20 : 32 << 20
    }

    /// Largest single read from the socket, in bytes: 1 MiB measured fastest for bulk; the others answer sooner and
    /// keep less per connection with less.
    static func receiveBytesMax(_ purpose: Purpose) -> Int {
        purpose == .bulk ? 1 << 20 : 128 << 10
    }
}
