internal import Synchronization

/// A durable note in the data directory that something of this node's state must not be relied on until it is repaired.
///
/// It outlives restarts; nothing but the repair that it asks for removes it.
package struct RepairMark: Sendable, Hashable {
    /// What must be repaired.
    package enum Cause: String, Sendable, Hashable, CaseIterable {
        /// The rows differ from those of a quorum: they are served to nobody until they are fetched anew.
        case feed
        /// The rows on disk cannot be read: as `feed`.
        case rows
        /// The log was damaged and begun anew: this node has no vote until it holds everything that may have counted on it.
        case log
    }

    package var cause: Cause
    /// What was found, one line.
    package var detail: String
    /// When, in milliseconds since 1970; 0 if that cannot be read any more.
    package var milliseconds: UInt64

    package init(_ cause: Cause, _ detail: String, milliseconds: UInt64) {
        self.cause = cause
        self.detail = String(detail.map { $0.isNewline ? " " : $0 })
        self.milliseconds = milliseconds
    }
}

/// The marks of a data directory: the file `repair-CAUSE` for each.
///
/// Invariants: 1. A mark that `current` shows is durable. 2. The file's name alone is the mark: one whose text is damaged counts.
final class RepairMarks: Sendable {
    private static let kind = "repair"
    private static let version = 1

    private let layout: DataLayout
    private let marks: Mutex<[RepairMark]>

    /// Reads the marks of a directory.
    init(_ layout: DataLayout) throws(DirectoryError) {
        self.layout = layout
        var found: [RepairMark] = []
        for cause in RepairMark.Cause.allCases {
            if let mark = try Self.read(layout.repairMark(cause), cause) { found.append(mark) }
        }
        marks = Mutex(found)
    }

    var current: [RepairMark] { marks.withLock { $0 } }

    /// Records a mark durably. One of the same cause that is there already stays.
    func record(_ mark: RepairMark) throws(DirectoryError) {
        let failure = marks.withLock { marks -> DirectoryError? in
            guard !marks.contains(where: { $0.cause == mark.cause }) else { return nil }
            do throws(FileError) {
                try FileTree.replace(layout.repairMark(mark.cause), with: Self.text(mark).bytes)
            } catch {
                return DirectoryError(error, doing: "record that this node must be repaired")
            }
            marks.append(mark)
            return nil
        }
        if let failure { throw failure }
    }

    /// Removes the marks of these causes, durably.
    func clear(_ causes: [RepairMark.Cause]) throws(DirectoryError) {
        let failure = marks.withLock { marks -> DirectoryError? in
            do throws(FileError) {
                for cause in causes { try FileTree.remove(layout.repairMark(cause)) }
                try FileTree.syncDirectory(layout.root)
            } catch {
                return DirectoryError(error, doing: "remove the mark of a repair")
            }
            marks.removeAll { causes.contains($0.cause) }
            return nil
        }
        if let failure { throw failure }
    }

    private static func text(_ mark: RepairMark) -> SealedText {
        SealedText(
            kind: kind, version: version,
            fields: [("detail", mark.detail), ("milliseconds", String(mark.milliseconds))])
    }

    /// Keeps (2): a bit flip in a mark must neither hide it nor keep the node from starting.
    private static func read(_ path: String, _ cause: RepairMark.Cause) throws(DirectoryError) -> RepairMark? {
        let bytes: [UInt8]?
        do {
            bytes = try FileTree.read(path, bytesMax: SealedText.bytesMax)
        } catch {
            throw DirectoryError(error, doing: "read \(path)")
        }
        guard let bytes else { return nil }
        guard let text = try? SealedText(bytes, kind: kind, version: version),
            let values = text.values("detail", "milliseconds"), let milliseconds = UInt64(values[1])
        else { return RepairMark(cause, "the note of what was found is damaged", milliseconds: 0) }
        return RepairMark(cause, values[0], milliseconds: milliseconds)
    }
}
