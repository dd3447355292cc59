import Foundation
import Processes
import Testing

extension EndToEndTests {
    /// A node under limits of the system.
    @Suite(.serialized) struct Limits {
        private let scratch: ScratchDirectory
        private let data: String

        init() async throws {
            scratch = try ScratchDirectory()
            data = scratch.path + "/n1"
            let port = try freePorts(1)[0]
            let outcome = try await Program.run([
                "node", "format", "--data", data, "--id", "1", "--cluster", "c", "--members", "1=127.0.0.1:\(port)",
            ])
            try #require(outcome.status == 0, "\(outcome.error)")
        }

        /// Runs the program in a shell that sets a limit first.
        private func limited(_ limit: String, _ arguments: [String]) throws -> RunningProgram {
            let words = ([Program.path] + arguments).map { "'\($0)'" }.joined(separator: " ")
            return try RunningProgram(["-c", "ulimit \(limit) && exec \(words)"], program: "/bin/bash")
        }

        @Test(arguments: [64, 256, 511]) func `too few open files are refused before anything is opened`(
            _ files: Int
        ) async throws {
            let before = try tree(data)
            let outcome = try await limited("-n \(files)", ["serve", "--data", data, "--json"]).outcome()
            #expect(outcome.status == 1)
            #expect(outcome.output.isEmpty)
            #expect(try outcome.failure.text("code") == "resourceExhausted")
            let message = try #require(try outcome.failure.text("message"))
            #expect(message.contains("\(files) open files") && message.contains("LimitNOFILE=65536"))
            #expect(try tree(data) == before)
        }

        @Test(arguments: ["-n 512", "-S -n 64"])
        func `a node serves with what is just enough, and raises the soft limit`(
            _ limit: String
        ) async throws {
            let node = try limited(limit, ["serve", "--data", data, "--log-level", "warning"])
            defer { node.signal(SIGKILL) }
            let ready = try await node.line("of readiness") { $0.hasPrefix("ready ") }
            let endpoint = try #require(ready.split(separator: "=").last.map(String.init))
            let environment = ["HOLDFAST_ENDPOINT": endpoint]
            for number in 0..<20 {
                let put = try await Program.run(["key", "put", "k/\(number)", "v"], environment: environment)
                #expect(put.status == 0, "\(put.error)")
            }
            let file = try scratch.write("model", noise(9 << 20, seed: 5))
            let push = try await Program.run(["model", "push", "m", file], environment: environment)
            #expect(push.status == 0, "\(push.error)")
            let metrics = try await Program.run(["node", "metrics"], environment: environment).text
            let most = metrics.split(separator: "\n").first { $0.hasPrefix("holdfast_open_files_max ") }
            #expect(Int(most?.split(separator: " ").last ?? "") ?? 0 >= 512, "\(most ?? "no such metric")")
            node.signal(SIGTERM)
            #expect(try await node.outcome().status == 0)
        }
    }
}
