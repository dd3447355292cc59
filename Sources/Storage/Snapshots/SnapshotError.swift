/// Why a state snapshot could not be made, read, fetched or installed.
package struct SnapshotError: Error, Sendable, Equatable, CustomStringConvertible {
    /// What kind of failure it is.
    package enum Cause: Sendable, Equatable {
        /// Bytes are not those that the manifest names, or no snapshot of ours.
        case corrupted
        /// It belongs to another cluster or another history.
        case foreign
        /// There is no such snapshot, or no such part of it.
        case missing
        /// The disk or a quota is full.
        case noSpace
        /// The operating system or RocksDB refused.
        case inputOutput
    }

    package let cause: Cause
    /// What failed, on what, and what to do.
    package let message: String
    package var description: String { message }

    package init(_ cause: Cause, _ message: String) {
        self.cause = cause
        self.message = message
    }

    init(_ error: FileError) {
        self.init(
            error.isNoSpace ? .noSpace : .inputOutput,
            "state snapshot: \(error); \(error.isNoSpace ? "free space on that disk" : "check the disk")")
    }

    init(_ error: RowStoreError) {
        switch error.cause {
        case .noSpace: self.init(.noSpace, error.message)
        case .corruption: self.init(.corrupted, error.message)
        default: self.init(.inputOutput, error.message)
        }
    }

    init(_ error: DirectoryError) {
        self.init(error.cause == .noSpace ? .noSpace : .inputOutput, error.message)
    }
}
