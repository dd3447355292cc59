/// Simulated time in microseconds since the world began.
package typealias Instant = UInt64

/// What is due, by time; at equal times in the order of scheduling.
struct EventQueue<Happening> {
    private struct Due {
        var time: Instant
        var order: UInt64
        var slot: Int

        func comes(before other: Due) -> Bool { time != other.time ? time < other.time : order < other.order }
    }

    private var heap: [Due] = []
    private var slots: [Happening?] = []
    private var free: [Int] = []
    private var orders: UInt64 = 0

    /// Number of events to come.
    var count: Int { heap.count }

    /// When the next event is due.
    var nextTime: Instant? { heap.first?.time }

    /// Adds an event.
    mutating func add(_ happening: Happening, at time: Instant) {
        let slot: Int
        if let reused = free.popLast() {
            slot = reused
            slots[slot] = happening
        } else {
            slot = slots.count
            slots.append(happening)
        }
        orders += 1
        heap.append(Due(time: time, order: orders, slot: slot))
        var place = heap.count - 1
        while place > 0 {
            let parent = (place - 1) / 2
            guard heap[place].comes(before: heap[parent]) else { break }
            heap.swapAt(place, parent)
            place = parent
        }
    }

    /// Takes the next event and its time; nil if none is left.
    mutating func next() -> (time: Instant, happening: Happening)? {
        guard let first = heap.first else { return nil }
        let last = heap.removeLast()
        if !heap.isEmpty {
            heap[0] = last
            sink()
        }
        guard let happening = slots[first.slot].take() else { preconditionFailure("an event without content") }
        free.append(first.slot)
        return (first.time, happening)
    }

    private mutating func sink() {
        var place = 0
        while true {
            var least = place
            for child in [2 * place + 1, 2 * place + 2] where child < heap.count {
                if heap[child].comes(before: heap[least]) { least = child }
            }
            guard least != place else { return }
            heap.swapAt(place, least)
            place = least
        }
    }
}
