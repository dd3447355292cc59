internal import CRocksDBShim

extension RowStoreError {
    /// Makes an error of what the shim reported, and frees it.
    static func take(_ status: inout hfr_status, doing action: String, at path: String) -> RowStoreError {
        defer { hfr_status_clear(&status) }
        let text = status.message.map { String(cString: $0) } ?? "no reason given"
        let cause = Cause(code: status.code, subcode: status.subcode, text: text)
        return RowStoreError(
            cause: cause, message: "rows: cannot \(action) at \(path): \(text); \(cause.advice)",
            code: status.code, subcode: status.subcode, severity: status.severity)
    }
}

extension RowStoreError.Cause {
    /// `code` and `subcode` as in RocksDB's status.h. A lock and a missing store have no code of their own, only words.
    fileprivate init(code: UInt8, subcode: UInt8, text: String) {
        switch (code, subcode) {
        case (_, 4), (_, 8): self = .noSpace
        // A write that waits for a flush that failed is given up with that failure's words.
        case (7, _) where text.contains("No space left on device"): self = .noSpace
        case (2, _): self = .corruption
        case (5, _) where text.contains("lock hold by current process") || text.contains("While lock file"):
            self = .locked
        case (4, _) where text.contains("does not exist (create_if_missing is false)"): self = .missing
        case (5, _): self = .inputOutput
        default: self = .other
        }
    }

    fileprivate var advice: String {
        switch self {
        case .noSpace: "free space on that disk, and the store resumes by itself"
        case .corruption: "check the disk, then fetch this node's state anew from its peers"
        case .inputOutput: "check the disk and the permissions of that directory"
        case .locked: "stop the process that has it open"
        case .missing: "format a data directory first"
        case .malformedBatch, .other: "report this with the log of the node"
        }
    }
}

extension RowStoreOptions {
    var shimOptions: hfr_options {
        hfr_options(
            block_cache_bytes: blockCacheBytes, write_buffer_bytes: writeBufferBytes,
            write_buffers_max: Int32(clamping: writeBuffersMax),
            background_jobs_max: Int32(clamping: backgroundJobsMax),
            open_files_max: Int32(clamping: openFilesMax), filter_bits_per_key: filterBitsPerKey,
            buffer_filter_share: bufferFilterShare, prefix_filter: filtersPrefixes,
            create_if_missing: createsIfMissing && !isReadOnly, read_only: isReadOnly,
            flush_at_close: flushesAtClose && !isReadOnly)
    }
}

/// Numbers of the rows store for the metrics of a node, all in bytes unless said otherwise.
package struct RowStoreNumbers: Sendable, Equatable {
    /// Write buffers in memory, flushed ones that readers still hold included.
    package var bufferBytes: UInt64
    /// Table files that hold live rows.
    package var tableBytes: UInt64
    package var blockCacheBytes: UInt64
    /// Memory of table readers outside the block cache.
    package var tableReaderBytes: UInt64
    /// Rows, tombstones counted roughly.
    package var rowsEstimated: UInt64
    /// Whether writers wait for a flush or compaction.
    package var isWriteStopped: Bool
    /// Failures of background writes since the start.
    package var backgroundErrors: UInt64
}

extension RowStore {
    /// The numbers as they are now.
    package var numbers: RowStoreNumbers {
        RowStoreNumbers(
            bufferBytes: property("rocksdb.size-all-mem-tables"),
            tableBytes: property("rocksdb.live-sst-files-size"),
            blockCacheBytes: withPointer { hfr_block_cache_bytes($0) },
            tableReaderBytes: property("rocksdb.estimate-table-readers-mem"),
            rowsEstimated: property("rocksdb.estimate-num-keys"),
            isWriteStopped: property("rocksdb.is-write-stopped") != 0,
            backgroundErrors: withPointer { hfr_background_error_count($0) })
    }

    private func property(_ name: String) -> UInt64 {
        var value: UInt64 = 0
        return withPointer { hfr_property($0, name, &value) } ? value : 0
    }
}
