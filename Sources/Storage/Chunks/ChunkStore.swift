internal import Glibc
internal import Synchronization
package import ReplicaCore

/// The chunks of a node: one immutable file each, named by the SHA-256 of its raw bytes.
///
/// ```
/// chunks/incoming/NAME.N   being written; swept when the store opens
/// chunks/ab/cdef…          a chunk: the first two and the other 62 hex digits of its name
/// quarantine/NAME.N        a chunk whose bytes were found to be wrong; never deleted here
/// ```
/// Invariants:
/// 1. A file under its own name was whole and durable before it got that name: written, synced, renamed.
/// 2. `contains` is true only for a chunk whose directory entry is durable too. An entry between its rename and the sync
///    of its directory is in `unconfirmed`; if that sync fails it stays there, and the next write of the chunk begins anew.
/// 3. What is there when the store opens is durable: opening syncs every directory.
/// 4. Nothing is deleted but by `remove` and the sweep of our own temporary files. Names that are not ours are left alone.
///
/// Any thread may call any function, also for the same chunk: the last rename wins, and the bytes are the same.
package final class ChunkStore: Sendable {
    /// The directory of the chunks.
    package let path: String
    let quarantinePath: String
    let unconfirmed = Mutex<Set<ChunkID>>([])
    private let temporaryNumber = Atomic<UInt64>(0)

    static let incomingName = "incoming"
    /// How much is written before the kernel is told to start writing out.
    static let writeoutBytes = 1 << 20

    /// Makes the directories of an empty store, durably.
    package static func makeTree(at path: String) throws(FileError) {
        try FileTree.makeDirectory(path)
        try FileTree.makeDirectory("\(path)/\(incomingName)")
        let directories = (UInt8.min...UInt8.max).map { "\(path)/\(Hex.encode([$0]))" }
        for directory in directories { try FileTree.makeDirectory(directory) }
        for directory in directories { try FileTree.syncDirectory(directory) }
        try FileTree.syncDirectory(path)
    }

    /// Opens the chunks at `path`; corrupted ones go to `quarantine`. Sweeps what a crash left half-written.
    package init(path: String, quarantine: String) throws(ChunkError) {
        self.path = path
        self.quarantinePath = quarantine
        do {
            try FileTree.makeDirectory(quarantine)
            try ChunkStore.makeTree(at: path)  // Keeps (3): it syncs directories that are there already.
            for name in try FileTree.names(in: "\(path)/\(ChunkStore.incomingName)")
            where ChunkStore.isNumberedName(name) {
                try FileTree.remove("\(path)/\(ChunkStore.incomingName)/\(name)")
            }
        } catch {
            throw ChunkError(error, doing: "open the chunks")
        }
    }

    /// Whether a chunk is here, durably. Its bytes are not read: see `verify`.
    package func contains(_ id: ChunkID) throws(ChunkError) -> Bool {
        try size(id) != nil && !unconfirmed.withLock { $0.contains(id) }
    }

    /// The size of a chunk in bytes; nil if it is not here.
    package func size(_ id: ChunkID) throws(ChunkError) -> Int? {
        do {
            return try FileTree.size(path(of: id))
        } catch {
            throw ChunkError(error, doing: "look for a chunk")
        }
    }

    /// Removes a chunk and gives its space back: false if it was not here. A crash may bring it back whole. Who maps or
    /// reads it at that moment keeps its bytes.
    @discardableResult
    package func remove(_ id: ChunkID) throws(ChunkError) -> Bool {
        do {
            return try FileTree.remove(path(of: id))
        } catch {
            throw ChunkError(error, doing: "remove a chunk")
        }
    }

    /// Calls `body` with every chunk in the order of names until it returns false. Reads one of the 256 directories at a
    /// time: chunks that come and go meanwhile may or may not be seen.
    package func list(_ body: (ChunkID) -> Bool) throws(ChunkError) {
        for first in UInt8.min...UInt8.max {
            for id in try list(beginningWith: first) {
                guard body(id) else { return }
            }
        }
    }

    /// The chunks whose names begin with a byte, in their order.
    package func list(beginningWith first: UInt8) throws(ChunkError) -> [ChunkID] {
        let head = Hex.encode([first])
        do {
            return try FileTree.names(in: "\(path)/\(head)").compactMap { name in
                ChunkID(hex: head + name).flatMap { $0.hex == head + name ? $0 : nil }  // Keeps (4).
            }
        } catch {
            throw ChunkError(error, doing: "list the chunks")
        }
    }

    /// Where a chunk lies, or would.
    func path(of id: ChunkID) -> String {
        let name = id.hex
        return "\(directory(of: id))/\(name.dropFirst(2))"
    }

    func directory(of id: ChunkID) -> String { "\(path)/\(Hex.encode([UInt8(id.word0 >> 56)]))" }

    /// A path for a chunk being written that no other writer of this store uses.
    func temporaryPath(for id: ChunkID) -> String {
        let number = temporaryNumber.wrappingAdd(1, ordering: .relaxed).newValue
        return "\(path)/\(ChunkStore.incomingName)/\(id.hex).\(number)"
    }

    /// Whether a name is 64 lower-case hex digits, a dot and a number: the form of our temporary and quarantined files.
    static func isNumberedName(_ name: String) -> Bool {
        let parts = name.split(separator: ".", omittingEmptySubsequences: false)
        guard parts.count == 2, let id = ChunkID(hex: parts[0]), id.hex == parts[0], let number = UInt64(parts[1])
        else { return false }
        return String(number) == parts[1]
    }
}
