internal import Foundation
internal import Holdfast
internal import Processes
internal import Synchronization

/// Pushes small models and pulls them again; a pulled model is compared byte for byte with what its seed makes.
final class ModelTraffic: Sendable {
    private struct State {
        var published: [(number: Int, revision: Revision)] = []
        var attempts = 0
        var failures = 0
        var pulls = 0
        var failedPulls = 0
    }

    private let nodes: Nodes
    private let directory: String
    private let seed: UInt64
    private let violations: Violations
    private let state = Mutex(State())

    init(nodes: Nodes, directory: String, seed: UInt64, violations: Violations) {
        self.nodes = nodes
        self.directory = directory
        self.seed = seed
        self.violations = violations
    }

    /// Pushed and acknowledged; pushes that failed; pulls; pulls that failed.
    var figures: (pushed: Int, failedPushes: Int, pulls: Int, failedPulls: Int) {
        state.withLock { ($0.published.count, $0.failures, $0.pulls, $0.failedPulls) }
    }

    /// Works until it is cancelled.
    func run() async throws {
        var numbers = SeededNumbers(seed: seed)
        var number = 0
        while !Task.isCancelled {
            number += 1
            try await push(number)
            if let published = state.withLock({ $0.published.randomElement(using: &numbers) }) {
                try await pull(published.number, nodes.one(&numbers).withTimeout(milliseconds: 8_000), "a node")
            }
            try? await Task.sleep(for: .milliseconds(Int.random(in: 500...4_000, using: &numbers)))
        }
    }

    /// Every acknowledged model is at this node, whole.
    func verifyAll(_ store: Store, at node: String) async throws {
        for published in state.withLock({ $0.published }) {
            let isThere = try await pull(published.number, store, node)
            if !isThere {
                violations.add("model present", "\(Self.reference(published.number)) cannot be pulled at \(node)")
            }
        }
    }

    private func push(_ number: Int) async throws {
        let source = "\(directory)/push-\(number)"
        try write(number, to: source)
        defer { remove(source) }
        let reference = Self.reference(number)
        // The same content under the same version may be pushed again, so that a lost answer is no failure.
        for _ in 0..<4 where !Task.isCancelled {
            do throws(HoldfastError) {
                let result = try await nodes.any.store.withTimeout(milliseconds: 10_000).push(
                    source, as: reference.name, options: PushOptions(version: reference.version))
                state.withLock { $0.published.append((number, result.model.revision)) }
                return
            } catch {
                state.withLock { $0.failures += 1 }
                if error.code == .corrupted || error.code == .alreadyExists || error.code == .preconditionFailed {
                    violations.add("push", "\(reference) failed with \(error)")
                    return
                }
                try? await Task.sleep(for: .milliseconds(300))
            }
        }
    }

    @discardableResult
    private func pull(_ number: Int, _ store: Store, _ node: String) async throws -> Bool {
        let target = "\(directory)/pull-\(number)-\(UInt32.random(in: 0...(.max)))"
        defer { remove(target) }
        state.withLock { $0.pulls += 1 }
        do {
            _ = try await store.pull(Self.reference(number), into: target)
        } catch {
            state.withLock { $0.failedPulls += 1 }
            if error.code == .corrupted || error.code == .notFound || error.code == .incompatible {
                violations.add("model", "\(Self.reference(number)), acknowledged, fails at \(node) with \(error)")
            }
            return false
        }
        for (path, bytes) in files(number) {
            let found = FileManager.default.contents(atPath: "\(target)/\(path)")
            if found != Data(bytes) {
                violations.add("model bytes", "\(path) of \(Self.reference(number)) came otherwise than it was pushed")
            }
        }
        return true
    }

    private static func reference(_ number: Int) -> ModelReference {
        ModelReference(name: "campaign/model-\(number % 7)", version: "v\(number)")
    }

    private func write(_ number: Int, to directory: String) throws {
        for (path, bytes) in files(number) {
            let url = URL(fileURLWithPath: "\(directory)/\(path)")
            try FileManager.default.createDirectory(
                at: url.deletingLastPathComponent(), withIntermediateDirectories: true)
            try Data(bytes).write(to: url)
        }
    }

    private func remove(_ path: String) { try? FileManager.default.removeItem(atPath: path) }

    /// The files of a model, from its number and the seed alone.
    private func files(_ number: Int) -> [(path: String, bytes: [UInt8])] {
        let size = 4 * (1_000 + (number * 7_919) % 60_000)
        let header = #"{"weight":{"dtype":"F32","shape":[\#(size / 4)],"data_offsets":[0,\#(size)]}}"#
        return [
            ("model.safetensors", safetensors(header, data: noise(size, seed: seed &+ UInt64(number)))),
            ("config.json", Array(#"{"number":\#(number)}"#.utf8)),
            ("nested/notes.txt", Array(repeating: UInt8(ascii: "n"), count: number % 300)),
        ]
    }
}
