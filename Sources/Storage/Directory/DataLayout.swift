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
    package var lock: String { root + "/lock" }
    package var reserve: String { root + "/reserve" }
    package var log: String { root + "/log" }
    package var rows: String { root + "/rows" }
    package var chunks: String { root + "/chunks" }
    package var quarantine: String { root + "/quarantine" }
    /// Present while something of this node must be repaired.
    func repairMark(_ cause: RepairMark.Cause) -> String { root + "/repair-" + cause.rawValue }
    /// Present while `DataDirectory.format` runs.
    var formatting: String { root + "/formatting" }
}
