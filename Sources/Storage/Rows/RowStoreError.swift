/// Why the rows store failed, with what RocksDB knows about it.
package struct RowStoreError: Error, Sendable, Equatable {
    /// What kind of failure it is, and so what to do.
    package enum Cause: Sendable, Equatable {
        /// The disk or a quota is full. Once there is space the next write goes through.
        case noSpace
        /// Bytes on disk are not what was written.
        case corruption
        /// The operating system refused a read or write.
        case inputOutput
        /// Another process, or this one, has the store open.
        case locked
        /// There is no store at that path.
        case missing
        /// A batch that is not in RocksDB's form; nothing of it was applied.
        case malformedBatch
        /// Anything else that RocksDB reports.
        case other
    }

    package let cause: Cause
    /// What failed, on what, and what to do.
    package let message: String
    /// `rocksdb::Status::Code`, `SubCode` and `Severity` as numbers; 0 for a failure found before RocksDB was asked.
    package let code: UInt8
    package let subcode: UInt8
    package let severity: UInt8

    package init(cause: Cause, message: String, code: UInt8 = 0, subcode: UInt8 = 0, severity: UInt8 = 0) {
        self.cause = cause
        self.message = message
        self.code = code
        self.subcode = subcode
        self.severity = severity
    }
}

extension RowStoreError: CustomStringConvertible {
    package var description: String { message }
}
