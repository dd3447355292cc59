/// An error that a caller of Holdfast can act on: a code that programs test and a sentence that people read.
///
/// `outcomeUnknown` is the only code that means "it may have happened"; every other code of a write means that it did not.
public struct HoldfastError: Error, Sendable, Equatable, CustomStringConvertible {
    /// The codes of the command line's `--json` errors and of the wire protocol; the raw value is the printed name.
    public enum Code: String, Sendable, CaseIterable {
        /// The request itself is wrong; sending it again changes nothing.
        case invalidArgument
        /// What was named does not exist (or no longer).
        case notFound
        /// The name is taken by something else.
        case alreadyExists
        /// A compare (`--if-revision`, a transaction's condition) did not hold.
        case preconditionFailed
        /// The caller did not say who it is.
        case unauthenticated
        /// The caller may not do this.
        case permissionDenied
        /// The node asked does not lead; `details["leader"]` names the one that does, where it is known.
        case notLeader
        /// No node, or no quorum, could be reached.
        case unavailable
        /// A queue is full; try again later.
        case overloaded
        /// The deadline passed before an answer to a read came.
        case deadlineExceeded
        /// A write was sent and no answer came: it may have been applied.
        case outcomeUnknown
        /// The client session is unknown to the cluster or was evicted.
        case sessionExpired
        /// The revision asked for is below the compact revision; `details["earliest"]` is the first that can be read.
        case compacted
        /// A disk or a quota is full.
        case resourceExhausted
        /// This site does not accept writes; `details["primary"]` names the one that does.
        case fenced
        /// The standby is too far behind and must be seeded anew.
        case reseedRequired
        /// Stored bytes do not match their checksum or name.
        case corrupted
        /// The other side speaks a version or belongs to a cluster that does not fit.
        case incompatible
    }

    /// What kind of failure it is.
    public var code: Code
    /// What failed, on what, and what to do about it.
    public var message: String
    /// Facts that programs may use: `leader`, `earliest`, `upload`, …
    public var details: [String: String]

    /// Makes an error of `code` that says `message`.
    public init(_ code: Code, _ message: String, details: [String: String] = [:]) {
        self.code = code
        self.message = message
        self.details = details
    }

    /// `code: message`.
    public var description: String { "\(code.rawValue): \(message)" }
}
