internal import ReplicaCore
internal import Synchronization

/// Since when nobody has added to each open upload, as this node saw by its own monotonic clock.
///
/// Rows carry the time of day of whoever led, and clocks jump: one that jumps ahead would make every upload idle at once, one that
/// jumps back would keep the abandoned ones for ever.
final class IdleUploads: Sendable {
    private struct Seen {
        var upload: UploadInfo
        var since: UInt64
    }

    private let seen = Mutex<[UInt64: Seen]>([:])

    /// Takes a look at the open uploads; answers below which stamp all of them have been idle for long, nil where none has.
    ///
    /// - Parameter now: milliseconds of a monotonic clock.
    func look(at uploads: [UploadInfo], now: UInt64, idleMilliseconds: UInt64) -> UInt64? {
        seen.withLock { seen in
            var left: [UInt64: Seen] = [:]
            for upload in uploads {
                let known = seen[upload.number]
                left[upload.number] = known?.upload == upload ? known : Seen(upload: upload, since: now)
            }
            seen = left
            // The command names a stamp, not uploads: one that is in use protects those with a later stamp. It goes on in time.
            let used = uploads.filter { now - (left[$0.number]?.since ?? now) < idleMilliseconds }
            let limit = used.map(\.lastActive).min() ?? .max
            return uploads.map(\.lastActive).filter { $0 < limit }.max().map { $0 + 1 }
        }
    }

    /// This node does not lead: another one counts.
    func forget() { seen.withLock { $0 = [:] } }
}
