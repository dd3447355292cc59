/// The replicated state machine: committed entries in, one write batch out.
package struct Applier: Sendable {
    /// The row that every group ends with.
    package private(set) var state: AppliedState
    package private(set) var members: Members
    package private(set) var lineage: Lineage?

    /// Restores from rows; an empty store is one that was never written.
    package init<Rows: RowReader & ~Copyable>(loading rows: borrowing Rows) throws(RowError) {
        state = AppliedState()
        members = Members(voters: [])
        lineage = nil
    }

    /// Writes what a node needs before its first entry: the first configuration. Only into an empty store.
    package static func format(members: Members, into batch: inout WriteBatch) {
    }

    /// Applies entries in order. The caller writes `batch` before it applies the next group or shows `output`.
    /// After a throw nothing of the group holds: load anew from the rows.
    package mutating func apply<Rows: RowReader & ~Copyable, Hash: HashFunction>(
        _ entries: [CommittedEntry],
        reader: borrowing Rows,
        hash: Hash.Type,
        into batch: inout WriteBatch,
        output: inout ApplyOutput
    ) throws(RowError) {
    }
}

/// Where a store stands: written once per group.
package struct AppliedState: Sendable, Hashable {
    /// The last applied entry.
    package var index: UInt64 = 0
    package var term: UInt64 = 0
    /// Revisions made so far; the first write makes revision 1.
    package var revision: UInt64 = 0
    /// The chain hash after `revision`.
    package var feedHash: Digest = .zero
    /// Reads at lower revisions are refused.
    package var compactRevision: UInt64 = 0
    /// The oldest revision still in the feed.
    package var feedFloor: UInt64 = 0
    /// Commands applied ever: the order of use of sessions, and the numbers of uploads.
    package var commands: UInt64 = 0

    package init() {}
}
