internal import RaftCore
internal import ReplicaCore
internal import Synchronization

/// Tells the other members what this node took from clients, a few chunks at a time, so that they fetch while the push goes on.
///
/// An announcement leaves with every `ChunkLimits.announceEvery` chunks, and when no chunk is being taken any more. A lost one
/// costs time, not safety: what it told of is found when the upload is published.
final class Announcer: Sendable {
    private struct State {
        var taking = 0
        var stored: [UploadID: [UInt64]] = [:]
        var count = 0
    }

    private let commands: any CommandPlane
    private let peers: any PeerPlane
    private let state = Mutex(State())

    init(commands: any CommandPlane, peers: any PeerPlane) {
        self.commands = commands
        self.peers = peers
    }

    /// A chunk begins to be taken.
    func begin() { state.withLock { $0.taking += 1 } }

    /// A chunk was taken (`ordinal`), or could not be (nil).
    func end(_ upload: UploadID, ordinal: UInt64?) {
        let due = state.withLock { state -> [UploadID: [UInt64]] in
            state.taking -= 1
            if let ordinal {
                state.stored[upload, default: []].append(ordinal)
                state.count += 1
            }
            guard state.count > 0, state.count >= ChunkLimits.announceEvery || state.taking == 0 else { return [:] }
            let due = state.stored
            state.stored.removeAll(keepingCapacity: true)
            state.count = 0
            return due
        }
        guard !due.isEmpty else { return }
        let others = commands.members.everyone.filter { $0 != commands.node }
        for (upload, ordinals) in due.sorted(by: { $0.key < $1.key }) {
            let message = ChunkRequest.announce(upload, ranges: Announcer.ranges(ordinals), holder: commands.node)
            for other in others { peers.tell(other, message) }
        }
    }

    /// The ordinals as ranges, ascending.
    static func ranges(_ ordinals: [UInt64]) -> [Range<UInt64>] {
        var ranges: [Range<UInt64>] = []
        for ordinal in ordinals.sorted() {
            if let last = ranges.last, last.contains(ordinal) { continue }
            if let last = ranges.last, last.upperBound == ordinal {
                ranges[ranges.count - 1] = last.lowerBound..<(ordinal + 1)
            } else {
                ranges.append(ordinal..<(ordinal + 1))
            }
        }
        return ranges
    }
}
