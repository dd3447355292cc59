internal import Synchronization
internal import ReplicaCore

/// Keeps chunks from being swept on this node until it is released or its last reference goes.
package final class ChunkPin: Sendable {
    private let number: UInt64
    private let pins: ReaderPins

    fileprivate init(number: UInt64, pins: ReaderPins) {
        self.number = number
        self.pins = pins
    }

    deinit { release() }

    /// Gives the chunks free; a second call does nothing.
    package func release() { pins.release(number) }
}

/// The chunks that local readers hold, whatever the rows say.
///
/// A reader registers its pin first and looks at the rows (or the file) after; the sweep looks at the rows and at the pins inside
/// the chunk's own lock, immediately before it unlinks. So a reader whose look found the version live keeps every chunk of it.
final class ReaderPins: Sendable {
    private struct State {
        var next: UInt64 = 0
        /// Ascending chunk IDs by pin.
        var pinned: [UInt64: [ChunkID]] = [:]
    }

    private let state = Mutex(State())

    /// Pins these chunks: 32 bytes each while they are held.
    func pin(_ ids: [ChunkID]) -> ChunkPin {
        let sorted = ids.sorted()
        let number = state.withLock { state in
            state.next += 1
            state.pinned[state.next] = sorted
            return state.next
        }
        return ChunkPin(number: number, pins: self)
    }

    func release(_ number: UInt64) {
        state.withLock { _ = $0.pinned.removeValue(forKey: number) }
    }

    /// Whether a reader holds the chunk.
    func contains(_ id: ChunkID) -> Bool {
        state.withLock { state in state.pinned.values.contains { ReaderPins.contains(id, in: $0) } }
    }

    private static func contains(_ id: ChunkID, in sorted: [ChunkID]) -> Bool {
        var low = 0
        var high = sorted.count
        while low < high {
            let middle = (low + high) / 2
            if sorted[middle] < id { low = middle + 1 } else { high = middle }
        }
        return low < sorted.count && sorted[low] == id
    }
}
