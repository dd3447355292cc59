internal import ArgumentParser
internal import Foundation
internal import Holdfast

/// What a replay would write: of several orphans of one name the last is what the old primary had.
struct ReplayPlan {
    private(set) var keys: [(key: Key, value: [UInt8])] = []
    private(set) var models: [ModelVersion] = []

    private var latest: [Key: Int] = [:]

    /// Takes the next orphan, in their order.
    mutating func add(_ orphan: SiteOrphan) {
        for change in orphan.changes {
            switch change {
            case .put(let key, let value):
                if let place = latest[key] {
                    keys[place].value = value
                } else {
                    latest[key] = keys.count
                    keys.append((key, value))
                }
            case .published(let model):
                models.removeAll { $0.name == model.name && $0.version == model.version }
                models.append(model)
            case .retired(let name, let version): models.removeAll { $0.name == name && $0.version == version }
            // Nothing is ever removed by a replay.
            case .delete: break
            }
        }
    }
}

extension OrphansCommand {
    /// `site orphans replay --if-absent`.
    struct Replay: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Write the orphaned keys and models at the primary, where nobody has written them since.",
            discussion: """
                Deletions are not repeated. A version of a model is pulled from this site, which keeps its chunks, into a
                temporary directory and pushed at the primary under the same name and version; chunks that are there
                already do not travel. Run it again after an interruption: what is there is left as it is.

                Example:
                  holdfast site orphans replay --if-absent
                  holdfast site orphans replay --if-absent --directory /var/tmp --timeout 600
                """)

        @Flag(help: "Required: a key or version that exists at the primary is left as it is.")
        var ifAbsent = false
        @Option(
            help: ArgumentHelp("Where models are put together; default TMPDIR.", valueName: "dir"),
            completion: .directory)
        var directory: String?
        @OptionGroup(title: "Global options")
        var global: GlobalOptions

        func validate() throws {
            guard ifAbsent else { throw ValidationError("say --if-absent: nothing else is ever replayed") }
        }

        func run() async throws {
            var plan = ReplayPlan()
            try await global.forEachOrphan { plan.add($0) }
            let keys = try await replayKeys(plan.keys)
            let models = try await replayModels(plan.models)
            if global.json {
                StandardOutput.json(
                    ReplayDocument(
                        keys: plan.keys.count, keysWritten: keys, models: plan.models.count, modelsPushed: models))
            } else {
                StandardOutput.line(
                    "\(keys) of \(plan.keys.count) keys were written, \(models) of \(plan.models.count) versions pushed"
                )
            }
        }

        private func replayKeys(_ all: [(key: Key, value: [UInt8])]) async throws -> Int {
            guard !all.isEmpty else { return 0 }
            return try await global.withStore { store in
                var written = 0
                for (key, value) in all {
                    do {
                        // The standby names the primary, and the client goes there.
                        try await store.put(key, value, ifRevision: 0)
                        written += 1
                    } catch let error as HoldfastError where error.code == .preconditionFailed {
                        StandardError.line("left as it is: key \(key)")
                    }
                }
                return written
            }
        }

        private func replayModels(_ models: [ModelVersion]) async throws -> Int {
            var pushed = 0
            for model in models {
                // Linearizable, so it is the primary that answers.
                let known = try await global.withStore { store in try await store.models(named: model.name) }
                if let there = known.first(where: { $0.version == model.version }) {
                    let what = there.root == model.root ? "it is there already" : "the primary has another content"
                    StandardError.line("left as it is: \(model.name)@\(model.version), \(what)")
                    continue
                }
                try await push(model)
                pushed += 1
            }
            return pushed
        }

        private func push(_ model: ModelVersion) async throws {
            let base = directory.map { URL(fileURLWithPath: $0) } ?? FileManager.default.temporaryDirectory
            let place = base.appendingPathComponent("holdfast-replay-\(UUID().uuidString)")
            try FileManager.default.createDirectory(at: place, withIntermediateDirectories: true)
            defer {
                do {
                    try FileManager.default.removeItem(at: place)
                } catch {
                    StandardError.line("\(place.path) could not be removed: \(error.localizedDescription)")
                }
            }
            // Two clients: one that has gone to the primary would not find the chunks.
            _ = try await global.withStore { store in try await store.pull(model, into: place.path) }
            let result = try await global.withStore { store in
                try await store.push(place.path, as: model.name, options: PushOptions(version: model.version))
            }
            if result.model.root != model.root {
                StandardError.line(
                    "\(model.name)@\(model.version) has the same files, cut into other chunks than before")
            }
        }
    }
}

/// The document of `site orphans replay --json`.
struct ReplayDocument: Encodable {
    var keys: Int
    var keysWritten: Int
    var models: Int
    var modelsPushed: Int
}
