internal import ArgumentParser
internal import Foundation
internal import Holdfast

/// `holdfast tensor …`: single tensors of a model.
struct TensorCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "tensor",
        abstract: "List and read tensors.",
        discussion: "Example:\n  holdfast tensor list all-minilm --endpoint 127.0.0.1:7001",
        subcommands: [TensorListVerb.self, TensorRead.self])
}

/// `tensor list NAME[@VERSION]`.
struct TensorListVerb: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "list",
        abstract: "List the tensors of a version.",
        discussion: "Example:\n  holdfast tensor list all-minilm@1 --json")

    @Argument(help: "The model; without a version the highest published and not retired.")
    var model: String
    @OptionGroup(title: "Global options")
    var global: GlobalOptions

    private struct Document: Encodable {
        var name: String
        var version: String
        var tensors: [TensorDocument]
    }

    func run() async throws {
        let reference = try ModelReference(parsing: model)
        let found = try await global.withStore { store in try await store.model(reference) }
        if global.json {
            StandardOutput.json(
                Document(
                    name: found.version.name, version: found.version.version,
                    tensors: found.tensors.map { TensorDocument($0) }))
            return
        }
        var table = Table([("TENSOR", .left), ("TYPE", .left), ("SHAPE", .left), ("SIZE", .right), ("FILE", .left)])
        for tensor in found.tensors {
            table.add([
                tensor.name, tensor.dtype, TensorShape.text(tensor.shape), Units.bytes(tensor.bytes), tensor.file,
            ])
        }
        table.print()
    }
}

/// `tensor read NAME[@VERSION] TENSOR`.
struct TensorRead: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "read",
        abstract: "Read one tensor.",
        discussion: """
            Its bytes, little-endian as in safetensors, go to --out FILE or to standard output; with --summary (and on a
            terminal) a description is printed instead.

            Example:
              holdfast tensor read all-minilm embeddings.LayerNorm.weight --summary
              holdfast tensor read all-minilm@1 embeddings.LayerNorm.weight --out weight.bin
            """)

    @Argument(help: "The model; without a version the highest published and not retired.")
    var model: String
    @Argument(help: "The tensor's name.")
    var tensor: String
    @Option(help: ArgumentHelp("The model's file, where several have a tensor of that name.", valueName: "path"))
    var file: String?
    @Option(help: ArgumentHelp("Write the bytes to this file.", valueName: "file"))
    var out: String?
    @Flag(help: "Print type, shape, hash and the range of values.")
    var summary = false
    @OptionGroup(title: "Global options")
    var global: GlobalOptions

    func run() async throws {
        let reference = try ModelReference(parsing: model)
        try await global.withStore { store in
            let found = try await store.model(reference)
            let read = try await found.tensor(tensor, in: file)
            if let out { try read.withBytes { try Self.save($0, to: out) } }
            if summary || out != nil || global.json || StandardOutput.isTerminal {
                show(TensorReport(read, model: found.version))
            } else {
                read.withBytes { StandardOutput.raw($0) }
            }
        }
    }

    private func show(_ report: TensorReport) {
        if global.json {
            StandardOutput.json(report)
        } else if let out, !summary {
            StandardOutput.line("wrote \(Units.bytes(report.bytes)) to \(out)")
        } else {
            for line in report.lines { StandardOutput.line(line) }
        }
    }

    /// Writes beside the file first, so that a failure leaves what was there.
    private static func save(_ bytes: UnsafeRawBufferPointer, to path: String) throws(Failure) {
        let temporary = "\(path).part-\(getpid())"
        let descriptor = open(temporary, O_WRONLY | O_CREAT | O_TRUNC, 0o666)
        guard descriptor >= 0 else {
            throw .file("'\(temporary)' cannot be made: \(String(cString: strerror(errno)))")
        }
        let isWritten = Descriptor.writeAll(descriptor, bytes)
        let reason = String(cString: strerror(errno))
        let isClosed = close(descriptor) == 0
        guard isWritten, isClosed, rename(temporary, path) == 0 else {
            unlink(temporary)
            throw .file("'\(path)' cannot be written: \(isWritten ? String(cString: strerror(errno)) : reason)")
        }
    }
}

/// Shapes as people write them.
enum TensorShape {
    /// `[30522, 384]`, or `scalar`.
    static func text(_ shape: [UInt64]) -> String {
        shape.isEmpty ? "scalar" : "[" + shape.map { "\($0)" }.joined(separator: ", ") + "]"
    }
}
