/// The file `headers`: a ring of the headers of frames known to be durable, apart from the frames.
///
/// Invariants:
/// 1. A header enters only after the wait for its frame's durability has returned.
/// 2. A header that entered is durable at the latest `delay` later, if the writer keeps asking `deadline`.
struct HeaderRing {
    static let name = "headers"

    private let file: LogFile
    private let seed: UInt32
    private let delay: UInt64
    /// The ring's bytes; the file trails it only inside `enter`.
    private let image: PageBuffer
    private let slots: Int
    private var next = 0
    /// When the oldest header that is not durable yet must be; nil if all are.
    private(set) var deadline: UInt64?

    /// Bytes of the file.
    static func bytes(slots: Int) -> Int { LogFormat.wholeBlocks(slots * RingHeader.bytes) }

    /// The bytes of a ring; empty if the file is missing.
    static func read(disk: LogDisk, slots: Int) throws(LogError) -> PageBuffer {
        let image = PageBuffer(bytes: bytes(slots: slots))
        if let file = try LogFile(name, disk: disk) { _ = try file.read(into: image.bytes, at: 0) }
        return image
    }

    /// Opens the ring for writing, and creates it again if it is missing or short: it then says less, but nothing wrong.
    init(disk: LogDisk, image: PageBuffer, slots: Int, seed: UInt32, delay: UInt64) throws(LogError) {
        let bytes = Self.bytes(slots: slots)
        var opened = try LogFile(Self.name, disk: disk)
        if try opened?.size() != bytes {
            try disk.create(Self.name, bytes: bytes)
            opened = try LogFile(Self.name, disk: disk)
            try opened?.write(UnsafeRawBufferPointer(image.bytes), at: 0)
        }
        guard let opened else { throw .notFormatted(path: disk.directory) }
        file = opened
        self.image = image
        self.slots = slots
        self.seed = seed
        self.delay = delay
        var newest: LogPosition?
        for slot in 0..<slots {
            let bytes = UnsafeRawBufferPointer(rebasing: image.bytes[(slot * RingHeader.bytes)...])
            guard let header = RingHeader(bytes, seed: seed) else { continue }
            if let newest, newest >= header.position { continue }
            newest = header.position
            next = (slot + 1) % slots
        }
    }

    /// Puts the headers of durable frames into the page cache; of more than fit, the last ones. Keeps (1) if the caller does.
    mutating func enter(_ frames: [StagedFrame]) throws(LogError) {
        guard !frames.isEmpty else { return }
        let first = next
        let kept = frames.suffix(slots)
        for frame in kept {
            let bytes = UnsafeMutableRawBufferPointer(
                rebasing: image.bytes[(next * RingHeader.bytes)..<((next + 1) * RingHeader.bytes)])
            RingHeader(
                position: frame.position, dataBytes: frame.dataBytes, index: frame.index, chain: frame.chain
            ).encode(into: bytes, seed: seed)
            next = (next + 1) % slots
        }
        if first + kept.count <= slots {
            try write(first..<(first + kept.count))
        } else {
            try write(first..<slots)
            try write(0..<next)
        }
        if deadline == nil { deadline = monotonicNanoseconds() + delay }
    }

    /// Makes the headers durable. Keeps (2).
    mutating func flush() throws(LogError) {
        guard deadline != nil else { return }
        try file.flush()
        deadline = nil
    }

    private func write(_ range: Range<Int>) throws(LogError) {
        let bytes = image.bytes[(range.lowerBound * RingHeader.bytes)..<(range.upperBound * RingHeader.bytes)]
        try file.write(UnsafeRawBufferPointer(rebasing: bytes), at: range.lowerBound * RingHeader.bytes)
    }
}

/// A frame that was encoded in the batch at hand.
struct StagedFrame {
    var index: UInt64
    var term: UInt64
    var position: LogPosition
    var dataBytes: UInt32
    /// Chain hash after the entry.
    var chain: UInt64
}
