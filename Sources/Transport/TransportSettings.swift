package import Logging
package import NIOCore

/// What listeners, dials and links of one process share; the defaults are `TransportLimits`.
package struct TransportSettings: Sendable {
    package var logger: Logger
    package var meter: TransportMeter
    /// From accept to hello, and from connect to welcome.
    package var handshakeDeadline = TimeAmount.milliseconds(TransportLimits.handshakeMilliseconds)
    package var connectDeadline = TimeAmount.milliseconds(TransportLimits.connectMilliseconds)
    /// Accepted connections of one listener.
    package var connectionsMax = TransportLimits.connectionsMax
    /// Accepted bulk connections of one listener.
    package var bulkConnectionsMax = TransportLimits.bulkConnectionsMax
    /// Accepted connections whose handshake is not over.
    package var handshakesMax = TransportLimits.handshakesMax
    /// Whether a listener may be reached from beyond this machine without encryption.
    package var allowPlaintext = false

    package init(logger: Logger, meter: TransportMeter = TransportMeter()) {
        self.logger = logger
        self.meter = meter
    }
}
