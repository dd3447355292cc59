internal import Synchronization

/// Bytes that partly received frames of all accepted connections hold; one for a listener, used from both its loops.
final class PartialPayloadBudget: Sendable {
    private let held = Atomic<Int>(0)
    private let limit: Int

    init(limit: Int = TransportLimits.partialPayloadBytesTotalMax) {
        self.limit = limit
    }

    /// Adds (or takes away) bytes; false if the sum is then over the limit.
    func add(_ bytes: Int) -> Bool {
        held.add(bytes, ordering: .relaxed).newValue <= limit || bytes <= 0
    }
}
