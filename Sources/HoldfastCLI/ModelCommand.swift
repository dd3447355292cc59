internal import ArgumentParser
internal import Holdfast

/// `holdfast model …`: versions of models.
struct ModelCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "model",
        abstract: "Push, pull, check and retire models.",
        discussion: "Example:\n  holdfast model push all-minilm ./all-minilm --endpoint 127.0.0.1:7001",
        subcommands: [
            ModelPush.self, ModelPull.self, ModelListVerb.self, ModelShow.self, ModelVerify.self, ModelRetire.self,
            ModelUploads.self,
        ])
}

/// `model list [NAME]`.
struct ModelListVerb: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "list",
        abstract: "List the published versions.",
        discussion: "Example:\n  holdfast model list all-minilm")

    @Argument(help: "Only the versions of this model.")
    var name: String?
    @OptionGroup
    var read: ReadOptions
    @OptionGroup(title: "Global options")
    var global: GlobalOptions

    func run() async throws {
        let models = try await global.withStore { store in
            try await store.models(named: name, consistency: read.consistency)
        }
        if global.json {
            StandardOutput.json(["models": models.map { VersionDocument($0) }])
            return
        }
        var table = Table([
            ("MODEL", .left), ("VERSION", .right), ("SIZE", .right), ("FILES", .right), ("REVISION", .right),
            ("PUBLISHED", .left), ("STATE", .left),
        ])
        for model in models {
            table.add([
                model.name, model.version, Units.bytes(model.bytes), "\(model.files)", "\(model.revision)",
                Units.time(milliseconds: model.publishedMilliseconds), model.retired ? "retired" : "published",
            ])
        }
        table.print()
    }
}

/// `model show NAME[@VERSION]`.
struct ModelShow: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "show",
        abstract: "Show a version and its files.",
        discussion: "Example:\n  holdfast model show all-minilm@1")

    @Argument(help: "The model; without a version the highest published and not retired.")
    var model: String
    @OptionGroup(title: "Global options")
    var global: GlobalOptions

    func run() async throws {
        let reference = try ModelReference(parsing: model)
        try await global.withStore { store in
            let found = try await store.model(reference)
            if global.json {
                StandardOutput.json(ModelDocument(found))
            } else {
                show(found)
            }
        }
    }

    private func show(_ model: Model) {
        let version = model.version
        StandardOutput.line("\(version.name)@\(version.version)\(version.retired ? " (retired)" : "")")
        StandardOutput.line("root       \(version.root)")
        StandardOutput.line("revision   \(version.revision)")
        StandardOutput.line("published  \(Units.time(milliseconds: version.publishedMilliseconds))")
        StandardOutput.line("size       \(Units.bytes(version.bytes)) in \(version.chunks) chunks")
        StandardOutput.line("tensors    \(model.tensors.count)")
        StandardOutput.line("")
        FileTable.print(model.files)
    }
}

/// `model retire NAME@VERSION`.
struct ModelRetire: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "retire",
        abstract: "Take a version out of use.",
        discussion: """
            The version is no longer found by name alone, and its bytes go once 'key compact' has passed the
            revision of the retirement. The version must be named.

            Example:
              holdfast model retire all-minilm@1
            """)

    @Argument(help: "NAME@VERSION.")
    var model: String
    @OptionGroup(title: "Global options")
    var global: GlobalOptions

    func run() async throws {
        let reference = try ModelReference(parsing: model)
        guard let version = reference.version else {
            throw Failure.usage("'\(model)' names no version; write \(reference.name)@VERSION to retire it")
        }
        try await global.withStore { store in try await store.retire(reference) }
        if global.json {
            StandardOutput.json(["name": reference.name, "version": version, "state": "retired"])
        } else {
            StandardOutput.line("retired \(reference)")
        }
    }
}

/// `model uploads list|abort`.
struct ModelUploads: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "uploads",
        abstract: "List or abort uploads that are not published.",
        discussion: "Example:\n  holdfast model uploads list",
        subcommands: [List.self, Abort.self])

    /// `model uploads list`.
    struct List: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            commandName: "list",
            abstract: "List the open uploads.",
            discussion: "Example:\n  holdfast model uploads list --json")

        @OptionGroup(title: "Global options")
        var global: GlobalOptions

        func run() async throws {
            let uploads = try await global.withStore { store in try await store.uploads() }
            if global.json {
                StandardOutput.json(["uploads": uploads.map { UploadDocument($0) }])
                return
            }
            var table = Table([
                ("UPLOAD", .left), ("MODEL", .left), ("VERSION", .left), ("CHUNKS", .right), ("LAST USED", .left),
            ])
            for upload in uploads {
                table.add([
                    upload.upload, upload.name, upload.version ?? "(next)", "\(upload.chunks)",
                    Units.time(milliseconds: upload.touchedMilliseconds),
                ])
            }
            table.print()
        }
    }

    /// `model uploads abort ID`.
    struct Abort: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            commandName: "abort",
            abstract: "Give an upload up; its bytes are swept.",
            discussion: "Example:\n  holdfast model uploads abort 6f1c…")

        @Argument(help: "The upload's ID, 32 hex digits.")
        var id: String
        @OptionGroup(title: "Global options")
        var global: GlobalOptions

        func run() async throws {
            try await global.withStore { store in try await store.abortUpload(id) }
            if global.json {
                StandardOutput.json(["upload": id, "state": "aborted"])
            } else {
                StandardOutput.line("aborted upload \(id)")
            }
        }
    }
}

/// Files of a model as a table.
enum FileTable {
    /// Prints size, hash and path of every file.
    static func print(_ files: [ModelFile]) {
        var table = Table([("SIZE", .right), ("SHA-256", .left), ("FILE", .left)])
        for file in files { table.add([Units.bytes(file.bytes), file.sha256, file.path]) }
        table.print()
    }
}
