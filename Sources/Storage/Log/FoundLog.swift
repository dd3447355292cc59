internal import RaftCore

/// The files of a log as they lie on disk when it is opened, and what is done to them once recovery has passed its verdict.
struct FoundLog {
    let start: StartRecord
    /// Whether the two copies of the start are not alike.
    let startsDiffer: Bool
    let hardState: HardStateRecord
    /// Whether the two copies of the hard state are not alike.
    let hardStatesDiffer: Bool
    let ring: PageBuffer
    /// Files that a crash left half made.
    let leftovers: [String]
    /// The slot number for the next new segment.
    let nextSlot: Int

    private let segments: [SegmentFile]
    private let headers: [(slot: Int, header: SegmentHeader?)]
    private let seed: UInt32

    /// Reads everything but the segments' frames. Changes nothing.
    init(disk: LogDisk, startName: String, hardStateName: String) throws(LogError) {
        let names = try disk.names()
        guard names.contains(where: { CopiedFile<StartRecord>.names(startName).contains($0) }) else {
            throw .notFormatted(path: disk.directory)
        }
        guard let starts = try CopiedFile<StartRecord>.read(startName, disk: disk) else {
            throw .corrupted(index: 0, detail: "both copies of the log's start in \(disk.directory) are bad")
        }
        guard let states = try CopiedFile<HardStateRecord>.read(hardStateName, disk: disk) else {
            throw .hardStateLost(detail: "both copies of the hard state in \(disk.directory) are bad")
        }
        guard starts.record.identity == states.record.identity else {
            throw .incompatible(detail: "hard state and log in \(disk.directory) do not belong together")
        }
        (start, startsDiffer) = starts
        (hardState, hardStatesDiffer) = states
        seed = LogFormat.seed(identity: start.identity)
        ring = try HeaderRing.read(disk: disk, slots: Int(start.headerSlots))
        leftovers = names.filter { $0.hasSuffix(".new") }
        var segments: [SegmentFile] = []
        var headers: [(slot: Int, header: SegmentHeader?)] = []
        let block = PageBuffer(bytes: LogFormat.blockBytes)
        for name in names {
            guard let slot = SegmentFile.slot(name: name), let file = try LogFile(name, disk: disk) else { continue }
            let count = try file.read(into: block.bytes, at: 0)
            let header = SegmentHeader(UnsafeRawBufferPointer(rebasing: block.bytes[..<count]), seed: seed)
            segments.append(SegmentFile(slot: slot, file: file))
            headers.append((slot, header))
        }
        self.segments = segments
        self.headers = headers
        nextSlot = (segments.map(\.slot).max() ?? 0) + 1
    }

    /// The verdict on the frames. Changes nothing.
    func recover() throws(LogError) -> LogRecovery {
        let buffer = PageBuffer(bytes: Int(start.segmentBytes))
        let ringBytes = HeaderRing.bytes(slots: Int(start.headerSlots))
        return try LogRecovery(
            start: start, commit: hardState.hardState.commit,
            ring: UnsafeRawBufferPointer(rebasing: ring.bytes[..<ringBytes]), headers: headers
        ) { slot, bytesMax throws(LogError) in
            let count = min(bytesMax, Int(start.segmentBytes))
            let target = UnsafeMutableRawBufferPointer(rebasing: buffer.bytes[..<count])
            guard let segment = segments.first(where: { $0.slot == slot }) else {
                return UnsafeRawBufferPointer(rebasing: buffer.bytes[..<0])
            }
            return UnsafeRawBufferPointer(rebasing: buffer.bytes[..<(try segment.file.read(into: target, at: 0))])
        }
    }

    /// Zeros the torn tail and makes the last segment durable as it is; returns it as the one to go on with.
    func settleTail(of recovery: LogRecovery) throws(LogError) -> LogWriter.Active? {
        guard let last = recovery.segments.last, let segment = segments.first(where: { $0.slot == last.slot }) else {
            return nil
        }
        let end = Int(last.end)
        try zero(segment.file, from: end, to: end + recovery.tornBytes)
        try segment.file.flush()
        let base = end & ~(LogFormat.blockBytes - 1)
        return LogWriter.Active(
            segment: segment, header: last.header, base: base, used: end - base, durable: end - base)
    }

    /// Reads the last block's frames back, since the next write contains it.
    func loadTailBlock(of active: LogWriter.Active, into buffer: PageBuffer) throws(LogError) {
        let target = UnsafeMutableRawBufferPointer(rebasing: buffer.bytes[..<active.used])
        let got = try active.segment.file.read(into: target, at: active.base)
        guard got == active.used else {
            throw .failed(operation: "read", path: active.segment.file.path, code: 0)
        }
    }

    /// The last frame that counts, for the header ring.
    func lastFrame(of recovery: LogRecovery) -> StagedFrame? {
        guard let segment = recovery.segments.last(where: { !$0.offsets.isEmpty }), let offset = segment.offsets.last
        else { return nil }
        return StagedFrame(
            index: recovery.lastIndex, term: recovery.lastTerm,
            position: LogPosition(generation: segment.header.generation, offset: offset),
            dataBytes: 0, chain: recovery.chain)
    }

    /// The segments of the log, for the readers' map.
    func mapped(_ recovery: LogRecovery) -> [LogMap.Segment] {
        var mapped: [LogMap.Segment] = []
        for found in recovery.segments {
            guard let file = segments.first(where: { $0.slot == found.slot }) else { continue }
            mapped.append(
                LogMap.Segment(
                    file: file, header: found.header, first: found.first, offsets: found.offsets, end: found.end,
                    lowest: found.lowest))
        }
        return mapped
    }

    /// The segments that the log does not use, each of full size.
    func free(beside recovery: LogRecovery) throws(LogError) -> [SegmentFile] {
        var free: [SegmentFile] = []
        for segment in segments where !recovery.segments.contains(where: { $0.slot == segment.slot }) {
            let size = try segment.file.size()
            if size < Int(start.segmentBytes) {
                try zero(segment.file, from: size, to: Int(start.segmentBytes))
                try segment.file.flush()
            }
            free.append(segment)
        }
        return free
    }

    private func zero(_ file: LogFile, from: Int, to: Int) throws(LogError) {
        guard from < to else { return }
        let zeros = PageBuffer(bytes: min(to - from, 1 << 20))
        var offset = from
        while offset < to {
            let count = min(to - offset, zeros.bytes.count)
            try file.write(UnsafeRawBufferPointer(rebasing: zeros.bytes[..<count]), at: offset)
            offset += count
        }
    }
}
