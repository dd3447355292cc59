/// Where things lie in a data directory.
package struct DataLayout: Sendable, Equatable {
    /// The data directory.
    package let root: String

    package init(_ root: String) {
        self.root = root.count > 1 && root.hasSuffix("/") ? String(root.dropLast()) : root
    }

    package var identity: String { root + "/identity" }
    package var lineage: String { root + "/lineage" }
    package var peers: String { root + "/peers" }
    package var address: String { root + "/address" }
    package var removed: String { root + "/removed" }
    /// Present while a recovery runs.
    package var recovering: String { root + "/recovering" }
    package var lock: String { root + "/lock" }
    package var reserve: String { root + "/reserve" }
    package var log: String { root + "/log" }
    /// The rows as formatting made them; `RowsPlace` says where they are now.
    package var rows: String { root + "/rows" }
    /// Says which directory holds the rows once a state snapshot took the place of `rows`.
    var rowsPointer: String { root + "/rows-current" }
    /// Checkpoints of the rows, kept for other nodes.
    package var snapshots: String { root + "/snapshots" }
    /// A state snapshot that is being fetched.
    package var staging: String { root + "/staging" }
    /// A fork of this node that a drill tries out; never there for longer.
    package var drill: String { root + "/drill" }
    package var chunks: String { root + "/chunks" }
    package var quarantine: String { root + "/quarantine" }
    /// Present while something of this node must be repaired.
    func repairMark(_ cause: RepairMark.Cause) -> String { root + "/repair-" + cause.rawValue }
    /// Present while `DataDirectory.format` runs.
    var formatting: String { root + "/formatting" }
}
