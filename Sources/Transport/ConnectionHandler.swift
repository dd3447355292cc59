package import NIOCore

/// What a connection tells its owner. Every call is on the connection's event loop; `connected` is the first and
/// `closed` the last, each exactly once, and neither `closed` nor `writabilityChanged` is called from inside a function
/// of the connection.
package protocol ConnectionHandler: AnyObject {
    /// The handshake is over; frames may be sent.
    func connected(_ connection: Connection)
    /// One checked frame. The payload is a slice of a larger buffer: keep it only as long as that may live.
    func received(_ connection: Connection, _ header: FrameHeader, _ payload: ByteBuffer)
    /// A burst of frames is over (a turn ends here). What was sent since is flushed when this returns.
    func readCompleted(_ connection: Connection)
    /// The connection takes bytes again, or does not; see `Connection.isWritable`.
    func writabilityChanged(_ connection: Connection)
    /// The connection has ended.
    func closed(_ connection: Connection, _ reason: CloseReason)
}

extension ConnectionHandler {
    package func connected(_ connection: Connection) {}
    package func readCompleted(_ connection: Connection) {}
    package func writabilityChanged(_ connection: Connection) {}
}
