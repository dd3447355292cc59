/// What a command came to.
package enum Outcome: Sendable, Hashable {
    /// Done, with the store's revision after it: a put, a compaction, the opening or closing of a session, a lineage, a completeness.
    case done(revision: UInt64)
    /// Keys deleted, with the store's revision after it.
    case deleted(revision: UInt64, count: UInt64)
    case transaction(TransactionResult)
    /// An upload after it was begun or added to.
    case upload(UploadInfo)
    /// Uploads that were aborted or have expired.
    case uploadsClosed(count: UInt64)
    /// The version published, or retired.
    case model(ModelVersion)
    case refused(Refusal)
}

/// What a transaction came to.
package struct TransactionResult: Sendable, Hashable {
    /// The store's revision after it.
    package var revision: UInt64
    /// Every compare held, and `then` was done; else `otherwise`.
    package var succeeded: Bool
    /// One for each operation of the list that was done.
    package var results: [OperationResult]
    /// This is the kept answer of a command done before, and what it read was too large to be kept: `results` is empty.
    package var resultsDropped: Bool

    package init(revision: UInt64, succeeded: Bool, results: [OperationResult], resultsDropped: Bool = false) {
        self.revision = revision
        self.succeeded = succeeded
        self.results = results
        self.resultsDropped = resultsDropped
    }
}

/// What one operation of a transaction came to.
package enum OperationResult: Sendable, Hashable {
    case put
    case deleted(count: UInt64)
    case range(RangeResult)
}

/// One command's outcome, with where it stood in the log.
package struct CommandOutcome: Sendable, Hashable {
    package var index: UInt64
    /// The command's place in its entry, from 0.
    package var ordinal: UInt32
    package var session: UInt64
    package var sequence: UInt64
    /// The answer was kept from before: nothing was applied now.
    package var isRepeated: Bool
    package var outcome: Outcome
}
