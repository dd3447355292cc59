/// The replicated state machine: committed entries in, one write batch out. The same log over the same rows gives the same rows and
/// the same feed hash on every node, however its entries are grouped and whenever it was restarted.
///
/// Invariants:
/// 1. Entries are applied in order, each once: the next one has index `state.index + 1`.
/// 2. Between groups everything held here can be had again from the rows; `knownKeys` only spares reads.
/// 3. Within a group `knownKeys` holds every key that the group wrote, so that a key not in it can be looked up below the overlay.
/// 4. A command is checked whole before it writes anything: no command is half applied.
/// 5. `uploads` holds the open uploads, ascending by ID; `completeness` is ascending by node.
package struct Applier: Sendable {
    /// The row that every group ends with.
    package internal(set) var state: AppliedState
    /// The configuration applied last.
    package internal(set) var members: Members
    /// Every node ID that was ever used.
    package internal(set) var roster: Roster
    /// The cluster's history; nil until the first leader has named it.
    package internal(set) var lineage: Lineage?
    /// The replicated feature version: what every member knows (`Feature`).
    package internal(set) var featureVersion = FeatureVersion.first
    /// How far each node is complete, by node.
    package internal(set) var completeness: [Completeness] = []
    /// This cluster's part in a pair of sites.
    package internal(set) var site = SiteRecord()
    /// How far the other site has followed.
    package internal(set) var siteProgress = SiteProgress()
    /// The seed that this site is brought up by, or that is being removed.
    package internal(set) var seed: SeedRecord?
    /// `siteProgress` was changed in the group at hand.
    var isProgressTouched = false
    var uploads: [UploadRecord] = []
    var sessions: SessionTable
    var knownKeys: [[UInt8]: KeyState] = [:]
    private var hasFailed = false

    /// The row of a key that holds now.
    struct KeyState: Sendable, Hashable {
        /// 0 if the key was never written, or all its rows are compacted away.
        var modRevision: UInt64
        var createRevision: UInt64
        var version: UInt64
        var lease: UInt64

        /// A key that does not exist has no version, as in the data model.
        var isLive: Bool { version > 0 }

        static func absent(since revision: UInt64) -> KeyState {
            KeyState(modRevision: revision, createRevision: 0, version: 0, lease: 0)
        }
    }

    /// Restores from rows; an empty store is one that was never written.
    package init<Rows: RowReader & ~Copyable>(loading rows: borrowing Rows) throws(RowError) {
        self = try ErasedRows.with(rows) { rows throws(RowError) in
            try Applier(rows, sessions: SessionTable())
        }
    }

    init(_ rows: ErasedRows, sessions: SessionTable) throws(RowError) {
        state = try AppliedState(loading: rows)
        members = try rows.value(Members.self, at: RowKey.members) ?? Members(voters: [])
        roster = try Roster(loading: rows)
        lineage = try ModelReader.lineage(rows: rows)
        featureVersion = try ModelReader.featureVersion(rows: rows)
        completeness = try ModelReader.completeness(rows: rows)
        site = try rows.value(SiteRecord.self, at: RowKey.site) ?? SiteRecord()
        siteProgress = try rows.value(SiteProgress.self, at: RowKey.siteProgress) ?? SiteProgress()
        seed = try rows.value(SeedRecord.self, at: RowKey.seed)
        self.sessions = sessions
        try self.sessions.load(rows)
        uploads = try ModelReader.records(rows: rows).filter { !$0.isPublished }
    }

    /// Writes what a node needs before its first entry: the first configuration. Only into an empty store.
    package static func format(members: Members, into batch: inout WriteBatch) {
        batch.put(RowKey.members, members.encoded())
        batch.put(RowKey.state, AppliedState().encoded())
    }

    /// Number of open client sessions.
    package var sessionCount: Int { sessions.count }

    /// What reads may rely on, once the batch of the last group is written.
    package var readPoint: ReadPoint { ReadPoint(state) }

    /// Applies entries in order; `batch` must be empty. The caller writes it before it applies the next group or shows `output`, and
    /// `reader` must see all batches before. After a throw nothing of the group holds: load anew from the rows.
    package mutating func apply<Rows: RowReader & ~Copyable, Hash: HashFunction>(
        _ entries: [CommittedEntry],
        reader: borrowing Rows,
        hash: Hash.Type,
        into batch: inout WriteBatch,
        output: inout ApplyOutput
    ) throws(RowError) {
        precondition(!hasFailed, "apply after a failed apply")
        precondition(batch.isEmpty, "apply into a batch that is not empty")
        let digest: (UnsafeRawBufferPointer) -> Digest = { bytes in
            var function = Hash()
            function.update(bytes)
            return function.finish()
        }
        hasFailed = true
        try ErasedRows.with(reader) { rows throws(RowError) in
            try apply(entries, rows: rows, digest: digest, into: &batch, output: &output)
        }
        hasFailed = false
    }

    private mutating func apply(
        _ entries: [CommittedEntry],
        rows: ErasedRows,
        digest: @escaping (UnsafeRawBufferPointer) -> Digest,
        into batch: inout WriteBatch,
        output: inout ApplyOutput
    ) throws(RowError) {
        guard !entries.isEmpty else { return }
        var group = ApplyGroup(rows: rows, digest: digest)
        swap(&group.overlay.batch, &batch)
        swap(&group.output, &output)
        for entry in entries {
            precondition(entry.index == state.index + 1, "entry \(entry.index) applied after \(state.index)")
            group.index = entry.index
            switch entry.content {
            case .normal(let payload): try apply(payload: payload, &group)
            case .configuration(let change): try configure(change, &group)
            }
            state.index = entry.index
            state.term = entry.term
        }
        sessions.flush(into: &group.overlay.batch)
        if isProgressTouched {
            group.overlay.putUnread(RowKey.siteProgress, siteProgress.encoded())
            isProgressTouched = false
        }
        group.overlay.putUnread(RowKey.state, state.encoded())
        if knownKeys.count > Limits.keyCacheMax { knownKeys.removeAll(keepingCapacity: true) }
        swap(&group.overlay.batch, &batch)
        swap(&group.output, &output)
    }

    /// Applies the envelopes of one entry. One that cannot be read is refused; where the framing is broken, so is all that follows.
    /// A command of a kind that this build does not know ends applying: to refuse what the others apply would be another history.
    private mutating func apply(payload: [UInt8], _ group: inout ApplyGroup) throws(RowError) {
        var reader = ByteReader(payload)
        var ordinal: UInt32 = 0
        while reader.remaining > 0 {
            group.ordinal = ordinal
            ordinal += 1
            let encoded: Bytes
            do throws(DecodeError) {
                // Only where every member takes it: shipments may be a little larger than what clients ask for.
                let bytesMax =
                    Limits.envelopeBytesMax + (featureVersion >= Feature.sites.since ? Limits.shipmentFieldsMax : 0)
                encoded = try EntryPayload.next(from: &reader, bytesMax: bytesMax)
            } catch {
                refuse(error, &group)
                return
            }
            let envelope: Envelope
            do throws(DecodeError) {
                envelope = try Envelope(decoding: encoded)
            } catch {
                if let newer = error.ofNewerBuild { throw newer }
                refuse(error, &group)
                continue
            }
            try apply(envelope, &group)
        }
    }

    private mutating func refuse(_ error: DecodeError, _ group: inout ApplyGroup) {
        state.commands += 1
        group.answer(.refused(Refusal(.invalidArgument, "the command cannot be read: \(error)")))
    }

    /// Applies one command, at most once in its session.
    private mutating func apply(_ envelope: Envelope, _ group: inout ApplyGroup) throws(RowError) {
        state.commands += 1
        group.session = envelope.session
        group.sequence = envelope.sequence
        group.time = envelope.time
        switch envelope.command {
        case .openSession:
            if !site.acknowledges, let fence = site.refusalOfWrites {
                group.answer(.refused(fence))
            } else if envelope.session == 0 {
                group.answer(.refused(Refusal(.invalidArgument, "a client session ID must not be zero")))
            } else {
                sessions.open(envelope.session, command: state.commands)
                group.answer(.done(revision: state.revision))
            }
            return
        case .closeSession:
            let wasOpen = sessions.close(envelope.session)
            group.answer(
                wasOpen
                    ? .done(revision: state.revision)
                    : .refused(Refusal(.sessionExpired, "client session \(envelope.session) is not open")))
            return
        default: break
        }
        // Keeps (1) of `SeedRecord`, whatever the site is.
        let fence = envelope.command.isWrite ? site.refusalOfWrites ?? refusalOfSeed : nil
        guard envelope.session != 0 else {
            if let fence {
                group.answer(.refused(fence))
            } else {
                group.answer(try perform(envelope.command, &group))
            }
            return
        }
        let admission = sessions.admit(
            envelope.session, sequence: envelope.sequence, lowestUnanswered: envelope.lowestUnanswered,
            command: state.commands)
        switch admission {
        case .refused(let refusal):
            // Sessions ended with this site's role: where to go on says more than that.
            group.answer(.refused(refusal.code == .sessionExpired ? fence ?? refusal : refusal))
        case .repeated(let outcome):
            // The write was done, but the site that goes on may not have it: neither the answer nor `fenced` would be true.
            let isUnknown = envelope.command.isWrite && !site.acknowledges
            group.answer(isUnknown ? .refused(.outcomeOfOtherSite) : outcome, isRepeated: true)
        case .apply:
            if let fence {
                group.answer(.refused(fence))
                return
            }
            let outcome = try perform(envelope.command, &group)
            group.answer(outcome)
            if case .refused(let refusal) = outcome, refusal.isTransient { return }
            sessions.keep(outcome, of: envelope.session, sequence: envelope.sequence)
        }
    }

    /// Does what a command says, or refuses it whole: keeps (4).
    private mutating func perform(_ command: Command, _ group: inout ApplyGroup) throws(RowError) -> Outcome {
        if let refusal = command.refusal { return .refused(refusal) }
        switch command {
        case .put(let key, let value, let lease):
            begin(&group)
            try put(key, value, lease: lease, in: .user, &group)
            return .done(revision: commit(&group))
        case .delete(let keys): return try delete(keys, &group)
        case .transaction(let transaction): return try perform(transaction, &group)
        case .compact(let revision): return compact(revision, &group)
        case .lineage(let lineage): return name(lineage, &group)
        case .uploadBegin(let id, let name, let version):
            return try beginUpload(id, name: name, version: version, &group)
        case .uploadAdd(let id, let first, let ids): return try addToUpload(id, first: first, ids: ids, &group)
        case .uploadAbort(let id): return try abortUpload(id, &group)
        case .uploadExpire(let before):
            // What a standby stages waits for the primary's feed, however long.
            return site.role == .standby ? .uploadsClosed(count: 0) : expireUploads(before: before, &group)
        case .publish(let publication): return try publish(publication, &group)
        case .retire(let name, let version): return try retire(name: name, version: version, &group)
        case .complete(let node, let incarnation, let through, let rewound):
            return complete(
                Completeness(node: node, incarnation: incarnation, through: through), rewound: rewound, &group)
        case .raiseFeatures(let version): return raiseFeatures(to: version, &group)
        case .site(let command): return try perform(command, &group)
        case .openSession, .closeSession: preconditionFailure("sessions are handled before")
        }
    }

    private mutating func compact(_ revision: UInt64, _ group: inout ApplyGroup) -> Outcome {
        if revision == 0 || revision > state.revision {
            return .refused(
                Refusal(
                    .invalidArgument, "history cannot be compacted at \(revision); the latest is \(state.revision)"))
        }
        if revision <= state.compactRevision {
            return .refused(.compacted(revision, earliest: state.compactRevision))
        }
        state.compactRevision = revision
        group.output.compacted = revision
        raiseFeedFloor(&group)
        return .done(revision: state.revision)
    }

    private mutating func name(_ lineage: Lineage, _ group: inout ApplyGroup) -> Outcome {
        if let existing = self.lineage {
            return existing == lineage
                ? .done(revision: state.revision)
                : .refused(Refusal(.alreadyExists, "this cluster's lineage is \(existing)"))
        }
        self.lineage = lineage
        group.output.lineage = lineage
        group.overlay.putUnread(RowKey.lineage, [1], lineage.bytes[...])
        return .done(revision: state.revision)
    }

    /// The same on every node whatever its build knows: a build that knows less stops by itself (`ApplyOutput.featureVersion`).
    private mutating func raiseFeatures(to version: UInt32, _ group: inout ApplyGroup) -> Outcome {
        guard version > featureVersion else { return .done(revision: state.revision) }
        featureVersion = version
        group.output.featureVersion = version
        var row = ByteWriter()
        row.byte(1)
        row.fixed32(version)
        group.overlay.putUnread(RowKey.featureVersion, row.bytes)
        return .done(revision: state.revision)
    }

    private mutating func complete(
        _ report: Completeness, rewound: UInt64, _ group: inout ApplyGroup
    ) -> Outcome {
        guard rewound == site.rewoundIndex else {
            return .refused(
                Refusal(.unavailable, "node \(report.node) looked at a history that was undone since; it looks again"))
        }
        guard members.contains(report.node) else {
            return .refused(Refusal(.preconditionFailed, "node \(report.node) is not a member"))
        }
        guard report.through <= state.revision else {
            return .refused(
                Refusal(
                    .invalidArgument, "complete through \(report.through), but the latest revision is \(state.revision)"
                ))
        }
        let place = completeness.firstIndex { $0.node >= report.node } ?? completeness.count
        if place < completeness.count, completeness[place].node == report.node {
            if completeness[place] == report { return .done(revision: state.revision) }
            completeness[place] = report
        } else {
            completeness.insert(report, at: place)
        }
        group.output.completeness.append(report)
        group.overlay.putUnread(RowKey.completeness(report.node), report.encoded())
        return .done(revision: state.revision)
    }
}
