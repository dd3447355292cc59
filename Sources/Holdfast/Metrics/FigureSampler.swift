internal import Metrics
internal import Storage
internal import Transport

/// Copies figures that the stores and the transport keep for themselves into metrics, when somebody asks for them.
final class FigureSampler: Sendable {
    private let factory: any MetricsFactory
    /// What the last scrub found; set once the node is wired.
    let scrub = Relay<@Sendable () -> ScrubReport>()
    private let log: LogStore
    private let rows: RowStore
    private let state: MemberState
    private let meter: TransportMeter
    private let chunks: NodeChunks
    private let shelf: SnapshotShelf
    private let snapshots: SnapshotCounters
    private let space: SpaceWatch

    init(
        factory: any MetricsFactory, log: LogStore, rows: RowStore, state: MemberState, meter: TransportMeter,
        chunks: NodeChunks, shelf: SnapshotShelf, snapshots: SnapshotCounters, space: SpaceWatch
    ) {
        self.factory = factory
        self.log = log
        self.rows = rows
        self.state = state
        self.meter = meter
        self.chunks = chunks
        self.shelf = shelf
        self.snapshots = snapshots
        self.space = space
    }

    /// Sets every gauge to its value now.
    func sample() {
        let now = state.now
        sampleScrub()
        set("applied_index", now.applied.index)
        set("commit_index", now.commit)
        set("revision", now.applied.revision)
        set("term", now.leadership.term)
        set("feature_version", UInt64(now.featureVersion))
        set("is_leader", now.leadership.role == .leader ? 1 : 0)
        set("members", UInt64(now.members.voters.count), [("role", "voter")])
        set("members", UInt64(now.members.learners.count + now.members.nextLearners.count), [("role", "learner")])
        set("configuration_is_joint", now.members.isJoint ? 1 : 0)
        for role in SiteStatus.Role.allCases {
            set("site_role", role.rawValue == "\(now.site.role)" ? 1 : 0, [("role", role.rawValue)])
        }
        set("site_seeding", now.isSeeding ? 1 : 0)
        set("site_epoch", now.site.epoch)
        set("site_epoch_seen", now.site.seen)
        let drill = now.site.lastDrill
        set("site_drill_passed", drill?.failure.isEmpty == true ? 1 : 0)
        gauge("site_drill_seconds", Double(drill?.milliseconds ?? 0) / 1e3)
        gauge("site_drill_begun_seconds", Double(drill?.begun ?? 0) / 1e3)
        set("site_paused", now.site.pace.isPaused ? 1 : 0)
        set("site_rate_bytes", now.site.pace.rate(at: WallClock.milliseconds) ?? 0)
        let (through, missing) = chunks.completeness
        set("complete_revision", min(through, now.applied.revision))
        set("missing_bytes", missing)
        set("quarantined", now.quarantine == nil ? 0 : 1)
        set("vote_withheld", now.hasNoVote ? 1 : 0)
        set("feed_tied", now.isFeedTied ? 1 : 0)
        sampleSpace()
        sampleLog()
        sampleRows()
        sampleTransport()
        sampleChunks()
        sampleSnapshots()
        sampleProcess()
    }

    private func sampleProcess() {
        if let files = ProcessLimits.filesOpen { set("open_files", UInt64(files)) }
        set("open_files_max", UInt64(ProcessLimits.raiseFiles()))
        set("chunk_mappings", UInt64(MappingBudget.process.used))
        set("chunk_mappings_max", UInt64(MappingBudget.process.most))
    }

    private func sampleScrub() {
        guard let report = scrub.body?() else { return }
        set("scrub_running", report.isRunning ? 1 : 0)
        set("scrubs_ended", report.ended)
        set("scrub_chunks", report.chunks)
        set("scrub_bytes", report.bytes)
        set("scrub_bad_chunks", report.badChunks)
        set("scrub_bad_rows", report.areRowsBad ? 1 : 0)
    }

    private func sampleSpace() {
        let (isFull, freeBytes) = space.report
        set("disk_full", isFull ? 1 : 0)
        set("disk_free_bytes", freeBytes)
        set("disk_reserve_held", space.isReserveHeld ? 1 : 0)
        set("disk_waiting", log.isWaitingForSpace || space.rowsAreWaiting ? 1 : 0)
    }

    private func sampleChunks() {
        let figures = chunks.figures
        set("chunks_accepted", figures.acceptedChunks)
        set("chunks_accepted_bytes", figures.acceptedBytes)
        set("chunks_fetched", figures.fetchedChunks)
        set("chunks_fetched_bytes", figures.fetchedBytes)
        set("site_chunks_fetched", figures.siteChunks)
        set("site_chunks_fetched_early", figures.siteEarlyChunks)
        set("site_chunks_fetched_bytes", figures.siteBytes)
        set("site_chunks_fetched_wire_bytes", figures.siteWireBytes)
        set("chunks_served", figures.servedChunks)
        set("chunks_served_bytes", figures.servedBytes)
        for (reason, count) in [
            ("hash", figures.refusedHash), ("notNamed", figures.refusedNotNamed),
            ("overloaded", figures.refusedOverloaded), ("full", figures.refusedFull),
        ] { set("chunks_refused", count, [("reason", reason)]) }
        set("chunks_fetched_wrong", figures.mismatchedFetches)
        set("chunks_swept", figures.sweptChunks)
        set("chunks_swept_bytes", figures.sweptBytes)
        set("chunks_sweeps_failed", figures.failedSweeps)
        set("chunks_quarantined", figures.quarantinedChunks)
        gauge("chunks_write_seconds_sum", Double(figures.writeNanoseconds) / 1e9)
    }

    private func sampleSnapshots() {
        let figures = snapshots.figures
        set("snapshots_made", figures.made)
        set("snapshots_kept", UInt64(shelf.count))
        set("snapshots_served_bytes", figures.servedBytes)
        set("snapshots_fetched_bytes", figures.fetchedBytes)
        set("snapshots_installed", figures.installed)
        set("snapshots_failed", figures.failed)
        set("snapshot_missing_bytes", figures.wantedBytes - min(figures.wantedBytes, figures.presentBytes))
    }

    private func sampleLog() {
        let figures = log.figures
        set("log_batches", figures.batches)
        set("log_entries", figures.entries)
        set("log_written_bytes", figures.writtenBytes)
        set("log_fsyncs", figures.fsyncs)
        gauge("log_fsync_seconds_sum", Double(figures.fsyncNanoseconds) / 1e9)
        gauge("log_fsync_seconds_max", Double(figures.fsyncNanosecondsMax) / 1e9)
        set("log_segments_recycled", figures.recycledSegments)
        set("log_pending_bytes", UInt64(log.pendingBytes))
        set("log_first_index", log.previousIndex + 1)
        set("log_last_index", log.lastIndex)
        set("log_compacted_index", state.now.compacted)
    }

    private func sampleRows() {
        let numbers = rows.numbers
        set("rows_buffer_bytes", numbers.bufferBytes)
        set("rows_table_bytes", numbers.tableBytes)
        set("rows_cache_bytes", numbers.blockCacheBytes)
        set("rows_estimated", numbers.rowsEstimated)
        set("rows_background_errors", numbers.backgroundErrors)
    }

    private func sampleTransport() {
        let counters = meter.counters
        for (purpose, traffic) in [
            ("consensus", counters.consensus), ("request", counters.request), ("bulk", counters.bulk),
        ] {
            let dimensions = [("purpose", purpose)]
            set("frames_received", traffic.framesIn, dimensions)
            set("frames_sent", traffic.framesOut, dimensions)
            set("bytes_received", traffic.bytesIn, dimensions)
            set("bytes_sent", traffic.bytesOut, dimensions)
        }
        set("connections_accepted", counters.accepted)
        set("connections_refused", counters.refused)
        set("handshakes_failed", counters.handshakesFailed)
        set("frames_bad", counters.badFrames)
        set("sends_overloaded", counters.overloaded)
    }

    private func set(_ name: String, _ value: UInt64, _ dimensions: [(String, String)] = []) {
        gauge(name, Double(value), dimensions)
    }

    private func gauge(_ name: String, _ value: Double, _ dimensions: [(String, String)] = []) {
        Gauge(label: "holdfast_" + name, dimensions: dimensions, factory: factory).record(value)
    }
}
