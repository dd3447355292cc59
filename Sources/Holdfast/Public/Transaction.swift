/// Compares, and one of two lists of operations applied at one revision (etcd's transaction).
public struct Transaction: Sendable, Hashable {
    /// A claim about one key. A key that does not exist has revisions, version and value of zero or empty.
    public struct Compare: Sendable, Hashable {
        /// What of the key is compared.
        public enum Target: Sendable, Hashable {
            /// The modification revision; 0 means that the key is absent.
            case revision(Revision)
            /// The create revision; 0 means that the key is absent.
            case createRevision(Revision)
            /// The version; 0 means that the key is absent.
            case version(UInt64)
            /// The value.
            case value([UInt8])
        }
        /// How the key's part stands to the given one.
        public enum Relation: String, Sendable, Hashable, CaseIterable {
            /// The same.
            case equal
            /// Not the same.
            case notEqual
            /// The key's is lower.
            case less
            /// The key's is higher.
            case greater
        }

        /// The key that is compared.
        public var key: Key
        /// How they must stand.
        public var relation: Relation
        /// What is compared, with the value to compare to.
        public var target: Target

        /// A claim that `key`'s `target` stands in `relation` to the one given.
        public init(_ key: Key, _ relation: Relation, _ target: Target) {
            self.key = key
            self.relation = relation
            self.target = target
        }
    }

    /// One step of a transaction.
    public enum Operation: Sendable, Hashable {
        /// Writes a value.
        case put(Key, [UInt8])
        /// Removes every key in scope.
        case delete(KeyScope)
        /// Reads the keys in scope as they are at that point of the transaction.
        case get(KeyScope, limit: Int)
    }

    /// All must hold for `then` to run.
    public var compare: [Compare]
    /// Runs when every compare holds.
    public var then: [Operation]
    /// Runs otherwise.
    public var otherwise: [Operation]

    /// A transaction; at most 512 KiB in all.
    public init(compare: [Compare] = [], then: [Operation], otherwise: [Operation] = []) {
        self.compare = compare
        self.then = then
        self.otherwise = otherwise
    }
}

/// What a transaction did.
public struct TransactionResult: Sendable, Hashable {
    /// The answer of one operation.
    public enum Answer: Sendable, Hashable {
        /// A put was made.
        case put
        /// So many keys were removed.
        case deleted(Int)
        /// Keys read.
        case keys(KeyList)
    }

    /// Whether every compare held, so that `then` ran.
    public var succeeded: Bool
    /// The revision of its writes, or the store's revision where it wrote nothing.
    public var revision: Revision
    /// One answer for each operation that ran, in order.
    public var answers: [Answer]

    /// A result as a test or a gateway builds it.
    public init(succeeded: Bool, revision: Revision, answers: [Answer]) {
        self.succeeded = succeeded
        self.revision = revision
        self.answers = answers
    }
}
