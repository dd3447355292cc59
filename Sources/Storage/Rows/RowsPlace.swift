/// Which directory of a data directory holds the rows.
///
/// Formatting makes `rows`. A state snapshot that is installed lies in a directory of its own, `rows-1`, `rows-2`, …, and takes over
/// when the pointer file names it:
///
/// ```
///   fetched and verified ─▶ rows-N complete and durable ─▶ rows-current = rows-N, durable ─▶ the old rows are removed
///                           (a crash: removed at the start)  (a crash: rows-N is in force)
/// ```
///
/// Invariants:
/// 1. Without a pointer `rows` is in force, with one the directory that it names. The pointer is replaced in one step.
/// 2. A directory in force is never removed, and none is put in force before all of it is durable.
/// 3. Numbers grow: a directory that is in force, or still open, is never written to by the next snapshot.
package struct RowsPlace: Sendable {
    private static let kind = "rows"
    private static let version = 1

    private let layout: DataLayout

    package init(_ layout: DataLayout) { self.layout = layout }

    /// The directory in force.
    package func current() throws(DirectoryError) -> String { layout.root + "/" + (try currentName()) }

    /// A directory for the rows to come, which does not exist. Keeps (3).
    package func next() throws(DirectoryError) -> String {
        let used = try numbered().map(\.number).max() ?? 0
        return layout.root + "/rows-\(max(used, Self.number(of: try currentName()) ?? 0) + 1)"
    }

    /// Puts a directory that `next()` named in force. Everything in it must be durable, its own entry too. Keeps (1) and (2).
    package func adopt(_ path: String) throws(DirectoryError) {
        let name = String(path.dropFirst(layout.root.count + 1))
        precondition(Self.number(of: name) != nil && FileTree.isDirectory(path), "\(path) is no directory of rows")
        do {
            try FileTree.replace(
                layout.rowsPointer,
                with: SealedText(kind: Self.kind, version: Self.version, fields: [("directory", name)]).bytes)
        } catch {
            throw DirectoryError(error, doing: "put the rows in \(path) in force")
        }
    }

    /// Removes rows that are not in force: those before the last snapshot, and those of one that was never put in force. To be called
    /// while none of them is open.
    package func removeOthers() throws(DirectoryError) {
        let current = try currentName()
        let others = try numbered().map(\.name) + ["rows"]
        do {
            for name in others where name != current { try FileTree.removeTree(layout.root + "/" + name) }
        } catch {
            throw DirectoryError(error, doing: "remove old rows")
        }
    }

    /// Moves rows that are not in force to `quarantine/rows.N`, since they were found to be bad. To be called while none of them is open.
    package func setOthersAside(below quarantine: String) throws(DirectoryError) {
        let current = try currentName()
        do {
            try FileTree.makeDirectories(quarantine)
            for name in try numbered().map(\.name) + ["rows"] where name != current {
                guard FileTree.isDirectory(layout.root + "/" + name) else { continue }
                var number = 0
                while try !FileTree.renameExclusive(layout.root + "/" + name, to: "\(quarantine)/rows.\(number)") {
                    number += 1
                }
            }
            try FileTree.syncDirectory(quarantine)
            try FileTree.syncDirectory(layout.root)
        } catch let error as DirectoryError {
            throw error
        } catch {
            throw DirectoryError(.inputOutput, "rows that are not in force could not be put aside: \(error)")
        }
    }

    /// Moves a pointer that cannot be read to `quarantine/rows-current.N`. The rows that it named are not in force any more.
    package func setDamagedPointerAside(below quarantine: String) throws(DirectoryError) {
        do throws(DirectoryError) {
            _ = try currentName()
            return
        } catch {
            guard error.cause == .corrupted || error.cause == .foreign else { throw error }
        }
        do {
            try FileTree.makeDirectories(quarantine)
            var number = 0
            while try !FileTree.renameExclusive(layout.rowsPointer, to: "\(quarantine)/rows-current.\(number)") {
                number += 1
            }
            try FileTree.syncDirectory(quarantine)
            try FileTree.syncDirectory(layout.root)
        } catch {
            throw DirectoryError(error, doing: "put a damaged \(layout.rowsPointer) aside")
        }
    }

    private func currentName() throws(DirectoryError) -> String {
        do {
            guard try FileTree.size(layout.rowsPointer) != nil else { return "rows" }
        } catch {
            throw DirectoryError(error, doing: "read \(layout.rowsPointer)")
        }
        let text = try SealedText.read(layout.rowsPointer, kind: Self.kind, version: Self.version)
        guard let name = text.values("directory")?.first, Self.number(of: name) != nil else {
            throw DirectoryError(.corrupted, "\(layout.rowsPointer) is damaged; rebuild this node from its peers")
        }
        return name
    }

    private func numbered() throws(DirectoryError) -> [(name: String, number: UInt64)] {
        do {
            return try FileTree.names(in: layout.root).compactMap { name in Self.number(of: name).map { (name, $0) } }
        } catch {
            throw DirectoryError(error, doing: "look for rows")
        }
    }

    /// The number in `rows-N`; nil for any other name.
    private static func number(of name: String) -> UInt64? {
        guard name.hasPrefix("rows-"), let number = UInt64(name.dropFirst(5)), name == "rows-\(number)" else {
            return nil
        }
        return number
    }
}
