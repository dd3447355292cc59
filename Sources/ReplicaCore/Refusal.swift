/// Why a caller's request was refused: the codes that every outward surface shows.
package enum ErrorCode: String, Sendable, Hashable, CaseIterable {
    case invalidArgument, notFound, alreadyExists, preconditionFailed, unauthenticated, permissionDenied, notLeader
    case unavailable, overloaded, deadlineExceeded, outcomeUnknown, sessionExpired, compacted, resourceExhausted
    case fenced, reseedRequired, corrupted, incompatible

    /// The byte that stands for the code in stored and sent bytes.
    package var tag: UInt8 {
        switch self {
        case .invalidArgument: 1
        case .notFound: 2
        case .alreadyExists: 3
        case .preconditionFailed: 4
        case .unauthenticated: 5
        case .permissionDenied: 6
        case .notLeader: 7
        case .unavailable: 8
        case .overloaded: 9
        case .deadlineExceeded: 10
        case .outcomeUnknown: 11
        case .sessionExpired: 12
        case .compacted: 13
        case .resourceExhausted: 14
        case .fenced: 15
        case .reseedRequired: 16
        case .corrupted: 17
        case .incompatible: 18
        }
    }

    package init?(tag: UInt8) {
        guard let code = ErrorCode.allCases.first(where: { $0.tag == tag }) else { return nil }
        self = code
    }
}

/// A request that was refused; nothing was changed by it.
package struct Refusal: Error, Sendable, Hashable {
    package var code: ErrorCode
    /// What failed, on what, and what to do.
    package var message: String
    /// With `compacted`: the earliest revision that can still be read or watched; otherwise 0.
    package var earliestRevision: UInt64

    package init(_ code: ErrorCode, _ message: String, earliestRevision: UInt64 = 0) {
        self.code = code
        self.message = message
        self.earliestRevision = earliestRevision
    }

    /// Nothing was decided: the same command may succeed later, so a session does not keep this answer.
    package var isTransient: Bool { code == .unavailable || code == .sessionExpired }

    /// A write that was done here before another site took over.
    static let outcomeOfOtherSite = Refusal(
        .outcomeUnknown, "the write was done here before this site was fenced; whether the primary has it is not known")

    static func compacted(_ requested: UInt64, earliest: UInt64) -> Refusal {
        Refusal(
            .compacted,
            "revision \(requested) is compacted; the earliest that can be read is \(earliest)",
            earliestRevision: earliest)
    }
}
