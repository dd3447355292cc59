internal import Logging
internal import RaftCore
internal import ReplicaCore
internal import Storage

// What a member does at its start about rows and a log that are damaged. Nothing is deleted: what cannot be read is put aside.
extension MemberStores {
    /// The name under which an error says that `RowsRepair` must come before the node can start.
    static let needsRows = "repair"

    /// Opens the rows. Rows that cannot be read, or that an earlier life of the process found so, are marked and refused.
    static func openRows(
        _ directory: DataDirectory, _ options: RowStoreOptions, _ logger: Logger
    ) throws -> RowStore {
        if let mark = directory.repairMarks.first(where: { $0.cause == .rows }) {
            throw doubt(directory, mark.detail)
        }
        do {
            let place = RowsPlace(directory.layout)
            if directory.repairMarks.isEmpty {
                try place.removeOthers()
            } else {
                // A rebuild that a crash cut off behind its last step: the rows before are evidence.
                try place.setOthersAside(below: directory.layout.quarantine)
            }
            let rows = try openStore(try place.current(), directory, options, logger)
            // Everything that a start reads, so that it is found here if it cannot be read.
            let applier = try Applier(loading: rows)
            _ = try ModelReader.list(at: applier.readPoint, rows: rows)
            return rows
        } catch let error as RowStoreError where error.isDamage {
            throw doubt(directory, error.message)
        } catch let error as RowError where error.isCorruption {
            throw doubt(directory, error.message)
        } catch let error as DirectoryError where error.cause == .corrupted || error.cause == .foreign {
            throw doubt(directory, error.message)
        }
    }

    /// Marks the rows as unreadable, durably, and says so.
    static func doubt(_ directory: DataDirectory, _ found: String) -> HoldfastError {
        do throws(DirectoryError) {
            try directory.record(RepairMark(.rows, found, milliseconds: WallClock.milliseconds))
        } catch {
            return HoldfastError(.unavailable, error.message)
        }
        return HoldfastError(
            .corrupted, "the rows of \(directory.layout.root) cannot be read: \(found)", details: [needsRows: "rows"])
    }

    /// Without term and vote a node cannot come back under its ID, whatever its peers have. Nothing is changed on disk.
    private static func votesLost(
        _ directory: DataDirectory, _ rows: RowStore, _ detail: String
    ) throws -> HoldfastError {
        let applier = try Applier(loading: rows)
        let own = directory.identity
        let first = own.members.first { $0.node != own.node && applier.roster[$0.node]?.isRemoved != true }
        let peer = first.map { record in
            applier.roster[record.node].flatMap { $0.endpoint.isEmpty ? nil : $0.endpoint } ?? record.endpoint
        }
        let place = own.members.first { $0.node == own.node }?.endpoint ?? "HOST:PORT"
        let id = applier.roster.nextID(beside: applier.members)
        return HoldfastError(
            .corrupted,
            "both copies of term and vote in \(directory.layout.log) are damaged (\(detail)): node \(own.node) has forgotten its votes "
                + "and may not come back under its ID; nothing was changed. Give it a new one: holdfast node format --data DIR --id \(id) "
                + "--join \(peer ?? "HOST:PORT") --listen \(place), holdfast serve --data DIR, holdfast cluster replace \(own.node) "
                + "\(id)=\(place) --endpoint \(peer ?? "HOST:PORT")")
    }

    /// Opens the log. A damaged one is put aside, and another begun behind what the rows hold: the node then withholds its vote until
    /// its peers have repaired it. A node without peers is refused instead.
    static func openLog(
        _ directory: DataDirectory, _ rows: RowStore, _ logger: Logger
    ) throws -> (LogStore, RecoveredLog) {
        let layout = directory.layout
        let damage: LogError
        do throws(LogError) {
            return try LogStore.open(directory: layout.log)
        } catch {
            damage = error
        }
        if case .hardStateLost(let detail) = damage { throw try votesLost(directory, rows, detail) }
        guard case .corrupted(let index, let detail) = damage else { throw damage }
        let head = try SnapshotHead(loading: rows)
        let members = head.members.everyone.isEmpty ? directory.identity.members.map(\.node) : head.members.everyone
        guard members.count > 1 else { throw damage }
        logger.critical(
            "the log is damaged and put aside; another is begun behind the applied rows",
            metadata: [
                "index": "\(index)", "found": "\(detail)", "applied": "\(head.state.index)",
                "kept": "\(layout.quarantine)",
            ])
        // First, so that no crash makes the new log pass for one that was never damaged.
        try directory.record(
            RepairMark(
                .log, "the log is damaged at index \(index): \(detail)", milliseconds: WallClock.milliseconds))
        try LogStore.renew(
            directory: layout.log, quarantine: layout.quarantine,
            after: EntryID(term: head.state.term, index: head.state.index))
        return try LogStore.open(directory: layout.log)
    }
}

extension RowStoreError {
    /// Whether what is on the disk is at fault: bytes that are wrong, or files that are gone.
    var isDamage: Bool {
        switch cause {
        case .corruption, .missing: true
        case .inputOutput: message.contains("No such file or directory")
        case .noSpace, .locked, .malformedBatch, .other: false
        }
    }
}
