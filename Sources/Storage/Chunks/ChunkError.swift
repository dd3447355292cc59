internal import ReplicaCore

/// Why a chunk could not be written or read.
package struct ChunkError: Error, Sendable, Equatable, CustomStringConvertible {
    /// What kind of failure it is.
    package enum Cause: Sendable, Equatable {
        /// The bytes are not those that the name stands for. Nothing was kept.
        case nameMismatch
        /// There is no such chunk here.
        case missing
        /// The chunk does not fit in the caller's buffer.
        case bufferTooSmall
        /// The disk or a quota is full. Nothing was kept.
        case noSpace
        /// The operating system refused.
        case inputOutput
    }

    package let cause: Cause
    /// What failed, on what, and what to do.
    package let message: String
    package var description: String { message }

    init(_ cause: Cause, _ message: String) {
        self.cause = cause
        self.message = message
    }

    init(_ error: FileError, doing action: String) {
        let isFull = error.isNoSpace
        self.init(
            isFull ? .noSpace : .inputOutput,
            "cannot \(action): \(error); " + (isFull ? "free space on that disk" : "check the disk and its permissions")
        )
    }

    static func missing(_ path: String) -> ChunkError {
        ChunkError(.missing, "there is no chunk at \(path); fetch it from a peer")
    }
}
