import Foundation
import Holdfast
import Logging
import Synchronization
import Testing

// The README's example, word for word: `theReadmesExampleIsThisOne` compares them.

// README begin
func load(_ reference: String, from store: Store) async throws -> Tensor {
    let model = try await store.model(ModelReference(parsing: reference))
    return try await model.tensor("embeddings.LayerNorm.weight")
}

func serve(directory: String) async throws {
    let node = try HoldfastNode(NodeConfiguration(.local(directory: directory)), logger: Logger(label: "server"))
    try await node.start()
    var weights = try await load("all-minilm", from: node.store)
    print("serving", weights.info.name, weights.info.shape, weights.withBytes { $0.count }, "bytes")
    for try await change in node.store.watch(.key("serve/all-minilm")) where change.kind == .put {
        let version = String(decoding: change.keyValue.value, as: UTF8.self)
        weights = try await load("all-minilm@\(version)", from: node.store)
        print("now serving version", version)
    }
    await node.stop()
}
// README end

/// What the example has printed, since the last `clear`.
private enum Printed {
    static let lines = Mutex<[String]>([])
}

/// Takes the example's lines instead of standard output.
private func print(_ items: Any...) {
    let line = items.map { "\($0)" }.joined(separator: " ")
    Printed.lines.withLock { $0.append(line) }
}

extension ClusterTests {
    @Suite struct Readme {
        private func between(_ text: String, _ begin: String, _ end: String) throws -> String {
            let start = try #require(text.range(of: begin)).upperBound
            let stop = try #require(text.range(of: end, range: start..<text.endIndex)).lowerBound
            return text[start..<stop].trimmingCharacters(in: .whitespacesAndNewlines)
        }

        @Test func theReadmesExampleIsThisOne() throws {
            let file = URL(fileURLWithPath: #filePath)
            let readme = try String(
                contentsOf: file.deletingLastPathComponent().appendingPathComponent("../../README.md"), encoding: .utf8)
            let example = try between(readme, "```swift\nimport Holdfast\nimport Logging\n", "\n```")
            let own = try between(
                try String(contentsOf: file, encoding: .utf8), "// README begin\n", "\n// README end")
            #expect(example == own)
        }

        @Test func theReadmesExampleServesAndSeesANewVersion() async throws {
            let scratch = try Scratch()
            for version in 1...2 {
                var file = Data()
                let header = Array(
                    "{\"embeddings.LayerNorm.weight\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]}}".utf8)
                withUnsafeBytes(of: UInt64(header.count).littleEndian) { file.append(contentsOf: $0) }
                file.append(contentsOf: header + [UInt8](repeating: UInt8(version), count: 8))
                try file.write(to: URL(fileURLWithPath: scratch("v\(version).safetensors")))
            }
            // The example opens its directory alone, so what it will serve is there before; the key moves while it serves, which
            // an embedding process does through the node's own store: here the second part runs the same steps.
            let before = try HoldfastNode(NodeConfiguration(.local(directory: scratch("store"))), logger: quiet)
            try await before.start()
            _ = try await before.store.push(scratch("v1.safetensors"), as: "all-minilm")
            await before.stop()

            let serving = Task { try await serve(directory: scratch("store")) }
            try await eventually("the example serves") { Printed.lines.withLock { !$0.isEmpty } }
            #expect(Printed.lines.withLock { $0.first } == "serving embeddings.LayerNorm.weight [2] 8 bytes")
            serving.cancel()
            try await serving.value

            let node = try HoldfastNode(NodeConfiguration(.local(directory: scratch("store"))), logger: quiet)
            try await node.start()
            var changes = node.store.watch(.key("serve/all-minilm"), from: 1).makeAsyncIterator()
            _ = try await node.store.push(scratch("v2.safetensors"), as: "all-minilm")
            try await node.store.put("serve/all-minilm", Array("2".utf8))
            let change = try #require(try await changes.next())
            let version = String(decoding: change.keyValue.value, as: UTF8.self)
            let weights = try await load("all-minilm@\(version)", from: node.store)
            #expect(weights.withBytes { Array($0) } == [UInt8](repeating: 2, count: 8))
            await node.stop()
        }
    }
}
