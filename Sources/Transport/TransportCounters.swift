internal import Synchronization

/// Sums of what one transport has done since it was made.
package struct TransportCounters: Sendable, Hashable {
    /// Frames and bytes of one purpose, headers included.
    package struct Traffic: Sendable, Hashable {
        package var framesIn: UInt64 = 0
        package var framesOut: UInt64 = 0
        package var bytesIn: UInt64 = 0
        package var bytesOut: UInt64 = 0
    }

    package var consensus = Traffic()
    package var request = Traffic()
    package var bulk = Traffic()
    /// Connections accepted by a listener, handshake done or not.
    package var accepted: UInt64 = 0
    /// Hellos answered with a refusal, and connections cut because too many were in handshake.
    package var refused: UInt64 = 0
    /// Handshakes that ended without an answer: deadline, malformed, or cut off.
    package var handshakesFailed: UInt64 = 0
    /// Connections ended because their bytes were not frames.
    package var badFrames: UInt64 = 0
    /// Successful dials of a link after its first.
    package var reconnects: UInt64 = 0
    /// Sends refused because a queue was full.
    package var overloaded: UInt64 = 0
    /// Answers that nobody waited for any more.
    package var lateAnswers: UInt64 = 0
}

/// Where a transport's counters are kept: added to from its loops, read from any thread. Frames are added once per
/// read burst and once per flush, not one by one.
package final class TransportMeter: Sendable {
    private struct Lane: ~Copyable, Sendable {
        let framesIn = Atomic<UInt64>(0)
        let framesOut = Atomic<UInt64>(0)
        let bytesIn = Atomic<UInt64>(0)
        let bytesOut = Atomic<UInt64>(0)

        var traffic: TransportCounters.Traffic {
            TransportCounters.Traffic(
                framesIn: framesIn.load(ordering: .relaxed), framesOut: framesOut.load(ordering: .relaxed),
                bytesIn: bytesIn.load(ordering: .relaxed), bytesOut: bytesOut.load(ordering: .relaxed))
        }

        func received(_ frames: UInt64, _ bytes: UInt64) {
            framesIn.add(frames, ordering: .relaxed)
            bytesIn.add(bytes, ordering: .relaxed)
        }

        func sent(_ frames: UInt64, _ bytes: UInt64) {
            framesOut.add(frames, ordering: .relaxed)
            bytesOut.add(bytes, ordering: .relaxed)
        }
    }

    private let consensus = Lane()
    private let request = Lane()
    private let bulk = Lane()
    private let accepted = Atomic<UInt64>(0)
    private let refused = Atomic<UInt64>(0)
    private let handshakesFailed = Atomic<UInt64>(0)
    private let badFrames = Atomic<UInt64>(0)
    private let reconnects = Atomic<UInt64>(0)
    private let overloaded = Atomic<UInt64>(0)
    private let lateAnswers = Atomic<UInt64>(0)

    package init() {}

    /// The sums now; each is exact, together they are of about one moment.
    package var counters: TransportCounters {
        TransportCounters(
            consensus: consensus.traffic, request: request.traffic, bulk: bulk.traffic,
            accepted: accepted.load(ordering: .relaxed), refused: refused.load(ordering: .relaxed),
            handshakesFailed: handshakesFailed.load(ordering: .relaxed),
            badFrames: badFrames.load(ordering: .relaxed), reconnects: reconnects.load(ordering: .relaxed),
            overloaded: overloaded.load(ordering: .relaxed), lateAnswers: lateAnswers.load(ordering: .relaxed))
    }

    func addReceived(_ purpose: Purpose, frames: Int, bytes: Int) {
        switch purpose {
        case .consensus: consensus.received(UInt64(frames), UInt64(bytes))
        case .request: request.received(UInt64(frames), UInt64(bytes))
        case .bulk: bulk.received(UInt64(frames), UInt64(bytes))
        }
    }

    func addSent(_ purpose: Purpose, frames: Int, bytes: Int) {
        switch purpose {
        case .consensus: consensus.sent(UInt64(frames), UInt64(bytes))
        case .request: request.sent(UInt64(frames), UInt64(bytes))
        case .bulk: bulk.sent(UInt64(frames), UInt64(bytes))
        }
    }

    func addAccepted() { accepted.add(1, ordering: .relaxed) }
    func addRefused() { refused.add(1, ordering: .relaxed) }
    func addHandshakeFailed() { handshakesFailed.add(1, ordering: .relaxed) }
    func addBadFrame() { badFrames.add(1, ordering: .relaxed) }
    func addReconnect() { reconnects.add(1, ordering: .relaxed) }
    func addOverloaded() { overloaded.add(1, ordering: .relaxed) }
    func addLateAnswer() { lateAnswers.add(1, ordering: .relaxed) }
}
