internal import Synchronization

/// The places that have a node now: where a read is worth asking for.
final class MemberPlaces: Sendable {
    private let places = Mutex<[Int]>([])

    /// The places, in order.
    var all: [Int] { places.withLock { $0 } }

    /// Says which places have a node.
    func set(_ new: [Int]) { places.withLock { $0 = new } }
}
