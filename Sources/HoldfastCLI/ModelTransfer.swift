internal import ArgumentParser
internal import Holdfast
internal import Synchronization

/// `model push NAME PATH`.
struct ModelPush: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "push",
        abstract: "Publish a directory or a file as a version of a model.",
        discussion: """
            Only bytes that the cluster lacks are sent. It ends when the version is published: a quorum then holds every byte.
            Ctrl-C prints the upload's ID and the command that resumes it, and ends with status 130.

            Example:
              holdfast model push all-minilm ./all-minilm
              holdfast model push acme/llm ./llm --version 2026-01 --rate-limit 200000000
            """)

    @Argument(help: "The model's name, such as all-minilm or acme/llm.")
    var name: String
    @Argument(help: "A directory or one file.", completion: .directory)
    var path: String
    @Option(help: ArgumentHelp("The version to publish; without it the next number of this name.", valueName: "v"))
    var version: String?
    @Option(help: ArgumentHelp("Resume this upload.", valueName: "id"))
    var upload: String?
    @Option(help: ArgumentHelp("Send at most so many bytes a second.", valueName: "bytes-per-second"))
    var rateLimit: UInt64?
    @OptionGroup(title: "Global options")
    var global: GlobalOptions

    func validate() throws {
        if rateLimit == 0 { throw ValidationError("--rate-limit is 1 or more; leave it out for no limit") }
    }

    func run() async throws {
        let options = PushOptions(version: version, upload: upload, rateLimitBytesPerSecond: rateLimit)
        let progress = Progress("push \(name)", style: Progress.style(json: global.json, hasLines: true))
        let begun = BegunUpload(upload)
        let result = try await Interrupt.guarding {
            try await global.withStore { store in
                do throws(HoldfastError) {
                    let result = try await store.push(
                        path, as: name, options: options, progress: { progress.update($0) },
                        began: { begun.set($0) })
                    progress.finish()
                    return result
                } catch {
                    progress.finish()
                    throw begun.added(to: error)
                }
            }
        } onInterrupt: {
            progress.finish()
            StandardError.line(resumption(begun.id))
            return ExitStatus.interrupted
        }
        if global.json {
            StandardOutput.json(PublishedDocument(result))
        } else {
            let model = result.model
            StandardOutput.line(
                "published \(model.name)@\(model.version) at revision \(model.revision): \(Units.bytes(model.bytes)) in "
                    + "\(model.files) \(model.files == 1 ? "file" : "files"), \(Units.bytes(result.newBytes)) new")
        }
    }

    /// What an interrupted push says.
    func resumption(_ id: String?) -> String {
        guard let id else { return "interrupted before an upload began; run the same command again" }
        var command = "holdfast model push \(Shell.word(name)) \(Shell.word(path)) --upload \(id)"
        if let version { command += " --version \(Shell.word(version))" }
        for endpoint in global.endpoint { command += " --endpoint \(Shell.word(endpoint))" }
        if let local = global.local { command += " --local \(Shell.word(local))" }
        return "interrupted; upload \(id) is kept. Resume it with:\n  \(command)"
    }
}

/// The upload of a running push, for the message of its interruption.
final class BegunUpload: Sendable {
    private let value: Mutex<String?>

    /// The upload to resume, or none yet.
    init(_ id: String?) { value = Mutex(id) }

    /// The upload's ID once it has begun.
    var id: String? { value.withLock { $0 } }

    /// Notes the ID.
    func set(_ id: String) { value.withLock { $0 = id } }

    /// `error` with the upload's ID among its details, so that a failed push can be resumed.
    func added(to error: HoldfastError) -> HoldfastError {
        guard let id, error.details["upload"] == nil else { return error }
        var error = error
        error.details["upload"] = id
        return error
    }
}

/// Words for a command that a person copies into a shell.
enum Shell {
    /// `text`, quoted where the shell would read it otherwise.
    static func word(_ text: String) -> String {
        let isPlain =
            !text.isEmpty && text.allSatisfy { $0.isASCII && ($0.isLetter || $0.isNumber || "./_-@:=+,%".contains($0)) }
        return isPlain
            ? text : "'" + text.split(separator: "'", omittingEmptySubsequences: false).joined(separator: "'\\''") + "'"
    }
}

/// `model pull NAME[@VERSION] DIR`.
struct ModelPull: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "pull",
        abstract: "Write a version's files into a directory, verified.",
        discussion: """
            Files get their name only when their hash is right. A file that is there already and has other content is refused
            without --force. Run it again after an interruption: what is there and right is not fetched twice.

            Example:
              holdfast model pull all-minilm ./model
              holdfast model pull all-minilm@3 ./model --force
            """)

    @Argument(help: "The model; without a version the highest published and not retired.")
    var model: String
    @Argument(help: "The directory; made if it is absent.", completion: .directory)
    var directory: String
    @Flag(help: "Replace files that have other content.")
    var force = false
    @OptionGroup
    var read: ReadOptions
    @OptionGroup(title: "Global options")
    var global: GlobalOptions

    func run() async throws {
        let reference = try ModelReference(parsing: model)
        let progress = Progress("pull \(reference.name)", style: Progress.style(json: global.json))
        let result = try await global.withStore { store in
            defer { progress.finish() }
            return try await store.pull(
                reference, into: directory, force: force, consistency: read.consistency,
                progress: { progress.update($0) })
        }
        if global.json {
            StandardOutput.json(PulledDocument(result))
        } else {
            let model = result.model
            StandardOutput.line(
                "pulled \(model.name)@\(model.version) into \(directory): \(Units.bytes(model.bytes)) in \(result.files.count) "
                    + (result.files.count == 1 ? "file" : "files"))
        }
    }
}

/// `model verify NAME[@VERSION]`.
struct ModelVerify: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "verify",
        abstract: "Read every byte of a version and check it against its hashes.",
        discussion: "Example:\n  holdfast model verify all-minilm@1")

    @Argument(help: "The model; without a version the highest published and not retired.")
    var model: String
    @OptionGroup(title: "Global options")
    var global: GlobalOptions

    func run() async throws {
        let reference = try ModelReference(parsing: model)
        let progress = Progress("verify \(reference.name)", style: Progress.style(json: global.json))
        let result = try await global.withStore { store in
            defer { progress.finish() }
            return try await store.verify(reference, progress: { progress.update($0) })
        }
        if global.json {
            StandardOutput.json(PulledDocument(result))
        } else {
            FileTable.print(result.files)
            StandardOutput.line("verified \(result.model.name)@\(result.model.version): every byte is right")
        }
    }
}
