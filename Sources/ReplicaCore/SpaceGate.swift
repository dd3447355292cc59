/// Decides by the room on a node's disk whether the node takes what needs more of it, and what becomes of its reserve: a file that
/// takes up room only to give it back.
///
/// ```
///          free < lowBytes, or somebody waits for room
///  open ──────────────────────────────────────────────▶ full ──── free < lowBytes / 4, or somebody waits ───▶ reserve released
///   ▲                                                    ▲                                                          │
///   └── free ≥ highBytes, the reserve is held, ──────────┴───────────────── free ≥ highBytes + reserve: restored ───┘
///       nobody waits
/// ```
/// Invariants:
/// 1. While it is full, deletions and whatever else makes room go on: they find the low mark's room, and then the reserve's.
/// 2. It opens only with the reserve held: every time the disk fills up there is one to release.
/// 3. `lowBytes` lie between the mark that closes the gate and no room at all, and `highBytes` are more: it does not swing.
package struct SpaceGate: Sendable, Hashable {
    /// What a look at the disk found.
    package struct Look: Sendable, Hashable {
        /// Bytes that this process may still take.
        package var freeBytes: UInt64
        /// Whether the reserve's room is held.
        package var isReserveHeld: Bool
        /// Log or rows wait for room, or the log has no spare segment: what needs room would stop the node soon.
        package var isWaiting: Bool

        package init(freeBytes: UInt64, isReserveHeld: Bool, isWaiting: Bool) {
            self.freeBytes = freeBytes
            self.isReserveHeld = isReserveHeld
            self.isWaiting = isWaiting
        }
    }

    /// What is to be done with the reserve.
    package enum Order: Sendable, Hashable {
        case keep
        case release
        case restore
    }

    /// Bytes that the reserve takes up.
    package let reserveBytes: UInt64
    /// Less free is full.
    package var lowBytes: UInt64 { reserveBytes }
    /// As much free as this is not full any more.
    package var highBytes: UInt64 { reserveBytes + reserveBytes / 2 }
    /// Whether what needs room is refused.
    package private(set) var isFull = false

    package init(reserveBytes: UInt64) { self.reserveBytes = reserveBytes }

    /// Takes a look into account. After `restore` has succeeded, look again.
    package mutating func observe(_ look: Look) -> Order {
        if look.isWaiting || look.freeBytes < lowBytes { isFull = true }
        guard isFull else { return .keep }
        if look.isReserveHeld {
            if look.isWaiting || look.freeBytes < lowBytes / 4 { return .release }
            if look.freeBytes >= highBytes { isFull = false }  // Keeps (2).
            return .keep
        }
        return !look.isWaiting && look.freeBytes >= highBytes + reserveBytes ? .restore : .keep
    }

    /// Whether so many bytes may be taken of the free ones and leave what log and rows need.
    package func admits(_ bytes: UInt64, freeBytes: UInt64) -> Bool {
        !isFull && freeBytes >= bytes && freeBytes - bytes >= lowBytes
    }
}

extension Command {
    /// Whether carrying the command out needs room for as long as nobody deletes it: such commands are refused while the disk is
    /// full. All others make room, or write a few bytes that something makes room with.
    package var needsRoom: Bool {
        switch self {
        case .put, .uploadBegin, .uploadAdd, .site(.apply), .site(.stage): true
        case .transaction(let transaction):
            (transaction.then + transaction.otherwise).contains { operation in
                if case .put = operation { true } else { false }
            }
        default: false
        }
    }
}
