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
    /// The oldest revision still in the feed; never above `compactRevision`.
    package var feedFloor: UInt64 = 0
    /// Commands applied ever: the order of use of sessions, and the numbers of uploads.
    package var commands: UInt64 = 0

    package init() {}

    /// The state in the rows; that of an empty store if there is none.
    package init<Rows: RowReader & ~Copyable>(loading rows: borrowing Rows) throws(RowError) {
        self = try rows.value(AppliedState.self, at: RowKey.state) ?? AppliedState()
    }
}

extension AppliedState: Coded {
    package static var codedName: String { "applied state" }

    package func encode(into writer: inout ByteWriter) {
        for number in [index, term, revision, compactRevision, feedFloor, commands] { writer.fixed64(number) }
        writer.digest(feedHash)
    }

    package static func decode(from reader: inout ByteReader) throws(DecodeError) -> AppliedState {
        var state = AppliedState()
        state.index = try reader.fixed64()
        state.term = try reader.fixed64()
        state.revision = try reader.fixed64()
        state.compactRevision = try reader.fixed64()
        state.feedFloor = try reader.fixed64()
        state.commands = try reader.fixed64()
        state.feedHash = try reader.digest()
        guard state.feedFloor <= state.compactRevision, state.compactRevision <= state.revision else {
            throw .invalid(what: "applied state")
        }
        return state
    }
}
