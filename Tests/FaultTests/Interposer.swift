import Foundation
import Processes

/// The library that makes a node's disk fail and its clock jump, built once for all tests from `Interposer/interposer.c`.
enum Interposer {
    /// What a rule does to the calls that it holds for.
    enum Action: String {
        case inputOutput = "EIO"
        case noSpace = "ENOSPC"
        case stall
    }

    /// The calls that a rule holds for.
    enum Operation: String {
        case write, flush, allocate, direct
    }

    /// What one node's disk and clock do now.
    final class Control: Sendable {
        private let directory: ScratchDirectory

        init() throws {
            directory = try ScratchDirectory()
            try directory.write("clock", [UInt8](repeating: 0, count: 8))
        }

        /// What a process must be started with to be under this control.
        func environment() throws -> [String: String] {
            ["LD_PRELOAD": try Interposer.library.get(), "HOLDFAST_INTERPOSER": directory.path]
        }

        /// From now on, calls on files whose path contains `part` fail or wait so; earlier rules are gone.
        func set(_ rules: [(operation: Operation, part: String, action: Action)]) throws {
            let text = rules.map { "\($0.operation.rawValue) \($0.part) \($0.action.rawValue)\n" }.joined()
            let path = try directory.write("rules.new", Array(text.utf8))
            guard rename(path, directory.path + "/rules") == 0 else { throw Unexpected("no rename: \(errno)") }
        }

        /// Lets every call through again.
        func clear() throws { try set([]) }

        /// Moves the time of day; it stands so far from the machine's from now on.
        func setClock(ahead seconds: Int) throws {
            let offset = Int64(seconds) * 1_000_000_000
            // In place: the process has the file mapped.
            let handle = try FileHandle(forUpdating: URL(fileURLWithPath: directory.path + "/clock"))
            try handle.write(contentsOf: withUnsafeBytes(of: offset.littleEndian) { Array($0) })
            try handle.close()
        }
    }

    private static let directory = Result { try ScratchDirectory() }

    /// The built library.
    private static let library = Result { () throws -> String in
        let source = URL(fileURLWithPath: #filePath).deletingLastPathComponent().path + "/Interposer/interposer.c"
        let target = try directory.get().path + "/interposer.so"
        let status = try runTool("cc", ["-shared", "-fPIC", "-O2", "-o", target, source, "-ldl", "-lpthread"])
        guard status == 0 else { throw Unexpected("cc ended with status \(status)") }
        return target
    }
}

/// Runs a tool of the system to its end; answers its status.
@discardableResult
func runTool(_ name: String, _ arguments: [String]) throws -> Int32 {
    let process = Process()
    process.executableURL = URL(fileURLWithPath: "/usr/bin/env")
    process.arguments = [name] + arguments
    try process.run()
    process.waitUntilExit()
    return process.terminationStatus
}
