import Foundation
import Synchronization
import Testing

/// The built program, run as a process of its own.
struct Program {
    /// How a run ended and what it said.
    struct Outcome {
        var status: Int32
        var output: [UInt8]
        var error: String

        /// Standard output as text.
        var text: String { String(decoding: output, as: UTF8.self) }
        /// The lines of standard output.
        var lines: [String] { text.split(separator: "\n").map(String.init) }
        /// Standard output as one JSON object.
        var document: [String: any Sendable] { get throws { try object(text) } }
        /// The code of the JSON error on standard error.
        var errorCode: String? {
            get throws { (try object(error)["error"] as? [String: any Sendable])?["code"] as? String }
        }
    }

    /// Runs the program to its end.
    static func run(
        _ arguments: [String], input: [UInt8] = [], environment: [String: String] = [:]
    ) async throws -> Outcome {
        let running = try RunningProgram(arguments, input: input, environment: environment)
        return try await running.outcome()
    }

    /// Runs it on a local directory.
    static func run(local directory: String, _ arguments: [String], input: [UInt8] = []) async throws -> Outcome {
        try await run(arguments, input: input, environment: ["HOLDFAST_LOCAL": directory])
    }

    /// The program lies beside the test bundle, or where `HOLDFAST_PROGRAM` says.
    static var url: URL {
        if let path = ProcessInfo.processInfo.environment["HOLDFAST_PROGRAM"] { return URL(fileURLWithPath: path) }
        return URL(fileURLWithPath: CommandLine.arguments[0]).deletingLastPathComponent().appending(path: "holdfast")
    }
}

/// A process of the program that is under way; its output goes to files, so that it never waits for us.
final class RunningProgram: Sendable {
    /// The process' ID.
    let pid: Int32
    private let directory: ScratchDirectory
    private let exit = Exit()

    init(_ arguments: [String], input: [UInt8] = [], environment: [String: String] = [:]) throws {
        let directory = try ScratchDirectory()
        self.directory = directory
        let process = Process()
        process.executableURL = Program.url
        process.arguments = arguments
        var variables = ProcessInfo.processInfo.environment.filter { !$0.key.hasPrefix("HOLDFAST_") }
        variables.merge(environment) { $1 }
        process.environment = variables
        let inputPath = directory.path + "/in"
        try Data(input).write(to: URL(fileURLWithPath: inputPath))
        process.standardInput = FileHandle(forReadingAtPath: inputPath)
        for name in ["out", "err"] { try Data().write(to: URL(fileURLWithPath: "\(directory.path)/\(name)")) }
        process.standardOutput = FileHandle(forWritingAtPath: directory.path + "/out")
        process.standardError = FileHandle(forWritingAtPath: directory.path + "/err")
        let exit = exit
        process.terminationHandler = { process in
            // As a shell reports it: a death by signal is 128 and the signal.
            exit.finish(
                process.terminationReason == .exit ? process.terminationStatus : 128 + process.terminationStatus)
        }
        try process.run()
        pid = process.processIdentifier
    }

    /// Sends a signal.
    func signal(_ signal: Int32) { kill(pid, signal) }

    /// What it has written to standard output up to now.
    func output() throws -> [UInt8] { try Array(Data(contentsOf: URL(fileURLWithPath: directory.path + "/out"))) }

    /// Waits for the end.
    func outcome() async throws -> Program.Outcome {
        let status = await exit.status()
        let error = try Data(contentsOf: URL(fileURLWithPath: directory.path + "/err"))
        return Program.Outcome(status: status, output: try output(), error: String(decoding: error, as: UTF8.self))
    }

    /// Waits until a line of standard output begins so, at most 30 s; fails the test otherwise.
    func line(beginning start: String) async throws -> String {
        var found: String?
        try await until("a line '\(start)…'") {
            let lines = String(decoding: try output(), as: UTF8.self).split(separator: "\n").map(String.init)
            found = lines.first { $0.hasPrefix(start) }
            return found != nil
        }
        return try #require(found)
    }
}

/// The end of a process, waited for by any number of tasks.
private final class Exit: Sendable {
    private enum State {
        case running([CheckedContinuation<Int32, Never>])
        case ended(Int32)
    }

    private let state = Mutex(State.running([]))

    func finish(_ status: Int32) {
        let waiting = state.withLock { state -> [CheckedContinuation<Int32, Never>] in
            guard case .running(let waiting) = state else { return [] }
            state = .ended(status)
            return waiting
        }
        for continuation in waiting { continuation.resume(returning: status) }
    }

    func status() async -> Int32 {
        await withCheckedContinuation { continuation in
            let known = state.withLock { state -> Int32? in
                switch state {
                case .ended(let status): return status
                case .running(let waiting):
                    state = .running(waiting + [continuation])
                    return nil
                }
            }
            if let known { continuation.resume(returning: known) }
        }
    }
}

/// Waits for a condition, at most 30 s; fails the test otherwise.
func until(_ what: String, _ condition: () async throws -> Bool) async throws {
    let deadline = ContinuousClock.now + .seconds(30)
    while try await !condition() {
        try #require(ContinuousClock.now < deadline, "waited too long for \(what)")
        try await Task.sleep(for: .milliseconds(20))
    }
}

/// A directory that goes with its last user.
final class ScratchDirectory: Sendable {
    let path: String

    init() throws {
        path = NSTemporaryDirectory() + "/holdfast-cli-\(UUID().uuidString)"
        try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
    }

    deinit {
        do {
            try FileManager.default.removeItem(atPath: path)
        } catch {
            print("'\(path)' could not be removed: \(error)")
        }
    }
}
