package import ReplicaCore
internal import Synchronization

/// What a push knows of its chunks: their ordinals, where their bytes can be read again, and which are at the node.
///
/// Invariants: (1) an ID has one ordinal, given in order of its first use; (2) the bytes of a file chunk count as done once,
/// when its ID is known to be at the node; (3) progress is reported one call at a time and never falls.
package final class PushLedger: Sendable {
    /// Where the bytes of a chunk are.
    package enum Place: Sendable {
        /// In a file of the plan.
        case file(index: Int, offset: UInt64, bytes: Int)
        /// In the manifest's bytes kept by the pusher: the part, or the root where it is nil.
        case manifest(part: Int?)
    }

    /// A chunk of the upload.
    package struct Chunk: Sendable {
        package var id: ChunkID
        package var place: Place
    }

    private struct State {
        var chunks: [Chunk] = []
        var ordinals: [ChunkID: Int] = [:]
        /// Bytes of file chunks whose ID is not yet known to be at the node, by ordinal.
        var pending: [Int: UInt64] = [:]
        var doneBytes: UInt64 = 0
        var newBytes: UInt64 = 0
    }

    private let state = Mutex(State())
    private let totalBytes: UInt64
    private let progress: (@Sendable (TransferProgress) -> Void)?

    package init(totalBytes: UInt64, progress: (@Sendable (TransferProgress) -> Void)?) {
        self.totalBytes = totalBytes
        self.progress = progress
        progress?(TransferProgress(doneBytes: 0, totalBytes: totalBytes))
    }

    /// How many chunks have ordinals.
    package var count: Int { state.withLock { $0.chunks.count } }
    /// Bytes of file chunks that this push had to send, each counted once.
    package var newBytes: UInt64 { state.withLock { $0.newBytes } }

    /// The chunk of an ordinal.
    package subscript(ordinal: Int) -> Chunk { state.withLock { $0.chunks[ordinal] } }

    /// Enters a use of `id`; returns its ordinal if this is the first one.
    package func enter(_ id: ChunkID, at place: Place) -> Int? {
        state.withLock { state in
            var bytes: UInt64 = 0
            if case .file(_, _, let count) = place { bytes = UInt64(count) }
            if let ordinal = state.ordinals[id] {
                if let pending = state.pending[ordinal] {
                    state.pending[ordinal] = pending + bytes
                } else {
                    report(bytes, &state)
                }
                return nil
            }
            let ordinal = state.chunks.count
            state.chunks.append(Chunk(id: id, place: place))
            state.ordinals[id] = ordinal  // Keeps (1).
            state.pending[ordinal] = bytes
            return ordinal
        }
    }

    /// The chunk of `ordinal` is at the node; `sent` if this push has sent it.
    package func known(_ ordinal: Int, sent: Bool) {
        state.withLock { state in
            // Keeps (2): a chunk that is sent again after a node was lost has no pending bytes any more.
            guard let bytes = state.pending.removeValue(forKey: ordinal) else { return }
            if sent, case .file(_, _, let count) = state.chunks[ordinal].place { state.newBytes += UInt64(count) }
            report(bytes, &state)
        }
    }

    /// Called under the lock: keeps (3).
    private func report(_ bytes: UInt64, _ state: inout State) {
        guard bytes > 0 else { return }
        state.doneBytes += bytes
        progress?(TransferProgress(doneBytes: state.doneBytes, totalBytes: totalBytes))
    }
}
