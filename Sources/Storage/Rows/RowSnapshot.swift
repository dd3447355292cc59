internal import CRocksDBShim
package import ReplicaCore

/// A consistent view of the rows, with iterators that are kept between scans: a seek allocates nothing.
///
/// One thread at a time. A view keeps table files and write buffers that the store would else free, so let it go, or
/// `refresh()` it, soon.
package struct RowSnapshot: RowReader, ~Copyable {
    private let store: RowStore
    /// What the view is on; it stays open as long as the view is.
    private var handle: StoreHandle
    private var pointer: OpaquePointer

    init(of store: RowStore) {
        self.store = store
        let handle = store.handle
        self.handle = handle
        self.pointer = hfr_reader_create(handle.pointer)
    }

    deinit { hfr_reader_destroy(pointer) }

    /// Moves the view to the rows as they are now.
    package mutating func refresh() {
        let newest = store.handle
        guard newest !== handle else { return hfr_reader_refresh(pointer) }
        hfr_reader_destroy(pointer)
        pointer = hfr_reader_create(newest.pointer)
        handle = newest
    }

    /// Lets go of the table files and write buffers that the view keeps, for an owner that will idle. Until the next
    /// `refresh()` it shows the newest rows and is not consistent.
    package mutating func release() { hfr_reader_release(pointer) }

    /// The value of a row in this view; one copy.
    package borrowing func get(_ key: [UInt8]) throws(RowError) -> [UInt8]? {
        var status = hfr_status()
        var bytes: UnsafePointer<UInt8>?
        var count = 0
        switch hfr_reader_get(pointer, key, key.count, &bytes, &count, &status) {
        case 0: return nil
        case 1: return [UInt8](UnsafeBufferPointer(start: bytes, count: count))
        default: throw RowError(RowStoreError.take(&status, doing: "read", at: handle.path))
        }
    }

    /// Calls `body` with the rows from `from` up to but not including `below`, in key order or against it, until it
    /// returns false. The buffers are valid only inside the call. `body` may use this view, which then costs it new
    /// iterators.
    package borrowing func scan(
        from: [UInt8], below: [UInt8], reverse: Bool,
        _ body: (_ key: UnsafeRawBufferPointer, _ value: UnsafeRawBufferPointer) -> Bool
    ) throws(RowError) {
        if hfr_reader_is_scanning(pointer) {
            let fork: OpaquePointer = hfr_reader_fork(pointer)
            defer { hfr_reader_destroy(fork) }
            try run(fork, from, below, reverse, body)
        } else {
            try run(pointer, from, below, reverse, body)
        }
    }

    private func run(
        _ reader: OpaquePointer, _ from: [UInt8], _ below: [UInt8], _ reverse: Bool,
        _ body: (_ key: UnsafeRawBufferPointer, _ value: UnsafeRawBufferPointer) -> Bool
    ) throws(RowError) {
        var status = hfr_status()
        var row = hfr_row()
        var found = hfr_reader_seek(reader, from, from.count, below, below.count, reverse, &row, &status)
        while found == 1 {
            let key = UnsafeRawBufferPointer(start: row.key, count: row.key_count)
            let value = UnsafeRawBufferPointer(start: row.value, count: row.value_count)
            guard body(key, value) else {
                hfr_reader_end_scan(reader)
                return
            }
            found = hfr_reader_next(reader, &row, &status)
        }
        if found < 0 { throw RowError(RowStoreError.take(&status, doing: "scan", at: handle.path)) }
    }
}
