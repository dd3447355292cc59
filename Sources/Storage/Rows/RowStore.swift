internal import CRocksDBShim
package import ReplicaCore
internal import Synchronization

/// What the rows store may use. The defaults keep a node's anonymous memory well under its limit of 300 MB.
package struct RowStoreOptions: Sendable {
    /// Cache of table blocks, filters and indexes, in bytes.
    package var blockCacheBytes = 32 << 20
    /// One write buffer, in bytes.
    package var writeBufferBytes = 32 << 20
    /// Write buffers, the active one included.
    package var writeBuffersMax = 2
    /// Threads that flush and compact.
    package var backgroundJobsMax = 2
    /// Table files held open.
    package var openFilesMax = 512
    /// Bits of a table file's filter per key; 0 for no filter.
    package var filterBitsPerKey = 10.0
    /// Part of a write buffer that a filter over row prefixes takes, 0 to 0.25.
    package var bufferFilterShare = 0.05
    /// Whether filters also know the prefixes of MVCC rows, so that a seek for a key without revisions reads no table.
    package var filtersPrefixes = true
    /// Whether a store is made where there is none.
    package var createsIfMissing = true
    /// Whether the store is only read: nothing on disk changes, and other readers may have it open too.
    package var isReadOnly = false
    /// Whether closing writes the buffers out. Without it closing drops them, as a crash does; the log redoes them.
    package var flushesAtClose = true

    package init() {}
}

/// The rows of a node: one RocksDB with one column family and no write-ahead log of its own.
///
/// Invariants:
/// 1. A batch is applied whole or not at all, also across a crash: it lies in one memory buffer, and a buffer reaches
///    the disk in one atomic step.
/// 2. After a crash the store holds a prefix of the batches written. Which one is told by the rows themselves: every
///    batch carries the applied index.
/// 3. When `flush()` has returned, every batch written before the call survives a crash.
/// 4. The rows behind this value change once in a while for those of a state snapshot (`replace(with:)`). A call that has begun, and
///    a `RowSnapshot` until its next `refresh()`, goes on with the rows that it began with.
///
/// Any thread may call any function. Only one thread should write: batches of several would be ordered by chance.
/// The store closes when its last reference and its last `RowSnapshot` are gone. Errors of closing are not reported,
/// because nothing that the log cannot redo depends on them.
package final class RowStore: Sendable {
    private let held: Mutex<StoreHandle>
    /// The rows as they are reached now.
    var handle: StoreHandle { held.withLock { $0 } }
    /// The directory of the store.
    package var path: String { handle.path }
    private let resumption = Mutex<Void>(())
    /// Rises when the store that is open now has been closed, its lock included.
    package var closing: Closing { handle.closing }

    /// Opens the store at `path`, or makes it there.
    ///
    /// - Throws: `locked`, `missing`, `corruption`, `noSpace` or `inputOutput`, with a sentence.
    package init(path: String, options: RowStoreOptions = RowStoreOptions()) throws(RowStoreError) {
        guard hfr_version_compiled() / 100 == hfr_version_linked() / 100 else {
            throw RowStoreError(
                cause: .other,
                message: "rows: built for RocksDB \(versionText(hfr_version_compiled())) but "
                    + "\(versionText(hfr_version_linked())) is installed; install the first or rebuild")
        }
        var status = hfr_status()
        var given = options.shimOptions
        guard let opened = hfr_open(path, &given, &status) else {
            throw RowStoreError.take(&status, doing: "open", at: path)
        }
        held = Mutex(StoreHandle(opened, path: path))
    }

    /// Takes over the rows of `other`, which must not be used afterwards. The rows before are closed, and their directory is removed,
    /// once the last call and view on them has ended. Only the thread that writes may call this. Keeps (4).
    package func replace(with other: RowStore) {
        let new = other.handle
        let old = held.withLock { held in
            defer { held = new }
            return held
        }
        old.removeAtClose()
    }

    /// As `replace(with:)`, but the directory of the rows before is moved to `path` once they are closed: they were found to be bad.
    package func replace(with other: RowStore, settingAside path: String) {
        let new = other.handle
        let old = held.withLock { held in
            defer { held = new }
            return held
        }
        old.moveAtClose(to: path)
    }

    /// Calls `body` with the rows as they are reached now, which stay open meanwhile.
    func withPointer<Value>(_ body: (OpaquePointer) -> Value) -> Value {
        let handle = self.handle
        return withExtendedLifetime(handle) { body(handle.pointer) }
    }

    /// Applies a batch in RocksDB's wire form. It is durable only after a later `flush()`.
    ///
    /// - Throws: `malformedBatch` with nothing applied; `noSpace`, `inputOutput` or `corruption` when an earlier
    ///   background write failed and the store takes no more (see `resume()`).
    package func write(_ batch: WriteBatch) throws(RowStoreError) {
        try write(form: batch.bytes)
    }

    /// Applies bytes that should be a batch.
    func write(form bytes: [UInt8]) throws(RowStoreError) {
        let fault = bytes.withUnsafeBytes { BatchForm.fault(in: $0) }
        if let fault {
            throw RowStoreError(
                cause: .malformedBatch,
                message: "rows: a batch of \(bytes.count) bytes is malformed (\(fault)) and was not applied")
        }
        try resuming { () throws(RowStoreError) in
            try run("write") { pointer, status in hfr_write(pointer, bytes, bytes.count, &status) }
        }
    }

    /// Writes the buffers to table files and waits until they are durable. Keeps (3).
    package func flush() throws(RowStoreError) {
        try resuming { () throws(RowStoreError) in
            try run("flush") { pointer, status in hfr_flush(pointer, &status) }
        }
    }

    /// Runs a call that a full disk may stop, and once more if there is room by now: so the store resumes by itself. A
    /// write that was refused changed nothing.
    private func resuming(_ body: () throws(RowStoreError) -> Void) throws(RowStoreError) {
        do throws(RowStoreError) {
            try body()
        } catch {
            guard error.cause == .noSpace, backgroundError != nil else { throw error }
            // One at a time: RocksDB refuses a second attempt as busy.
            try resumption.withLock { (_) throws(RowStoreError) in if backgroundError != nil { try resume() } }
            try body()
        }
    }

    /// Leaves the state that takes no more writes after a failure in the background, once its cause is gone. After a
    /// full disk every `write` and `flush` tries that too.
    package func resume() throws(RowStoreError) {
        try run("resume") { pointer, status in hfr_resume(pointer, &status) }
    }

    /// The failure of a background write that stands; nil while all is well.
    package var backgroundError: RowStoreError? {
        var status = hfr_status()
        guard withPointer({ hfr_background_error($0, &status) }) else { return nil }
        return RowStoreError.take(&status, doing: "write in the background", at: path)
    }

    /// Reads every table file and checks every block. Slow: a scrub's work.
    package func verifyChecksums() throws(RowStoreError) {
        try run("verify") { pointer, status in hfr_verify_checksums(pointer, &status) }
    }

    /// Rewrites all rows into the lowest level, which drops what was deleted. Slow.
    package func compactAll() throws(RowStoreError) {
        try resuming { () throws(RowStoreError) in
            try run("compact") { pointer, status in hfr_compact_all(pointer, &status) }
        }
    }

    /// Makes a consistent copy of hard links at `path`, which must not exist and must be on the same file system.
    package func checkpoint(at path: String) throws(RowStoreError) {
        try run("make a checkpoint at \(path)") { pointer, status in hfr_checkpoint(pointer, path, &status) }
    }

    /// A consistent view of the rows as they are now.
    package func reader() -> RowSnapshot { RowSnapshot(of: self) }

    func run(_ action: String, _ body: (OpaquePointer, inout hfr_status) -> Bool) throws(RowStoreError) {
        var status = hfr_status()
        guard withPointer({ body($0, &status) }) else { throw RowStoreError.take(&status, doing: action, at: path) }
    }
}

extension RowStore: RowReader {
    /// The newest value of a row; one copy.
    package func get(_ key: [UInt8]) throws(RowError) -> [UInt8]? {
        var status = hfr_status()
        var bytes: UnsafePointer<UInt8>?
        var count = 0
        let found = withPointer { pointer -> [UInt8]? in
            guard let value = hfr_get(pointer, key, key.count, &bytes, &count, &status) else { return nil }
            defer { hfr_value_release(value) }
            return [UInt8](UnsafeBufferPointer(start: bytes, count: count))
        }
        if found == nil, status.code != 0 { throw RowError(RowStoreError.take(&status, doing: "read", at: path)) }
        return found
    }

    /// Scans a view made for this call. Take a `reader()` for several scans: it keeps its iterators.
    package func scan(
        from: [UInt8], below: [UInt8], reverse: Bool,
        _ body: (_ key: UnsafeRawBufferPointer, _ value: UnsafeRawBufferPointer) -> Bool
    ) throws(RowError) {
        try reader().scan(from: from, below: below, reverse: reverse, body)
    }
}

/// Owns RocksDB's handle and closes it.
///
/// `@unchecked Sendable`: the pointer never changes, and what it points to is `rocksdb::DB`, every function of which
/// may be called by any thread; it is freed once, when no reference is left. The rest is Sendable by itself.
final class StoreHandle: @unchecked Sendable {
    let pointer: OpaquePointer
    let path: String
    let closing = Closing()
    private let isRemoved = Atomic<Bool>(false)
    private let aside = Mutex<String?>(nil)

    init(_ pointer: OpaquePointer, path: String) {
        self.pointer = pointer
        self.path = path
    }

    /// Has the directory removed once the store is closed: while it is open, RocksDB opens its files by name.
    func removeAtClose() { isRemoved.store(true, ordering: .relaxed) }

    /// Has the directory moved once the store is closed.
    func moveAtClose(to path: String) { aside.withLock { $0 = path } }

    deinit {
        hfr_close(pointer)
        if let aside = aside.withLock({ $0 }) {
            // What does not succeed is tried again when the data directory is opened the next time.
            _ = try? FileTree.makeDirectories(FileTree.parent(of: aside))
            _ = try? FileTree.renameExclusive(path, to: aside)
        }
        // What is left of it is removed when the data directory is opened the next time.
        if isRemoved.load(ordering: .relaxed) { _ = try? FileTree.removeTree(path) }
        closing.done()
    }
}

extension RowError {
    /// The failure as the replica sees it.
    init(_ error: RowStoreError) {
        self.init(message: error.message, isCorruption: error.cause == .corruption)
    }
}

private func versionText(_ version: Int32) -> String {
    "\(version / 10000).\(version / 100 % 100).\(version % 100)"
}
