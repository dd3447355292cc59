internal import RaftCore
internal import Simulation
internal import Storage
internal import Testing

/// Known failures of other systems' logs, each held off by one guard.
struct LogScenarios {
    private static func options(_ disk: SimulatedDisk) -> LogOptions {
        var options = LogOptions()
        options.files = disk
        options.segmentBytes = 16_384
        options.headerSlots = 64
        options.spareSegments = 2
        options.writeBytesMax = 16_384
        return options
    }

    private static func open(_ disk: SimulatedDisk) throws -> (LogStore, RecoveredLog) {
        let (log, recovered) = try LogStore.open(directory: "", options: options(disk))
        disk.complete()
        _ = log.prepareSpares()
        return (log, recovered)
    }

    private static func formatted() throws -> SimulatedDisk {
        let disk = SimulatedDisk()
        try LogStore.format(directory: "", identity: 7, options: options(disk))
        disk.complete()
        return disk
    }

    private static func entries(_ indexes: ClosedRange<LogIndex>, term: Term) -> [Entry] {
        indexes.map { Entry(term: term, index: $0, data: [UInt8](repeating: UInt8($0), count: 40)) }
    }

    @Test("an acknowledged entry that went bad is corruption, never a torn tail that is cut off")
    func corruptionIsNotTorn() throws {
        let disk = try Self.formatted()
        let (log, _) = try Self.open(disk)
        _ = try log.carryOut([
            .persist(sequence: 1, hardState: HardState(term: 1, vote: 1), entries: Self.entries(1...5, term: 1))
        ])
        try log.settle()
        try log.flushHeaders()
        disk.complete()
        // The last frame: nothing follows that could tell.
        let segment = try #require(disk.paths.first { $0.contains("segment-") && SegmentEnd.of(disk, $0) > 4096 })
        disk.flip(segment, byte: SegmentEnd.of(disk, segment) - 20, bit: 3)
        #expect {
            _ = try LogStore.open(directory: "", options: Self.options(disk))
        } throws: { error in
            if case .corrupted(let index, _)? = error as? LogError { index == 5 } else { false }
        }
    }

    @Test(
        "a write that was never acknowledged is cut off wherever a crash tore it",
        arguments: 1...60 as ClosedRange<UInt64>)
    func tornTailIsCut(seed: UInt64) throws {
        let disk = try Self.formatted()
        let (log, _) = try Self.open(disk)
        _ = try log.carryOut([
            .persist(sequence: 1, hardState: HardState(term: 1, vote: 1), entries: Self.entries(1...5, term: 1))
        ])
        try log.settle()
        try log.flushHeaders()
        disk.complete()
        _ = try log.carryOut([.persist(sequence: 2, hardState: nil, entries: Self.entries(6...40, term: 1))])
        var dice = Dice(seed: seed)
        disk.crash(&dice)
        let (_, recovered) = try Self.open(disk)
        #expect(recovered.lastIndex >= 5)
        #expect(recovered.hardState.term == 1)
    }

    @Test("rows of a snapshot over a log whose tail conflicts with it: the log begins anew, it does not come back")
    func snapshotOverConflictingTail() throws {
        let disk = try Self.formatted()
        let (log, _) = try Self.open(disk)
        _ = try log.carryOut([
            .persist(sequence: 1, hardState: HardState(term: 3, vote: 1), entries: Self.entries(1...9, term: 1))
        ])
        disk.complete()
        // A crash between the swap of the rows and the reset of the log: rows at 5 of term 2, and a longer log of term 1.
        let (again, recovered) = try Self.open(disk)
        var needsReset = false
        let start = try RaftStart(
            recovered, applied: EntryID(term: 2, index: 5), configuration: ConfState(voters: [1, 2, 3]), log: again,
            needsReset: &needsReset)
        #expect(needsReset)
        var raft = Raft(configuration: RaftConfiguration(id: 1), start: start)
        #expect(raft.lastIndex == 5)
        // The leader's next entry is taken; with the old tail it would be refused, and the same snapshot be offered for ever.
        var effects: [Effect] = []
        raft.step(
            .receive(
                Message(
                    .appendEntries, to: 1, from: 2, term: 3, logTerm: 2, index: 5,
                    entries: [Entry(term: 3, index: 6)])), into: &effects)
        raft.step(.collect, into: &effects)
        let answer = effects.compactMap { effect -> Message? in
            if case .persist(let persist) = effect { persist.responses.first } else { nil }
        }.first
        #expect(answer?.reject == false)
        #expect(raft.lastIndex == 6)
        #expect(raft.term(at: 5) == 2)
    }

    @Test("after a failed write or flush nothing is tried again, and nothing more is acknowledged")
    func failedFlushIsFinal() throws {
        // Term and vote in two copies, then frames: the calls of a write that succeeds.
        let calls = try Self.calls(failingAfter: nil)
        #expect(calls == 6)
        for place in 0..<calls {
            #expect(try Self.calls(failingAfter: place) == place + 1, "call \(place) of \(calls)")
        }
    }

    /// Writes a batch, of which one call fails, and tells how many calls the log made.
    private static func calls(failingAfter place: Int?) throws -> Int {
        let disk = try formatted()
        let (log, _) = try open(disk)
        let before = disk.calls
        disk.callsUntilFailure = place
        do {
            _ = try log.carryOut([
                .persist(sequence: 1, hardState: HardState(term: 1, vote: 1), entries: entries(1...3, term: 1))
            ])
            #expect(place == nil, "acknowledged although call \(place ?? 0) failed")
        } catch {
            #expect(place != nil, "\(error)")
            #expect(throws: LogError.self) { _ = try log.read(from: 1, to: 3, bytesMax: .max) }
        }
        return disk.calls - before
    }
}

/// Where a segment's written bytes end.
private enum SegmentEnd {
    static func of(_ disk: SimulatedDisk, _ path: String) -> Int {
        (disk.durableBytes(path).lastIndex { $0 != 0 } ?? -1) + 1
    }
}
