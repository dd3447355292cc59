/// What a node says of its cluster: the document of `holdfast cluster status --json`.
public struct ClusterStatus: Sendable, Hashable {
    /// One configured member as the answering node sees it.
    public struct Node: Sendable, Hashable {
        /// What the member does in consensus.
        public enum Role: String, Sendable, Hashable {
            /// It leads.
            case leader
            /// It votes and follows.
            case follower
            /// It asks for votes.
            case candidate
            /// It follows without a vote.
            case learner
            /// It did not answer.
            case unreachable
        }

        /// The node's ID.
        public var id: UInt64
        /// Its address, `HOST:PORT`.
        public var endpoint: String
        /// Its role by its own word.
        public var role: Role
        /// The log index up to which its rows are applied.
        public var applied: UInt64
        /// The log index that it knows to be committed.
        public var commit: UInt64
        /// The store's revision there.
        public var revision: Revision
        /// The revision through which it holds every published byte.
        public var completeRevision: Revision
        /// Whether it holds every byte of every published model.
        public var complete: Bool
        /// Bytes of published models that it lacks.
        public var missingBytes: UInt64
        /// Whether it differed from its peers and serves nothing.
        public var quarantined: Bool
        /// The feed's chain hash at `revision`, in hex.
        public var feedHash: String
        /// The newest protocol version that it speaks; 0 where nobody knows.
        public var protocolVersion: UInt8 = 0
        /// The newest feature version that it takes part in; 0 where nobody knows.
        public var featureVersion: UInt32 = 0

        /// Whether its disk is full, so that it refuses what needs room.
        public var full: Bool
        /// Bytes free on its disk, as it last saw them.
        public var freeBytes: UInt64

        /// A node as a test or a gateway builds it.
        public init(
            id: UInt64, endpoint: String, role: Role, applied: UInt64 = 0, commit: UInt64 = 0, revision: Revision = 0,
            completeRevision: Revision = 0, complete: Bool = false, missingBytes: UInt64 = 0, quarantined: Bool = false,
            feedHash: String = "", full: Bool = false, freeBytes: UInt64 = 0
        ) {
            self.id = id
            self.endpoint = endpoint
            self.role = role
            self.applied = applied
            self.commit = commit
            self.revision = revision
            self.completeRevision = completeRevision
            self.complete = complete
            self.missingBytes = missingBytes
            self.quarantined = quarantined
            self.feedHash = feedHash
            self.full = full
            self.freeBytes = freeBytes
        }
    }

    /// The cluster's name.
    public var cluster: String
    /// The lineage, 32 hex digits; empty until the first leader has set it.
    public var lineage: String
    /// The term of the answering node.
    public var term: UInt64
    /// The leader it knows of.
    public var leader: UInt64?
    /// The highest revision that a member reported.
    public var revision: Revision
    /// The replicated feature version, which every member knows; 0 where only nodes of the first release answered.
    public var featureVersion: UInt32 = 0
    /// The configured members in order of their IDs.
    public var nodes: [Node]

    /// A status as a test or a gateway builds it.
    public init(
        cluster: String, lineage: String, term: UInt64, leader: UInt64?, revision: Revision, nodes: [Node]
    ) {
        self.cluster = cluster
        self.lineage = lineage
        self.term = term
        self.leader = leader
        self.revision = revision
        self.nodes = nodes
    }
}
