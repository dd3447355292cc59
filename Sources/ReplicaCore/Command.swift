/// One command as the log carries it, with who asked for it.
package struct Envelope: Sendable, Hashable {
    /// The client session; 0 for none (the node's own commands, which repeat harmlessly).
    package var session: UInt64
    /// The command's number in its session, from 1.
    package var sequence: UInt64
    /// The lowest number whose answer the client has not seen: answers below it are dropped.
    package var lowestUnanswered: UInt64
    /// Milliseconds since 1970, stamped by the leader.
    package var time: UInt64
    package var command: Command

    package init(
        session: UInt64 = 0, sequence: UInt64 = 0, lowestUnanswered: UInt64 = 0, time: UInt64, command: Command
    ) {
        self.session = session
        self.sequence = sequence
        self.lowestUnanswered = lowestUnanswered
        self.time = time
        self.command = command
    }
}

/// Everything that can change replicated state.
package enum Command: Sendable, Hashable {
    /// Sets one key. `lease` must be 0 until leases exist.
    case put(key: Bytes, value: Bytes, lease: UInt64)
    /// Deletes the keys meant.
    case delete(KeySelector)
    case transaction(Transaction)
    /// Gives up history before `revision`.
    case compact(revision: UInt64)
    /// Opens the session named in the envelope; opening it again is harmless.
    case openSession
    /// Closes the session named in the envelope.
    case closeSession
    /// Names the cluster's history, once.
    case lineage(Lineage)
    case uploadBegin(UploadID, name: String, version: String?)
    /// Names the chunks at ordinals `first`…
    case uploadAdd(UploadID, first: UInt64, ids: [ChunkID])
    case uploadAbort(UploadID)
    /// Aborts the uploads that nothing was added to since `before` (milliseconds since 1970).
    case uploadExpire(before: UInt64)
    case publish(Publication)
    case retire(name: String, version: String)
    /// A node holds every byte that revisions through `through` name. `rewound` is the log index of the last rewind that it knew when it
    /// looked (0: none): what was said of a history that is undone since is no word on the one that took its place.
    case complete(node: UInt64, incarnation: Incarnation, through: UInt64, rewound: UInt64 = 0)
    /// Every member knows this feature version: it may be used from here on. A lower one than is active changes nothing.
    case raiseFeatures(to: UInt32)
    /// This cluster's part in a pair of sites.
    case site(SiteCommand)
}

/// Compares, then one of two lists of operations, at one revision.
package struct Transaction: Sendable, Hashable {
    package var compares: [Compare]
    package var then: [Operation]
    package var otherwise: [Operation]

    package init(compares: [Compare], then: [Operation], otherwise: [Operation] = []) {
        self.compares = compares
        self.then = then
        self.otherwise = otherwise
    }
}

/// A claim about one key. An absent key has version, revisions and lease 0, and no value: every claim about its value fails.
package struct Compare: Sendable, Hashable {
    package enum Relation: UInt8, Sendable, Hashable {
        case equal = 0
        case notEqual = 1
        case less = 2
        case greater = 3
    }

    package enum Operand: Sendable, Hashable {
        case value(Bytes)
        case version(UInt64)
        case createRevision(UInt64)
        case modRevision(UInt64)
        case lease(UInt64)
    }

    package var key: Bytes
    /// The key's attribute stands to `operand` like this.
    package var relation: Relation
    package var operand: Operand

    package init(key: Bytes, _ relation: Relation, _ operand: Operand) {
        self.key = key
        self.relation = relation
        self.operand = operand
    }
}

/// One step of a transaction.
package enum Operation: Sendable, Hashable {
    case put(key: Bytes, value: Bytes, lease: UInt64)
    case delete(KeySelector)
    /// A read; it sees the steps before it.
    case range(RangeQuery)
}

/// The request to make a model version visible.
package struct Publication: Sendable, Hashable {
    /// A node that has fsynced every chunk of the upload, in this life of its disk.
    package struct Receipt: Sendable, Hashable {
        package var node: UInt64
        package var incarnation: Incarnation

        package init(node: UInt64, incarnation: Incarnation) {
            self.node = node
            self.incarnation = incarnation
        }
    }

    package var upload: UploadID
    package var name: String
    /// nil is one more than the highest whole number ever published under the name.
    package var version: String?
    /// The root chunk of the manifest; one of the upload's.
    package var root: ChunkID
    /// Totals of the version's files, as the manifest says.
    package var bytes: UInt64
    package var chunks: UInt64
    package var files: UInt64
    package var durableOn: [Receipt]

    package init(
        upload: UploadID,
        name: String,
        version: String?,
        root: ChunkID,
        bytes: UInt64,
        chunks: UInt64,
        files: UInt64,
        durableOn: [Receipt]
    ) {
        self.upload = upload
        self.name = name
        self.version = version
        self.root = root
        self.bytes = bytes
        self.chunks = chunks
        self.files = files
        self.durableOn = durableOn
    }
}
