internal import Foundation
internal import Processes
internal import Synchronization

/// A process of `holdfast serve`; what it says goes to a file that stays.
final class NodeProcess: Sendable {
    /// The process' ID.
    let pid: Int32
    private let log: String
    private let ended: Ended

    private final class Ended: Sendable {
        let status = Mutex<Int32?>(nil)
    }

    /// Starts `command`; standard output and error are put behind the file `log`.
    init(_ command: [String], environment: [String: String], log: String) throws {
        if !FileManager.default.fileExists(atPath: log) {
            guard FileManager.default.createFile(atPath: log, contents: nil) else { throw CampaignError("no \(log)") }
        }
        guard let output = FileHandle(forWritingAtPath: log) else { throw CampaignError("cannot write \(log)") }
        try output.seekToEnd()
        let process = Process()
        process.executableURL = URL(fileURLWithPath: "/usr/bin/env")
        process.arguments = command
        process.environment = ProcessInfo.processInfo.environment.filter { !$0.key.hasPrefix("HOLDFAST_") }
            .merging(environment) { $1 }
        process.standardInput = FileHandle.nullDevice
        process.standardOutput = output
        process.standardError = output
        let ended = Ended()
        process.terminationHandler = { process in
            let status =
                process.terminationReason == .exit ? process.terminationStatus : 128 + process.terminationStatus
            ended.status.withLock { $0 = status }
        }
        try process.run()
        pid = process.processIdentifier
        self.log = log
        self.ended = ended
    }

    /// How it ended, a death by signal as 128 and the signal; nil while it runs.
    var status: Int32? { ended.status.withLock { $0 } }

    /// Sends a signal; nothing happens to one that has ended.
    func signal(_ signal: Int32) { if status == nil { kill(pid, signal) } }

    /// Waits for its end; false at the deadline.
    func hasEnded(within seconds: Int) async throws -> Bool {
        let deadline = ContinuousClock.now + .seconds(seconds)
        while status == nil {
            guard ContinuousClock.now < deadline else { return false }
            try await Task.sleep(for: .milliseconds(10))
        }
        return true
    }

    /// The last lines that it, or one before it, has said.
    func lastWords() -> String {
        let text = (try? String(contentsOfFile: log, encoding: .utf8)) ?? ""
        return text.split(separator: "\n").suffix(6).joined(separator: "\n")
    }
}

/// Runs a tool of the system to its end; throws unless its status is 0.
@discardableResult
func tool(_ command: [String], input: String = "", environment: [String: String] = [:], seconds: Int = 20) async throws
    -> String
{
    let running = try RunningProgram(
        command, input: Array(input.utf8), environment: environment, program: "/usr/bin/env")
    let outcome = try await running.outcome(seconds: seconds)
    guard outcome.status == 0 else {
        let said = (outcome.error + outcome.text).trimmingCharacters(in: .whitespacesAndNewlines)
        throw CampaignError("'\(command.joined(separator: " "))' ended with \(outcome.status): \(said)")
    }
    return outcome.text
}
