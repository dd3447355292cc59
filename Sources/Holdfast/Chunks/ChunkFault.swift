internal import ReplicaCore
internal import Storage

/// What the failures of rows, chunk files and peers mean to a caller.
enum ChunkFault {
    /// Rows that cannot be read.
    static func rows(_ error: any Error) -> HoldfastError {
        switch error {
        case let known as HoldfastError: known
        case let known as RowError: rows(known)
        case QueryError.rows(let known): rows(known)
        case QueryError.refused(let refusal): refused(refusal)
        default: HoldfastError(.unavailable, "the applied rows cannot be read: \(error)")
        }
    }

    private static func rows(_ error: RowError) -> HoldfastError {
        HoldfastError(
            error.isCorruption ? .corrupted : .unavailable, "the applied rows cannot be read: \(error.message)")
    }

    /// A chunk file that cannot be written or read.
    static func store(_ error: ChunkError) -> HoldfastError {
        let code: HoldfastError.Code =
            switch error.cause {
            case .nameMismatch: .invalidArgument
            case .missing: .notFound
            case .noSpace: .resourceExhausted
            case .bufferTooSmall, .inputOutput: .unavailable
            }
        return HoldfastError(code, error.message)
    }

    /// A command that was refused when it was applied.
    static func refused(_ refusal: Refusal) -> HoldfastError {
        HoldfastError(HoldfastError.Code(rawValue: refusal.code.rawValue) ?? .unavailable, refusal.message)
    }

    static func noUpload(_ upload: UploadID) -> HoldfastError {
        HoldfastError(
            .notFound, "upload \(upload) is not open here; begin it, or push again if it was aborted or has expired",
            details: ["upload": upload.hex])
    }

    /// The name under which the answer for a chunk that nothing names any more carries the revision of the node that says so.
    static let retiredAt = "retiredAt"

    /// A chunk that nothing names at `revision`.
    static func retired(_ id: ChunkID, at revision: UInt64) -> HoldfastError {
        HoldfastError(
            .notFound, "chunk \(id) is not here, and nothing names it at revision \(revision): its model was retired",
            details: [retiredAt: String(revision)])
    }

    /// A question that only rows that can be relied on answer.
    static func quarantined(_ node: UInt64) -> HoldfastError {
        HoldfastError(
            .unavailable, "node \(node) is quarantined and vouches for nothing; ask another node",
            details: ["quarantined": String(node)])
    }

    static func missing(_ id: ChunkID) -> HoldfastError {
        HoldfastError(.notFound, "chunk \(id) is not on this node; ask another")
    }
}
