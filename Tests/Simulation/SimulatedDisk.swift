package import Storage

/// The files of one node's log on a disk that forgets what was not flushed.
///
/// The log writes a whole batch at one moment of simulated time; the calls it makes are kept in `journal` and become durable when the batch is due.
/// A crash before that cuts the journal anywhere: what came before the cut has happened, the write at the cut is torn, and of everything that was
/// written and not flushed each sector is kept or lost by itself.
///
/// Invariants:
/// 1. `File.bytes` is what the process reads; `File.durable` is what a crash leaves at least of it.
/// 2. A sector of `durable` changes only by a flush, or by a crash that keeps it.
///
/// `@unchecked Sendable`: a world runs on one thread.
package final class SimulatedDisk: LogFiles, @unchecked Sendable {
    private struct File {
        var path: String
        var bytes: [UInt8]
        var durable: [UInt8]
        /// Writes since the last flush, oldest first.
        var unflushed: [(offset: Int, bytes: [UInt8])] = []
        var isRemoved = false
    }

    private enum Call {
        case write(Int, offset: Int, bytes: [UInt8])
        case flush(Int)
        case create(Int)
        case remove(Int)
    }

    private static let sectorBytes = 512

    private var files: [File] = []
    private var journal: [Call] = []
    /// New files are refused: the disk is full.
    package var isFull = false
    /// So many calls that write still succeed; the one behind them fails once, and nothing is known of what it wrote. Nil: none fails.
    package var callsUntilFailure: Int?
    /// Calls that wrote or flushed, the failed ones included.
    package private(set) var calls = 0

    package init() {}

    /// Another disk with the same content, calls under way included.
    func copy() -> SimulatedDisk {
        let copy = SimulatedDisk()
        copy.files = files
        copy.journal = journal
        return copy
    }

    /// Whether calls wait to become durable.
    package var isBusy: Bool { !journal.isEmpty }
    /// Calls that wait for a flush to take part in, or for their own.
    package var hasFlushes: Bool {
        journal.contains {
            if case .flush = $0 { return true }
            return false
        }
    }

    // MARK: LogFiles

    package func names() throws(LogError) -> [String] {
        files.filter { !$0.isRemoved }.map { String($0.path.drop { $0 == "/" }) }
    }

    package func open(_ path: String) throws(LogError) -> Int32? {
        files.firstIndex { !$0.isRemoved && $0.path == path }.map { Int32($0) }
    }

    package func size(_ file: Int32) throws(LogError) -> Int { files[Int(file)].bytes.count }

    package func read(
        _ file: Int32, into bytes: UnsafeMutableRawBufferPointer, at offset: Int
    ) throws(LogError) -> Int {
        let count = max(0, min(bytes.count, files[Int(file)].bytes.count - offset))
        files[Int(file)].bytes.withUnsafeBytes {
            bytes.copyMemory(from: UnsafeRawBufferPointer(rebasing: $0[offset..<(offset + count)]))
        }
        return count
    }

    package func write(_ file: Int32, _ bytes: UnsafeRawBufferPointer, at offset: Int) throws(LogError) {
        try fail("write", file)
        let place = Int(file)
        if offset + bytes.count > files[place].bytes.count {
            let missing = offset + bytes.count - files[place].bytes.count
            files[place].bytes.append(contentsOf: repeatElement(0, count: missing))
        }
        files[place].bytes.withUnsafeMutableBytes {
            UnsafeMutableRawBufferPointer(rebasing: $0[offset..<(offset + bytes.count)]).copyMemory(from: bytes)
        }
        journal.append(.write(place, offset: offset, bytes: [UInt8](bytes)))
    }

    package func flush(_ file: Int32) throws(LogError) {
        try fail("flush", file)
        journal.append(.flush(Int(file)))
    }

    package func create(_ name: String, bytes: Int) throws(LogError) {
        guard !isFull else { throw .noSpace(detail: "create \(name)") }
        files.append(File(path: "/" + name, bytes: [UInt8](repeating: 0, count: bytes), durable: []))
        journal.append(.create(files.count - 1))
    }

    package func remove(_ path: String) throws(LogError) {
        guard let place = files.firstIndex(where: { !$0.isRemoved && $0.path == path }) else { return }
        files[place].isRemoved = true
        journal.append(.remove(place))
    }

    private func fail(_ operation: String, _ file: Int32) throws(LogError) {
        calls += 1
        guard let left = callsUntilFailure else { return }
        callsUntilFailure = left == 0 ? nil : left - 1
        guard left == 0 else { return }
        throw .failed(operation: operation, path: files[Int(file)].path, code: 5)
    }

    // MARK: durability

    /// Everything called so far has happened. Keeps (2).
    package func complete() {
        for call in journal { carryOut(call) }
        journal.removeAll(keepingCapacity: true)
    }

    private func carryOut(_ call: Call) {
        switch call {
        case .write(let file, let offset, let bytes):
            files[file].unflushed.append((offset, bytes))
        case .flush(let file):
            for write in files[file].unflushed { put(write.bytes[...], at: write.offset, of: file) }
            files[file].unflushed.removeAll(keepingCapacity: true)
        case .create(let file):
            files[file].durable = [UInt8](repeating: 0, count: files[file].bytes.count)
        case .remove(let file):
            files[file].durable = []
            files[file].bytes = []
        }
    }

    private func put(_ bytes: ArraySlice<UInt8>, at offset: Int, of file: Int) {
        let end = offset + bytes.count
        if end > files[file].durable.count {
            files[file].durable.append(contentsOf: repeatElement(0, count: end - files[file].durable.count))
        }
        files[file].durable.withUnsafeMutableBytes { target in
            bytes.withUnsafeBytes { UnsafeMutableRawBufferPointer(rebasing: target[offset..<end]).copyMemory(from: $0) }
        }
    }

    /// How a crash treats sectors that were written and not flushed.
    package enum Loss: Int, CaseIterable, Sendable {
        case all, none, some
    }

    /// The power goes off. Afterwards the disk holds what the next start finds. Keeps (2).
    package func crash(_ dice: inout Dice) {
        let loss = Loss(rawValue: dice.below(Loss.allCases.count)) ?? .all
        let cut = journal.isEmpty ? 0 : dice.below(journal.count + 1)
        for call in journal[..<cut] { carryOut(call) }
        if cut < journal.count, case .write(let file, let offset, let bytes) = journal[cut] {
            files[file].unflushed.append((offset, bytes))
        }
        for call in journal[cut...] {
            switch call {
            case .create(let file): files[file].isRemoved = true
            case .remove(let file): files[file].isRemoved = false
            case .write, .flush: break
            }
        }
        journal.removeAll()
        for file in files.indices {
            for write in files[file].unflushed { keepSectors(of: write, of: file, loss, &dice) }
            files[file].unflushed = []
            files[file].bytes = files[file].durable
        }
        callsUntilFailure = nil
    }

    private func keepSectors(
        of write: (offset: Int, bytes: [UInt8]), of file: Int, _ loss: Loss, _ dice: inout Dice
    ) {
        var start = 0
        while start < write.bytes.count {
            let end = min(start + Self.sectorBytes - (write.offset + start) % Self.sectorBytes, write.bytes.count)
            let isKept =
                switch loss {
                case .all: false
                case .none: true
                case .some: dice.chance(perMille: 500)
                }
            if isKept { put(write.bytes[start..<end], at: write.offset + start, of: file) }
            start = end
        }
    }

    // MARK: damage

    /// Flips one bit of a file on a disk that nobody uses.
    package func flip(_ path: String, byte: Int, bit: Int) {
        guard let place = files.firstIndex(where: { !$0.isRemoved && $0.path == path }),
            byte < files[place].durable.count
        else { return }
        files[place].durable[byte] ^= 1 << UInt8(bit)
        files[place].bytes = files[place].durable
    }

    /// The durable bytes of a file; empty if there is none.
    package func durableBytes(_ path: String) -> [UInt8] {
        files.first { !$0.isRemoved && $0.path == path }?.durable ?? []
    }

    /// Paths of the files, oldest first.
    package var paths: [String] { files.filter { !$0.isRemoved }.map(\.path) }
}
