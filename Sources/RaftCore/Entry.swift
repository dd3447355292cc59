/// The name of a replica; never 0, never reused.
package typealias NodeID = UInt64

/// A Raft term (paper §5.1); 0 before the first election.
package typealias Term = UInt64

/// A position in the log; the first entry is at 1.
package typealias LogIndex = UInt64

/// The value of a `NodeID` that names nobody.
package let noNode: NodeID = 0

/// A term and an index: it names one entry of one log for ever (Log Matching, paper §5.3).
package struct EntryID: Sendable, Equatable {
    package var term: Term
    package var index: LogIndex

    package init(term: Term, index: LogIndex) {
        self.term = term
        self.index = index
    }
}

/// One entry of the replicated log; the payload is opaque to consensus unless `kind` says otherwise.
package struct Entry: Sendable, Equatable {
    /// What `data` holds.
    package enum Kind: UInt8, Sendable {
        /// A command of the layer above, or nothing (a new leader's first entry).
        case normal = 0
        /// A `ConfigurationChange` in its single form.
        case configurationChange = 1
        /// A `ConfigurationChange` in its general form; empty data leaves a joint configuration.
        case configurationChangeV2 = 2
        /// A configuration change that the leader refused when it was proposed; it does nothing.
        case voided = 3
    }

    package var kind: Kind
    package var term: Term
    package var index: LogIndex
    package var data: [UInt8]

    package init(kind: Kind = .normal, term: Term = 0, index: LogIndex = 0, data: [UInt8] = []) {
        self.kind = kind
        self.term = term
        self.index = index
        self.data = data
    }

    /// The term and index as one value.
    package var id: EntryID { EntryID(term: term, index: index) }

    /// Whether `data` is a `ConfigurationChange`.
    package var isConfigurationChange: Bool { kind == .configurationChange || kind == .configurationChangeV2 }

    /// Bytes that the limits count for this entry: its size as a tagged record (kind, term, index, payload).
    ///
    /// The layout is etcd/raft's, so that byte limits cut batches where it would cut them.
    package var encodedSize: Int {
        let head = (kind == .normal ? 0 : 2) + 2 + varintSize(term) + varintSize(index)
        return data.isEmpty ? head : head + 1 + varintSize(UInt64(data.count)) + data.count
    }
}

/// Bytes of `value` in base 128, 1 to 10.
func varintSize(_ value: UInt64) -> Int {
    (70 - (value | 1).leadingZeroBitCount) / 7
}

/// The part of a replica's state that must be durable before it answers (paper figure 2; `commit` may lag).
package struct HardState: Sendable, Equatable {
    package var term: Term
    /// The candidate that got this replica's vote in `term`, or 0.
    package var vote: NodeID
    package var commit: LogIndex

    package init(term: Term = 0, vote: NodeID = noNode, commit: LogIndex = 0) {
        self.term = term
        self.vote = vote
        self.commit = commit
    }

    /// Whether nothing was ever stored.
    package var isEmpty: Bool { term == 0 && vote == noNode && commit == 0 }
}
