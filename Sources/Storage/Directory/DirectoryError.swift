/// Why a data directory was refused or could not be used. Every message says what failed, on what, and what to do.
package struct DirectoryError: Error, Sendable, Equatable, CustomStringConvertible {
    /// What kind of refusal it is.
    package enum Cause: Sendable, Equatable {
        /// There is no data directory at that path.
        case notFormatted
        /// A data directory is there already; it was not touched.
        case alreadyFormatted
        /// Files of somebody else are there; they were not touched.
        case notEmpty
        /// Formatting began there and was interrupted.
        case halfFormatted
        /// The identity is not a file of ours.
        case foreign
        /// Another process has it open, with its process ID where that is known.
        case locked(Int32?)
        /// A file of ours is not what was written.
        case corrupted
        /// The format is of another version than this build reads; `reads` is the newest of those.
        case version(found: Int, reads: Int)
        /// An argument of `format` is not valid.
        case invalidArgument
        /// A lineage was recorded before, and it is another one.
        case lineageDiffers
        /// The node was removed from its cluster; its ID is never used again.
        case removed
        /// The disk or a quota is full.
        case noSpace
        /// The operating system refused.
        case inputOutput
    }

    package let cause: Cause
    package let message: String
    package var description: String { message }

    package init(_ cause: Cause, _ message: String) {
        self.cause = cause
        self.message = message
    }

    /// A failed call, with what it was for and what to do.
    init(_ error: FileError, doing action: String, advice: String = "check the path, its permissions and the disk") {
        let isFull = error.isNoSpace
        self.init(
            isFull ? .noSpace : .inputOutput,
            "cannot \(action): \(error); \(isFull ? "free space on that disk and try again" : advice)")
    }
}
