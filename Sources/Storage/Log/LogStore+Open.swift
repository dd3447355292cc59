package import RaftCore

extension LogStore {
    static let startName = "start"
    static let hardStateName = "hardstate"

    /// Creates an empty log in an existing directory and makes it durable; the start record, written last, makes it a log.
    ///
    /// - Parameters:
    ///   - identity: a number that no other log has; draw it at random.
    ///   - previous: the entry behind which the log begins.
    ///   - hardState: the term, vote and commit index that it begins with.
    package static func format(
        directory: String, identity: UInt64, options: LogOptions = LogOptions(),
        after previous: EntryID = EntryID(term: 0, index: 0), hardState: HardState = HardState()
    ) throws(LogError) {
        precondition(
            options.segmentBytes >= 2 * LogFormat.blockBytes && options.segmentBytes % LogFormat.blockBytes == 0
                && options.segmentBytes <= Int(UInt32.max), "segments of \(options.segmentBytes) bytes")
        precondition(options.headerSlots > 0, "a header ring of \(options.headerSlots) slots")
        let disk = LogDisk(directory: directory, options: options)
        let holdsStart = try CopiedFile<StartRecord>.read(startName, disk: disk) != nil
        let segments = try disk.names().filter { SegmentFile.slot(name: $0) != nil }
        if holdsStart || !segments.isEmpty {
            throw .incompatible(detail: "\(directory) already holds a log")
        }
        try disk.create(HeaderRing.name, bytes: HeaderRing.bytes(slots: options.headerSlots))
        try CopiedFile<HardStateRecord>.create(
            hardStateName, HardStateRecord(sequence: 0, identity: identity, hardState: hardState), disk: disk)
        try CopiedFile<StartRecord>.create(
            startName,
            StartRecord(
                sequence: 0, identity: identity, segmentBytes: UInt32(options.segmentBytes),
                headerSlots: UInt32(options.headerSlots), firstGeneration: 1, previousIndex: previous.index,
                previousTerm: previous.term, chain: LogFormat.chain(startingAt: previous.index, term: previous.term)),
            disk: disk)
    }

    /// Reads the log in `directory`, cuts off a torn tail, and opens it for writing. The caller holds the data directory's lock.
    ///
    /// Until it is known that nothing acknowledged was lost, nothing on disk is changed: not on `corrupted`, not on `hardStateLost`.
    /// Segment size and header slots are those of `format`.
    package static func open(
        directory: String, options: LogOptions = LogOptions()
    ) throws(LogError) -> (LogStore, RecoveredLog) {
        try finishRenewal(directory: directory)
        let disk = LogDisk(directory: directory, options: options)
        let found = try FoundLog(disk: disk, startName: startName, hardStateName: hardStateName)
        let recovery = try found.recover()
        // Nothing was lost: from here on the log may be written to.
        let active = try found.settleTail(of: recovery)
        var start = try CopiedFile(startName, record: found.start, disk: disk)
        if found.startsDiffer { try start.write(found.start) }
        var hardState = try CopiedFile(hardStateName, record: found.hardState, disk: disk)
        if found.hardStatesDiffer { try hardState.write(found.hardState) }
        for name in found.leftovers { try disk.remove(disk.path(name)) }

        let seed = LogFormat.seed(identity: found.start.identity)
        var ring = try HeaderRing(
            disk: disk, image: found.ring, slots: Int(found.start.headerSlots), seed: seed,
            delay: options.headerDelayNanoseconds)
        let buffer = PageBuffer(bytes: max(options.writeBytesMax, 2 * LogFormat.blockBytes))
        if let active { try found.loadTailBlock(of: active, into: buffer) }
        if let last = found.lastFrame(of: recovery) {
            // What is reported as in the log counts as durable from now on: confirm its end.
            try ring.enter([last])
            try ring.flush()
        }

        let map = LogMap(
            start: found.start, segments: found.mapped(recovery), terms: recovery.terms, lastIndex: recovery.lastIndex)
        let shared = LogShared(map: map)
        let pool = SparePool(
            disk: disk, segmentBytes: Int(found.start.segmentBytes), free: try found.free(beside: recovery),
            nextSlot: found.nextSlot, options: options)
        let writer = LogWriter(
            shared: shared, pool: pool, start: start, hardState: hardState, ring: ring, recovery: recovery,
            active: active, buffer: buffer)
        var state = found.hardState.hardState
        state.commit = recovery.commit
        let recovered = RecoveredLog(
            hardState: state, previousIndex: found.start.previousIndex, previousTerm: found.start.previousTerm,
            lastIndex: recovery.lastIndex, lastTerm: recovery.lastTerm, terms: recovery.terms,
            tornBytes: recovery.tornBytes, repairedCopies: found.startsDiffer || found.hardStatesDiffer)
        return (LogStore(shared: shared, writer: writer, pool: pool), recovered)
    }
}
