/// A small record in two files, each one block. Both are written, one made durable after the other, before `write` returns:
/// a crash or a bad block hits one copy at most.
struct CopiedFile<Record: CopiedRecord> {
    private let files: [LogFile]
    private let block: PageBuffer
    /// What both copies hold.
    private(set) var record: Record

    static func names(_ name: String) -> [String] { ["\(name)-1", "\(name)-2"] }

    /// Creates both copies.
    static func create(_ name: String, _ record: Record, disk: LogDisk) throws(LogError) {
        for copy in names(name) { try disk.create(copy, bytes: LogFormat.blockBytes) }
        let files = try open(name, disk: disk)
        var created = CopiedFile(files: files, record: record)
        try created.write(record)
    }

    /// The better copy and whether the other one differs; nil if both are bad. Changes nothing.
    static func read(_ name: String, disk: LogDisk) throws(LogError) -> (record: Record, differ: Bool)? {
        var copies: [Record?] = []
        let block = PageBuffer(bytes: LogFormat.blockBytes)
        for copy in names(name) {
            guard let file = try LogFile(copy, disk: disk) else {
                copies.append(nil)
                continue
            }
            let count = try file.read(into: block.bytes, at: 0)
            copies.append(Record(UnsafeRawBufferPointer(rebasing: block.bytes[..<count])))
        }
        return Record.better(of: copies)
    }

    /// Opens the copies to write them; a missing one is created. The caller rewrites them if they differ.
    init(_ name: String, record: Record, disk: LogDisk) throws(LogError) {
        let present = try disk.names()
        for copy in Self.names(name) where !present.contains(copy) {
            try disk.create(copy, bytes: LogFormat.blockBytes)
        }
        self.init(files: try Self.open(name, disk: disk), record: record)
    }

    private init(files: [LogFile], record: Record) {
        self.files = files
        self.record = record
        block = PageBuffer(bytes: LogFormat.blockBytes)
    }

    /// Writes a record with the next sequence number to both copies.
    mutating func write(_ record: Record) throws(LogError) {
        var next = record
        next.sequence = self.record.sequence + 1
        next.encode(into: block.bytes)
        for file in files { try file.writeDurably(UnsafeRawBufferPointer(block.bytes), at: 0) }
        self.record = next
    }

    private static func open(_ name: String, disk: LogDisk) throws(LogError) -> [LogFile] {
        var files: [LogFile] = []
        for copy in names(name) {
            guard let file = try LogFile(copy, disk: disk) else { throw .notFormatted(path: disk.directory) }
            files.append(file)
        }
        return files
    }
}

/// Memory in whole pages, as unbuffered writes need it.
///
/// `@unchecked Sendable` is not needed: a buffer belongs to one owner, who is confined to one thread at a time.
final class PageBuffer {
    private(set) var bytes: UnsafeMutableRawBufferPointer

    init(bytes count: Int) {
        let rounded = LogFormat.wholeBlocks(count)
        bytes = .allocate(byteCount: rounded, alignment: LogFormat.blockBytes)
        bytes.initializeMemory(as: UInt8.self, repeating: 0)
    }

    deinit { bytes.deallocate() }

    /// Makes room for `count` bytes and keeps what is there.
    func grow(to count: Int) {
        guard count > bytes.count else { return }
        let larger = UnsafeMutableRawBufferPointer.allocate(
            byteCount: LogFormat.wholeBlocks(count), alignment: LogFormat.blockBytes)
        larger.initializeMemory(as: UInt8.self, repeating: 0)
        larger.copyMemory(from: UnsafeRawBufferPointer(bytes))
        bytes.deallocate()
        bytes = larger
    }
}
