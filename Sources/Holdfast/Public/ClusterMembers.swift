/// Who makes up a cluster: the document of `holdfast cluster members --json`.
public struct ClusterMembers: Sendable, Hashable {
    /// One member.
    public struct Member: Sendable, Hashable {
        /// What the member does when decisions are made.
        public enum Role: String, Sendable, Hashable {
            /// It votes.
            case voter
            /// It receives everything and votes on nothing.
            case learner
            /// It votes until the change under way is over, and then is a learner or no member.
            case leaving
        }

        /// The node's ID.
        public var id: UInt64
        /// Its address, `HOST:PORT`.
        public var endpoint: String
        /// Its part in decisions.
        public var role: Role

        /// A member as a test or a gateway builds it.
        public init(id: UInt64, endpoint: String, role: Role) {
            self.id = id
            self.endpoint = endpoint
            self.role = role
        }
    }

    /// The members in order of their IDs.
    public var members: [Member]
    /// IDs that were used once and never will be again.
    public var removed: [UInt64]
    /// The lowest ID that a new node may have.
    public var nextID: UInt64
    /// Whether a change of the voters is under way: decisions need the old and the new majority.
    public var isChanging: Bool

    /// Members as a test or a gateway builds them.
    public init(members: [Member], removed: [UInt64], nextID: UInt64, isChanging: Bool) {
        self.members = members
        self.removed = removed
        self.nextID = nextID
        self.isChanging = isChanging
    }
}
