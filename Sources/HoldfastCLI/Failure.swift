internal import Holdfast

/// An error as the command line reports it: the error itself and the status to exit with.
struct Failure: Error, Equatable {
    /// What failed, on what, and what to do.
    var error: HoldfastError
    /// The exit status.
    var status: Int32

    /// A failure with the status that its code means, or another where the verb knows better.
    init(_ error: HoldfastError, status: Int32? = nil) {
        self.error = error
        self.status = status ?? ExitStatus.of(error.code)
    }

    /// The failure that `error` is, or nil where the argument parser must print it (usage and help).
    init?(reporting error: any Error) {
        if let failure = error as? Failure {
            self = failure
        } else if let error = error as? HoldfastError {
            self.init(error)
        } else {
            return nil
        }
    }

    /// A command line that cannot be carried out.
    static func usage(_ message: String) -> Failure {
        Failure(HoldfastError(.invalidArgument, message))
    }

    /// A file of the caller's that cannot be used: exit status 1.
    static func file(_ message: String) -> Failure {
        Failure(HoldfastError(.unavailable, message), status: ExitStatus.failed)
    }

    /// One line for people.
    var text: String {
        var lines = "holdfast: \(error.message) [\(error.code.rawValue)]"
        for (name, value) in error.details.sorted(by: { $0.key < $1.key }) {
            lines += "\n  \(name): \(value)"
        }
        return lines
    }

    /// The object that `--json` promises on standard error.
    var json: String {
        JSON.text(
            Document(
                error: Document.Body(code: error.code.rawValue, message: error.message, details: error.details)))
    }

    private struct Document: Encodable {
        struct Body: Encodable {
            var code: String
            var message: String
            var details: [String: String]
        }
        var error: Body
    }
}
