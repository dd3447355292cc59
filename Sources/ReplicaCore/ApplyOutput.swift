/// A committed entry, as the driver hands it to apply.
package struct CommittedEntry: Sendable {
    package enum Content: Sendable {
        /// Envelopes, each after its length (`EntryPayload`); empty for a leader's first entry.
        case normal([UInt8])
        /// A change of the configuration; nil if the entry could not be read as one.
        case configuration(MembershipChange?)
    }

    package var index: UInt64
    package var term: UInt64
    package var content: Content

    package init(index: UInt64, term: UInt64, content: Content) {
        self.index = index
        self.term = term
        self.content = content
    }
}

/// What applying a group of entries did, for those who wait and watch. It may be shown only after the group's batch is written.
package struct ApplyOutput: Sendable {
    /// The feed hash after a revision.
    package struct ChainLink: Sendable, Hashable {
        package var revision: UInt64
        package var hash: Digest
    }

    /// Where a rewind, or a seed, has arrived.
    package struct Rewound: Sendable, Hashable {
        package var revision: UInt64
        /// The newest revision that published something which is still there.
        package var publishedRevision: UInt64
    }

    package enum UploadChange: Sendable, Hashable {
        case begun(UploadInfo)
        /// IDs newly named; an ID may have been named before at another ordinal.
        case added(UploadID, first: UInt64, ids: [ChunkID])
        /// Aborted, expired or published: its list is closed.
        case closed(UploadID)
    }

    package enum ModelChange: Sendable, Hashable {
        case published(ModelVersion)
        case retired(ModelVersion)
    }

    /// One for each command, in log order.
    package var outcomes: [CommandOutcome] = []
    /// Changes of keys in revision order, without `previous`; those of one revision lie side by side.
    package var events: [WatchEvent] = []
    /// One for each revision made, in order.
    package var chain: [ChainLink] = []
    package var uploads: [UploadChange] = []
    package var models: [ModelChange] = []
    package var completeness: [Completeness] = []
    package var lineage: Lineage?
    /// The feature version that the group raised the cluster to.
    package var featureVersion: UInt32?
    /// The last configuration applied in the group.
    package var members: Members?
    /// Every node ID ever used, if a configuration was applied in the group.
    package var roster: Roster?
    /// One for each configuration entry, in log order.
    package var configurations: [ConfigurationOutcome] = []
    /// History before this revision was given up: a compaction sweep has work.
    package var compacted: UInt64?
    /// This site's part, if a command of the group was about it.
    package var site: SiteRecord?
    /// A seed was begun, went on or ended in the group: whether there is one.
    package var isSeeding: Bool?
    /// A rewind, or the end of a seed: what was known of higher revisions does not hold any more.
    package var rewound: Rewound?
    /// Fill `events`; off where nobody watches.
    package var collectsEvents: Bool

    package init(collectsEvents: Bool = true) {
        self.collectsEvents = collectsEvents
    }

    /// Empties everything for the next group.
    package mutating func reset() {
        outcomes.removeAll(keepingCapacity: true)
        events.removeAll(keepingCapacity: true)
        chain.removeAll(keepingCapacity: true)
        uploads.removeAll()
        models.removeAll()
        completeness.removeAll()
        lineage = nil
        featureVersion = nil
        members = nil
        roster = nil
        configurations.removeAll()
        compacted = nil
        site = nil
        isSeeding = nil
        rewound = nil
    }
}
