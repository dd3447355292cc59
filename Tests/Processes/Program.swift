internal import Foundation
internal import Synchronization

/// The built program, run as a process of its own; every run has a deadline after which it is ended and the test fails.
package enum Program {
    /// How a run ended and what it said.
    package struct Outcome: Sendable {
        /// The exit status; a death by signal is 128 and the signal, as shells report it.
        package var status: Int32
        /// Standard output, byte for byte.
        package var output: [UInt8]
        /// Standard error as text.
        package var error: String

        /// Standard output as text.
        package var text: String { String(decoding: output, as: UTF8.self) }
        /// The lines of standard output.
        package var lines: [String] { text.split(separator: "\n").map(String.init) }
        /// Standard output as one JSON object.
        package var document: JSONObject { get throws { try JSONObject(text) } }
        /// Every line of standard output as a JSON object.
        package var documents: [JSONObject] { get throws { try lines.map { try JSONObject($0) } } }
        /// The body of the JSON error on standard error, after its three fields were checked.
        package var failure: JSONObject {
            get throws {
                let whole = try JSONObject(error)
                guard whole.names == ["error"], let body = whole.object("error"),
                    body.names == ["code", "details", "message"], body.object("details") != nil,
                    body.text("message")?.isEmpty == false
                else { throw Unexpected("no error as --json promises it: \(error)") }
                return body
            }
        }
    }

    /// Runs the program to its end.
    package static func run(
        _ arguments: [String], input: [UInt8] = [], environment: [String: String] = [:], seconds: Int = 60
    ) async throws -> Outcome {
        let running = try RunningProgram(arguments, input: input, environment: environment)
        return try await running.outcome(seconds: seconds)
    }

    /// The program lies beside the test bundle, or where `HOLDFAST_PROGRAM` says.
    package static var path: String {
        if let path = ProcessInfo.processInfo.environment["HOLDFAST_PROGRAM"] { return path }
        return URL(fileURLWithPath: CommandLine.arguments[0]).deletingLastPathComponent().path + "/holdfast"
    }
}

/// A process of the program that is under way. Its output goes to files, so that it never waits for us.
package final class RunningProgram: Sendable {
    /// The process' ID.
    package let pid: Int32
    private let directory: ScratchDirectory
    private let ended: ExitStatus

    /// Starts `Program.path`, or another program.
    package init(
        _ arguments: [String], input: [UInt8] = [], environment: [String: String] = [:], program: String = Program.path
    ) throws {
        let directory = try ScratchDirectory()
        self.directory = directory
        let process = Process()
        process.executableURL = URL(fileURLWithPath: program)
        process.arguments = arguments
        var variables = ProcessInfo.processInfo.environment.filter { !$0.key.hasPrefix("HOLDFAST_") }
        variables.merge(environment) { $1 }
        process.environment = variables
        try directory.write("in", input)
        process.standardInput = FileHandle(forReadingAtPath: directory.path + "/in")
        for name in ["out", "err"] { try directory.write(name, []) }
        process.standardOutput = FileHandle(forWritingAtPath: directory.path + "/out")
        process.standardError = FileHandle(forWritingAtPath: directory.path + "/err")
        let ended = ExitStatus()
        process.terminationHandler = { process in
            ended.set(process.terminationReason == .exit ? process.terminationStatus : 128 + process.terminationStatus)
        }
        try process.run()
        pid = process.processIdentifier
        self.ended = ended
    }

    /// Whether it has ended.
    package var hasEnded: Bool { ended.value != nil }

    /// Sends a signal; nothing happens to one that has ended.
    package func signal(_ signal: Int32) { if !hasEnded { kill(pid, signal) } }

    /// What it has written to standard output up to now.
    package func output() throws -> [UInt8] { try directory.read("out") }

    /// The whole lines of standard output up to now.
    package func lines() throws -> [String] {
        let text = String(decoding: try output(), as: UTF8.self)
        return text.split(separator: "\n", omittingEmptySubsequences: false).dropLast().map(String.init)
    }

    /// What it has written to standard error up to now.
    package func error() throws -> String { String(decoding: try directory.read("err"), as: UTF8.self) }

    /// Waits for the end; ends it with SIGKILL and throws where that takes too long.
    package func outcome(seconds: Int = 60) async throws -> Program.Outcome {
        do {
            try await until("the end of the program", seconds: seconds) { hasEnded }
        } catch {
            signal(SIGKILL)
            print("standard error until then: \(try self.error())")
            throw error
        }
        return Program.Outcome(status: ended.value ?? -1, output: try output(), error: try error())
    }

    /// Waits until a whole line of standard output fulfils a condition, and returns it.
    package func line(_ what: String, seconds: Int = 30, where holds: (String) throws -> Bool) async throws -> String {
        var found: String?
        try await until("a line \(what)", seconds: seconds) {
            found = try lines().first(where: holds)
            return found != nil || hasEnded
        }
        guard let found else { throw Unexpected("it ended without a line \(what): \(try error())") }
        return found
    }
}

/// A status that one thread sets and others read.
private final class ExitStatus: Sendable {
    private let state = Mutex<Int32?>(nil)
    /// What was set.
    var value: Int32? { state.withLock { $0 } }
    /// Sets it.
    func set(_ value: Int32) { state.withLock { $0 = value } }
}
