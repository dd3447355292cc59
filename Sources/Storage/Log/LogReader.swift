internal import RaftCore
internal import Synchronization

/// Reads durable entries back, from any thread, beside the writer.
struct LogReader: Sendable {
    let shared: LogShared
    let seed: UInt32

    /// Bytes of one read, unless one frame is larger.
    private static let readBytes = 1 << 20

    /// Entries `from ... to`, or up to the last durable one; fewer if they would exceed `bytesMax` payload bytes, but at least one.
    func read(from: LogIndex, to: LogIndex, bytesMax: Int) throws(LogError) -> [Entry] {
        var entries: [Entry] = []
        var bytes = 0
        var index = from
        var suspect: LogIndex?
        while true {
            let (stretch, first, last) = shared.map.withLock { map in
                (map.stretch(from: index, to: max(to, index)), map.previousIndex + 1, map.lastIndex)
            }
            if index < first { throw .compacted(first: first) }
            guard index <= min(to, last), let stretch else {
                if entries.isEmpty { throw .beyondEnd(last: last) }
                return entries
            }
            let room = max(bytesMax - bytes, 0)
            let found = try frames(of: stretch, bytesMax: min(room, Self.readBytes), direct: suspect == index)
            if found.isEmpty {
                // The segment was recycled in between, or the page cache is behind: look again once, past the page cache.
                if suspect == index, shared.map.withLock({ $0.previousIndex }) < index {
                    throw .corrupted(index: index, detail: "bad frame in \(stretch.file.file.path)")
                }
                suspect = index
                continue
            }
            for entry in found {
                if !entries.isEmpty, bytes + entry.data.count > bytesMax { return entries }
                bytes += entry.data.count
                entries.append(entry)
            }
            index += UInt64(found.count)
            if index > to { return entries }
        }
    }

    /// The intact frames at the beginning of a stretch, as many as one read of about `bytesMax` gives.
    private func frames(of stretch: LogMap.Stretch, bytesMax: Int, direct: Bool) throws(LogError) -> [Entry] {
        guard let from = stretch.offsets.first else { return [] }
        // Offsets rise, with gaps where replaced frames lie.
        var count = 1
        while count < stretch.offsets.count, Int(stretch.offsets[count]) - Int(from) <= bytesMax { count += 1 }
        let end = count < stretch.offsets.count ? stretch.offsets[count] : stretch.end
        var wanted = Int(end - from)
        if count == 1, wanted > Self.readBytes {
            guard let header = try stretch.header(at: Int(from), seed: seed) else { return [] }
            wanted = min(wanted, header.frameBytes)
        }
        return try stretch.withBytes(at: Int(from), count: wanted, direct: direct) { bytes in
            var entries: [Entry] = []
            entries.reserveCapacity(count)
            for (number, offset) in stretch.offsets[..<count].enumerated() {
                guard Int(offset - from) < bytes.count else { break }
                let frame = UnsafeRawBufferPointer(rebasing: bytes[Int(offset - from)...])
                guard let entry = Frame.entry(frame, generation: stretch.generation, seed: seed),
                    entry.index == stretch.first + UInt64(number)
                else { break }
                entries.append(entry)
            }
            return entries
        }
    }
}

extension LogMap.Stretch {
    /// The header of the frame at an offset; nil if it is not intact or not of this segment's generation.
    func header(at offset: Int, seed: UInt32) throws(LogError) -> FrameHeader? {
        for direct in [false, true] {
            let header = try withBytes(at: offset, count: LogFormat.frameHeaderBytes, direct: direct) {
                FrameHeader($0, seed: seed)
            }
            if let header, header.generation == generation { return header }
        }
        return nil
    }

    /// Reads bytes of the segment: through the page cache, or past it where the file system allows.
    func withBytes<Result>(
        at offset: Int, count: Int, direct: Bool, _ body: (UnsafeRawBufferPointer) -> Result
    ) throws(LogError) -> Result {
        let lead = direct ? offset % LogFormat.blockBytes : 0
        let buffer = PageBuffer(bytes: lead + count)
        let target = UnsafeMutableRawBufferPointer(
            rebasing: buffer.bytes[..<(direct ? LogFormat.wholeBlocks(lead + count) : count)])
        let got = try file.file.read(into: target, at: offset - lead, direct: direct)
        let end = min(got, lead + count)
        return body(UnsafeRawBufferPointer(rebasing: buffer.bytes[min(lead, end)..<end]))
    }
}
