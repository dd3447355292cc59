internal import CHoldfast
internal import Glibc
internal import Synchronization
package import ReplicaCore

/// The data directory of one node, opened and locked by this process.
///
/// Invariants:
/// 1. The lock is held for the life of this value: two processes never have one directory open.
/// 2. `identity` never changes, and its format version only rises; `lineage` is recorded once; a pin never changes.
/// 3. A directory that is not whole, not ours, or of another version is refused and not touched.
///
/// Any thread may call any function. The stores inside (`layout`) are opened by their own types.
package final class DataDirectory: Sendable {
    package let layout: DataLayout
    package let identity: NodeIdentity
    /// Where a node that joined listens, `HOST:PORT`, if its formatting said so; the first members' addresses are in `identity`.
    package let address: String?
    private let lock: OpenLock
    /// Rises when the directory is no longer locked.
    package var closing: Closing { lock.closing }
    private let pins: PeerPins
    private let reserve: SpaceReserve
    private let marks: RepairMarks
    private let recordedLineage: Mutex<Lineage?>
    private let sealedVersion: Mutex<Int>
    /// Bytes that the reserve takes up.
    package let reserveBytes: Int

    /// Opens and locks a formatted directory.
    ///
    /// - Parameters:
    ///   - reserveBytes: size of the reserve, nil for `reserveBytes(_:on:)`; one that is missing is allocated if there is room.
    ///   - formatVersionMax: the newest format version that the caller takes.
    ///   - recovers: also opens a directory whose recovery was interrupted.
    /// - Throws: `notFormatted`, `halfFormatted`, `notEmpty`, `foreign`, `locked`, `version`, `corrupted`,
    ///   `inputOutput`, each with a sentence that says what to do.
    package static func open(
        at path: String, reserveBytes: Int? = nil,
        formatVersionMax: Int = NodeIdentity.formatVersions.upperBound, recovers: Bool = false
    ) throws(DirectoryError) -> DataDirectory {
        let layout = DataLayout(path)
        try DataDirectory.requireFormatted(layout)
        let versions = NodeIdentity.formatVersions.lowerBound...formatVersionMax
        _ = try readIdentity(layout, versions)  // Before the lock, which would touch what is not ours. Keeps (3).
        let lock = try OpenLock(layout.lock)
        try refuseRemoved(layout)
        if !recovers { try refuseRecovering(layout) }
        // Again: whoever held the lock may have sealed it meanwhile.
        let (identity, version) = try readIdentity(layout, versions)
        return try DataDirectory(layout, identity, version, lock, reserveBytes)
    }

    private init(
        _ layout: DataLayout, _ identity: NodeIdentity, _ version: Int, _ lock: OpenLock, _ reserveBytes: Int?
    ) throws(DirectoryError) {
        self.layout = layout
        self.lock = lock
        self.identity = identity
        self.sealedVersion = Mutex(version)
        self.pins = try PeerPins(path: layout.peers)
        self.marks = try RepairMarks(layout)
        self.recordedLineage = Mutex(try DataDirectory.readLineage(layout))
        self.address = try DataDirectory.readAddress(layout)
        do throws(FileError) {
            // Left by a crash between the last two steps of formatting: the identity is there, so it is complete.
            try FileTree.remove(layout.formatting)
            self.reserveBytes = try DataDirectory.reserveBytes(reserveBytes, on: layout.root)
            self.reserve = try SpaceReserve(path: layout.reserve, bytes: self.reserveBytes)
            // A node must start on a full disk, or nothing could be deleted there: what it needs to start is not taken from it.
            if try FileTree.space(of: layout.root).free >= 2 * UInt64(self.reserveBytes) {
                do throws(FileError) {
                    try reserve.restore()
                } catch {
                    guard error.isNoSpace else { throw error }
                }
            }
        } catch {
            throw DirectoryError(error, doing: "open the data directory \(layout.root)")
        }
    }

    /// The size of a reserve where none is asked for: two write buffers of the rows, or a new segment of the log; on a
    /// small disk a sixteenth of it.
    static func reserveBytes(_ asked: Int?, on path: String) throws(FileError) -> Int {
        if let asked { return asked }
        return Int(min(64 << 20, try FileTree.space(of: path).total / 16))
    }

    /// The format version of the directory: the feature version that a build must know to open it.
    package var formatVersion: Int { sealedVersion.withLock { $0 } }

    /// Raises the format version, durably: from then on builds that do not know `version` refuse the directory before they touch it.
    /// There is no way back. A version that the directory already has changes nothing. Blocks on the disk.
    package func seal(_ version: Int) throws(DirectoryError) {
        precondition(NodeIdentity.formatVersions.contains(version), "sealed at a version that this build does not know")
        let failure = sealedVersion.withLock { (sealed) -> DirectoryError? in
            guard version > sealed else { return nil }
            do throws(FileError) {
                try FileTree.replace(layout.identity, with: identity.text(version: version).bytes)
            } catch {
                return DirectoryError(error, doing: "raise the format version of \(layout.root) to \(version)")
            }
            sealed = version
            return nil
        }
        if let failure { throw failure }
    }

    /// The lineage of the cluster; nil until `recordLineage`.
    package var lineage: Lineage? { recordedLineage.withLock { $0 } }

    /// Records the lineage once it is known, durably. The same one again is fine.
    ///
    /// - Throws: `lineageDiffers` if another one is recorded: this disk belongs to another history.
    package func recordLineage(_ lineage: Lineage) throws(DirectoryError) {
        let failure = recordedLineage.withLock { (recorded) -> DirectoryError? in
            if let recorded {
                if recorded == lineage { return nil }
                return DirectoryError(
                    .lineageDiffers,
                    "\(layout.root) belongs to lineage \(recorded.hex) and met lineage \(lineage.hex); "
                        + "check that the members and the data directory are of one cluster")
            }
            do throws(FileError) {
                try FileTree.replace(layout.lineage, with: DataDirectory.text(lineage).bytes)
            } catch {
                return DirectoryError(error, doing: "record the lineage")
            }
            recorded = lineage
            return nil
        }
        if let failure { throw failure }
    }

    /// Compares the incarnation that a node states with the one pinned for its ID, or pins it durably. Blocks on the
    /// disk when the pin is new. A node never accepts another incarnation under its own ID.
    package func pin(node: UInt64, incarnation: Incarnation) throws(DirectoryError) -> PinVerdict {
        if node == identity.node {
            return incarnation == identity.incarnation ? .same : .differs(known: identity.incarnation)
        }
        return try pins.pin(node: node, incarnation: incarnation)
    }

    /// The incarnation pinned for a node; nil if it was never heard of.
    package func pinnedIncarnation(of node: UInt64) -> Incarnation? {
        node == identity.node ? identity.incarnation : pins.pinned(node)
    }

    /// What of this node must be repaired before it is relied on; empty as a rule.
    package var repairMarks: [RepairMark] { marks.current }

    /// Records, durably, that something must be repaired. A mark of the same cause that is there already stays.
    package func record(_ mark: RepairMark) throws(DirectoryError) { try marks.record(mark) }

    /// Removes the marks of causes that were repaired, durably.
    package func clearRepairMarks(_ causes: [RepairMark.Cause]) throws(DirectoryError) { try marks.clear(causes) }

    /// Whether the space of the reserve is held.
    package var isReserveHeld: Bool { reserve.isHeld }

    /// Gives the space of the reserve back when the disk is full: false if that was done before.
    package func releaseReserve() throws(DirectoryError) -> Bool {
        do {
            return try reserve.release()
        } catch {
            throw DirectoryError(error, doing: "release the reserve")
        }
    }

    /// Takes the space of the reserve again; throws `noSpace` while the disk is full.
    package func restoreReserve() throws(DirectoryError) {
        do {
            try reserve.restore()
        } catch {
            throw DirectoryError(error, doing: "take the reserve")
        }
    }

    /// Bytes free for this process on the file system of the directory, and all bytes of it.
    package func space() throws(DirectoryError) -> (free: UInt64, total: UInt64) {
        do {
            return try FileTree.space(of: layout.root)
        } catch {
            throw DirectoryError(error, doing: "measure the disk")
        }
    }
}

extension DataDirectory {
    private static let lineageKind = "lineage"

    static func text(_ lineage: Lineage) -> SealedText {
        SealedText(kind: lineageKind, version: 1, fields: [("lineage", lineage.hex)])
    }

    /// The identity of a directory and its format version; changes nothing.
    static func readIdentity(
        _ layout: DataLayout, _ versions: ClosedRange<Int> = NodeIdentity.formatVersions
    ) throws(DirectoryError) -> (NodeIdentity, version: Int) {
        let text = try SealedText.read(layout.identity, kind: NodeIdentity.kind, versions: versions)
        guard let identity = NodeIdentity(text) else {
            throw DirectoryError(
                .corrupted, "\(layout.identity) is damaged; restore it, or format this node anew under a new ID")
        }
        return (identity, text.version)
    }

    private static func readLineage(_ layout: DataLayout) throws(DirectoryError) -> Lineage? {
        do {
            guard try FileTree.size(layout.lineage) != nil else { return nil }
        } catch {
            throw DirectoryError(error, doing: "read \(layout.lineage)")
        }
        let text = try SealedText.read(layout.lineage, kind: lineageKind, version: 1)
        guard let value = text.values("lineage"), let lineage = Lineage(hex: value[0]) else {
            throw DirectoryError(.corrupted, "\(layout.lineage) is damaged; restore it, or format this node anew")
        }
        return lineage
    }

    /// Tells the kinds of directories that cannot be opened apart. Changes nothing.
    static func requireFormatted(_ layout: DataLayout) throws(DirectoryError) {
        guard FileTree.isDirectory(layout.root) else {
            throw DirectoryError(
                .notFormatted,
                "there is no data directory at \(layout.root); run: holdfast node format --data "
                    + layout.root)
        }
        let names: [String]
        do {
            names = try FileTree.names(in: layout.root).filter { $0 != "lost+found" }
        } catch {
            throw DirectoryError(error, doing: "open the data directory \(layout.root)")
        }
        if names.contains("identity") { return }
        if names.contains("formatting") {
            throw DirectoryError(
                .halfFormatted,
                "formatting of \(layout.root) was interrupted; remove what is in it and run: "
                    + "holdfast node format --data \(layout.root)")
        }
        if names.isEmpty {
            throw DirectoryError(
                .notFormatted, "\(layout.root) is empty; run: holdfast node format --data \(layout.root)")
        }
        throw DirectoryError(
            .notEmpty,
            "\(layout.root) is not a Holdfast data directory (it holds \(names[0]) and no identity); "
                + "give the path of a formatted one; nothing was changed")
    }
}

/// The lock file of a data directory, locked.
final class OpenLock: Sendable {
    let closing = Closing()
    private let file: OpenFile

    init(_ path: String) throws(DirectoryError) {
        let isHeldElsewhere: Bool
        let holder: Int32?
        do throws(FileError) {
            file = try OpenFile(path, O_RDWR | O_CREAT)
            let number = chf_lock_exclusive(file.descriptor)
            isHeldElsewhere = number == EWOULDBLOCK
            guard number == 0 || isHeldElsewhere else { throw FileError(action: "lock", path: path, number: number) }
            holder = isHeldElsewhere ? try OpenLock.holder(file) : nil
        } catch {
            throw DirectoryError(error, doing: "lock the data directory")
        }
        if isHeldElsewhere { throw OpenLock.refusal(holder, path) }
        // Only a hint for whoever finds it locked: neither synced, nor removed, nor worth failing on a full disk.
        _ = ftruncate(file.descriptor, 0)
        _ = try? file.write(Array("\(getpid())\n".utf8), at: 0)
    }

    deinit {
        // Here, since the file is closed only after this.
        chf_unlock(file.descriptor)
        closing.done()
    }

    private static func holder(_ file: borrowing OpenFile) throws(FileError) -> Int32? {
        Int32(String(decoding: try file.read(count: 16).prefix { $0 != UInt8(ascii: "\n") }, as: UTF8.self))
    }

    private static func refusal(_ holder: Int32?, _ path: String) -> DirectoryError {
        let name = holder.map { "process \($0)" } ?? "another process"
        return DirectoryError(
            .locked(holder), "the data directory \(FileTree.parent(of: path)) is in use by \(name); stop it first")
    }
}
