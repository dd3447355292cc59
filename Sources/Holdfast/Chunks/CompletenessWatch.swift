internal import Logging
internal import NIOCore
internal import ReplicaCore
internal import Synchronization

/// Keeps this node complete: finds out which published chunks it lacks, fetches them, and tells the cluster how far it is.
///
/// It looks at its start, after every publish applied and after a quarantine. Versions found whole are not looked at again until a
/// quarantine. The cluster is told once per advance: when everything is here through a publish it was not told of, or less than it
/// was told.
final class CompletenessWatch: Sendable {
    /// One version as the rows have it, and what of it is missing here.
    private struct Lack: Sendable {
        var upload: UploadID
        var number: UInt64
        var publishedRevision: UInt64
        var missingBytes: UInt64
    }

    private struct Version: Hashable, Sendable {
        var upload: UploadID
        var number: UInt64
    }

    private struct Survey: Sendable {
        /// Ascending by published revision.
        var lacks: [Lack] = []
        var whole: Set<Version> = []
        /// The revision of the rows surveyed, and of the last publish among them.
        var revision: UInt64 = 0
        var lastPublish: UInt64 = 0
        /// The log index of the last rewind in them.
        var rewound: UInt64 = 0
        /// What the cluster was told of this life of the disk; nil for nothing.
        var told: UInt64?
    }

    private struct State {
        var whole: Set<Version> = []
        var generation: UInt64 = 0
        var hasSurveyed = false
        /// The lowest revision whose publish names something that is missing here.
        var firstLacking: UInt64?
        var missingBytes: UInt64 = 0
        var surveyed: UInt64 = 0
        /// Changes of models and losses of chunks so far, and how many of them the last survey knew: it counts only once it has ended.
        var changes: UInt64 = 1
        var surveyedChanges: UInt64 = 0

        var isStale: Bool { changes != surveyedChanges }
    }

    private let keeper: ChunkKeeper
    private let fetcher: Fetcher
    private let commands: any CommandPlane
    private let logger: Logger
    private let state = Mutex(State())
    private let bells: AsyncStream<Void>
    private let bell: AsyncStream<Void>.Continuation

    init(keeper: ChunkKeeper, fetcher: Fetcher, commands: any CommandPlane, logger: Logger) {
        self.keeper = keeper
        self.fetcher = fetcher
        self.commands = commands
        self.logger = logger
        (bells, bell) = AsyncStream.makeStream(bufferingPolicy: .bufferingNewest(1))
    }

    /// What a status says: `through` is nil while everything applied is here.
    var lacking: (through: UInt64?, missingBytes: UInt64) {
        state.withLock { state in
            if !state.hasSurveyed { return (0, 0) }
            if let first = state.firstLacking { return (first - 1, state.missingBytes) }
            return state.isStale ? (state.surveyed, 0) : (nil, 0)
        }
    }

    /// A version was published or retired: look again. Never blocks.
    func modelsChanged() {
        state.withLock { $0.changes += 1 }
        bell.yield()
    }

    /// A chunk was found bad: nothing known to be whole is known any more. Never blocks.
    func chunkLost() {
        state.withLock { state in
            state.generation += 1
            state.whole.removeAll()
            state.changes += 1
        }
        bell.yield()
    }

    /// Looks and fetches until the task is cancelled.
    func run() async {
        bell.yield()
        for await _ in bells {
            var pause = RetryPause()
            while !Task.isCancelled {
                if await completeOnce() { break }
                await pause.wait()
            }
        }
    }

    /// True when everything is here and the cluster knows it.
    private func completeOnce() async -> Bool {
        do throws(HoldfastError) {
            let survey = try await survey()
            try await tell(survey)
            // What rows name that are not to be relied on is not fetched; their return rings the bell.
            if commands.isQuarantined { return true }
            if survey.lacks.isEmpty { return state.withLock { !$0.isStale } }
            for lack in survey.lacks {
                // New publishes are looked at between two tries, so a version that nobody can give does not hold up the rest.
                _ = await fetcher.ensureList(
                    lack.upload, number: lack.number, from: [], deadline: .now() + ChunkLimits.appliedWait)
                if Task.isCancelled { return false }
            }
            let after = try await self.survey()
            try await tell(after)
            return after.lacks.isEmpty && state.withLock { !$0.isStale }
        } catch {
            logger.warning("this node cannot be completed now", metadata: ["error": "\(error)"])
            return false
        }
    }

    /// Everything applied is to be looked at anew: the rows were quarantined, or are relied on again. Never blocks.
    func rowsDoubted() { chunkLost() }

    private func survey() async throws(HoldfastError) -> Survey {
        let before = state.withLock { $0 }
        let survey = try await keeper.readers.run { () throws(HoldfastError) in
            try self.survey(knownWhole: before.whole)
        }
        state.withLock { state in
            guard before.generation == state.generation else { return }
            state.whole = survey.whole
            state.hasSurveyed = true
            state.surveyed = survey.revision
            state.surveyedChanges = before.changes
            state.firstLacking = survey.lacks.first?.publishedRevision
            state.missingBytes = survey.lacks.reduce(0) { $0 + $1.missingBytes }
        }
        return survey
    }

    /// Holds the rows against the disk. Blocks.
    private func survey(knownWhole: Set<Version>) throws(HoldfastError) -> Survey {
        let node = commands.node
        let incarnation = commands.incarnation
        var (survey, models) = try keeper.rows { rows in
            let applied = try AppliedState(loading: rows)
            var survey = Survey()
            survey.revision = applied.revision
            survey.rewound = try SiteView(loading: rows).record.rewoundIndex
            survey.told = try ModelReader.completeness(rows: rows)
                .first { $0.node == node && $0.incarnation == incarnation }?.through
            // Retired versions above the feed floor are still named by a revision that a peer may ask for.
            let models = try ModelReader.list(at: ReadPoint(applied), rows: rows)
                .filter { !$0.record.isRetired || $0.modRevision > applied.feedFloor }
            return (survey, models)
        }
        for model in models.sorted(by: { $0.publishedRevision < $1.publishedRevision }) {
            survey.lastPublish = max(survey.lastPublish, model.publishedRevision)
            let version = Version(upload: model.record.upload, number: model.record.uploadNumber)
            if !knownWhole.contains(version) {
                let (named, missing) = try count(version)
                if missing > 0 {
                    let bytes = named > 0 ? model.record.bytes / named * missing : 0
                    survey.lacks.append(
                        Lack(
                            upload: version.upload, number: version.number, publishedRevision: model.publishedRevision,
                            missingBytes: max(bytes, missing)))
                    continue
                }
            }
            survey.whole.insert(version)
        }
        return survey
    }

    /// Chunks that a version names, and how many of them are not here. Blocks.
    private func count(_ version: Version) throws(HoldfastError) -> (named: UInt64, missing: UInt64) {
        var named: UInt64 = 0
        var missing: UInt64 = 0
        var next: UInt64 = 0
        while true {
            let page = try keeper.chunks(
                of: version.upload, number: version.number, from: next, limit: ChunkLimits.rowsPage)
            guard let last = page.last else { return (named, missing) }
            for chunk in page where try !keeper.holds(chunk.id) { missing += 1 }
            named += UInt64(page.count)
            next = last.ordinal + 1
        }
    }

    /// Proposes how far this node is, if the cluster does not know it yet.
    private func tell(_ survey: Survey) async throws(HoldfastError) {
        // Nobody listens to a node that waits to be added, or was removed.
        guard commands.members.contains(commands.node) else { return }
        // Nobody may count on a node whose rows are not to be relied on.
        let through =
            commands.isQuarantined ? 0 : survey.lacks.first.map { $0.publishedRevision - 1 } ?? survey.revision
        let isLower = survey.told.map { through < $0 } ?? false
        let isAdvance = survey.lastPublish > (survey.told ?? 0) && through > (survey.told ?? 0)
        guard isLower || isAdvance else { return }
        let command = Command.complete(
            node: commands.node, incarnation: commands.incarnation, through: through, rewound: survey.rewound)
        let outcome = try await commands.propose(command, deadline: .now() + ChunkLimits.fetchWait)
        if case .refused(let refusal) = outcome { throw ChunkFault.refused(refusal) }
    }
}
