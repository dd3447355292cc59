/// The append messages on their way to one follower: a ring of (last index, bytes), bounded in both.
///
/// Invariants:
/// 1. Indexes rise from the oldest to the newest.
/// 2. `count <= messagesMax`; `bytes` may pass `bytesMax` by the newest message only.
package struct Inflights: Sendable {
    private struct Slot {
        var last: LogIndex
        var bytes: Int
    }

    private var slots: [Slot] = []
    private var start = 0
    /// Messages on their way.
    package private(set) var count = 0
    /// Bytes of entries on their way.
    package private(set) var bytes = 0
    private let messagesMax: Int
    private let bytesMax: Int

    /// `bytesMax` 0 stands for no limit.
    package init(messagesMax: Int, bytesMax: Int) {
        self.messagesMax = messagesMax
        self.bytesMax = bytesMax
    }

    /// Whether nothing more may be sent now.
    package var isFull: Bool { count == messagesMax || (bytesMax != 0 && bytes >= bytesMax) }

    /// Records a message whose last entry is at `last`.
    package mutating func add(last: LogIndex, bytes: Int) {
        precondition(!isFull, "an append message beyond the in-flight limits")
        if count == slots.count { grow() }
        slots[place(count)] = Slot(last: last, bytes: bytes)
        count += 1
        self.bytes += bytes
    }

    /// Forgets the messages whose last entry is at or below `index`.
    package mutating func free(through index: LogIndex) {
        while count > 0, slots[start].last <= index {
            bytes -= slots[start].bytes
            start = place(1)
            count -= 1
        }
        if count == 0 { start = 0 }
    }

    /// Forgets all.
    package mutating func reset() {
        start = 0
        count = 0
        bytes = 0
    }

    private func place(_ offset: Int) -> Int {
        let place = start + offset
        return place < slots.count ? place : place - slots.count
    }

    /// Doubles the ring, oldest first, up to the limit; most followers never need all of it.
    private mutating func grow() {
        var larger: [Slot] = []
        let size = min(max(slots.count * 2, 4), messagesMax)
        larger.reserveCapacity(size)
        for offset in 0..<count { larger.append(slots[place(offset)]) }
        larger += repeatElement(Slot(last: 0, bytes: 0), count: size - count)
        slots = larger
        start = 0
    }
}
