internal import Holdfast

/// The exit statuses of every verb: scripts depend on them, so none may change its meaning.
enum ExitStatus {
    /// Done.
    static let ok: Int32 = 0
    /// Failed for a reason that has no status of its own.
    static let failed: Int32 = 1
    /// A precondition did not hold, or the name is taken.
    static let conflict: Int32 = 2
    /// What was named does not exist.
    static let notFound: Int32 = 3
    /// The command line or the request itself is wrong (EX_USAGE).
    static let usage: Int32 = 64
    /// No leader, no answer to a read in time, or a full queue: try again (EX_UNAVAILABLE).
    static let unavailable: Int32 = 69
    /// A write was sent and no answer came: it may have happened (EX_TEMPFAIL).
    static let outcomeUnknown: Int32 = 75
    /// Not allowed (EX_NOPERM).
    static let permission: Int32 = 77
    /// Ended by SIGINT, as shells report it.
    static let interrupted: Int32 = 130

    /// The status that an error of `code` ends the program with.
    static func of(_ code: HoldfastError.Code) -> Int32 {
        switch code {
        case .preconditionFailed, .alreadyExists: conflict
        case .notFound: notFound
        case .invalidArgument: usage
        case .unavailable, .overloaded, .notLeader, .deadlineExceeded: unavailable
        case .outcomeUnknown: outcomeUnknown
        case .unauthenticated, .permissionDenied: permission
        case .sessionExpired, .compacted, .resourceExhausted, .fenced, .reseedRequired, .corrupted, .incompatible:
            failed
        }
    }
}
