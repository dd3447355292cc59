import Foundation

/// One decoder under the fuzzer. A target takes any bytes; a trap, an overflow or a broken `precondition` is a finding.
struct Target: Sendable {
    /// Its name on the command line, and of its folder of seeds.
    var name: String
    /// Feeds it one input.
    var run: @Sendable ([UInt8]) -> Void

    /// Every target.
    static let all = [
        Target(name: "frames", run: FuzzFrames.run),
        Target(name: "handshake", run: FuzzHandshake.run),
        Target(name: "message", run: FuzzMessage.run),
        Target(name: "commands", run: FuzzCommands.run),
        Target(name: "apply", run: FuzzApply.run),
        Target(name: "requests", run: FuzzRequests.run),
        Target(name: "log", run: FuzzLog.run),
        Target(name: "state", run: FuzzState.run),
        Target(name: "rows", run: FuzzRows.run),
        Target(name: "snapshot", run: FuzzSnapshot.run),
        Target(name: "container", run: FuzzContainer.run),
        Target(name: "manifest", run: FuzzManifest.run),
        Target(name: "safetensors", run: FuzzSafetensors.run),
    ]

    /// The one that `HOLDFAST_FUZZ_TARGET` names: libFuzzer owns the command line.
    static let chosen: Target = {
        let name = ProcessInfo.processInfo.environment["HOLDFAST_FUZZ_TARGET"] ?? ""
        guard let target = all.first(where: { $0.name == name }) else {
            print("HOLDFAST_FUZZ_TARGET is '\(name)'; use one of \(all.map(\.name).joined(separator: " "))")
            exit(64)
        }
        return target
    }()
}

/// libFuzzer's own loop, as its interface for programs with a main of their own names it.
@_silgen_name("LLVMFuzzerRunDriver")
private func runDriver(
    _ count: UnsafeMutablePointer<CInt>,
    _ arguments: UnsafeMutablePointer<UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>?>,
    _ one: @convention(c) (UnsafePointer<UInt8>?, Int) -> CInt
) -> CInt

/// The program's main function, under the name that the package manager gives it.
@_cdecl("Fuzz_main")
public func fuzzMain(_ count: CInt, _ arguments: UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>?) -> CInt {
    if let folder = ProcessInfo.processInfo.environment["HOLDFAST_FUZZ_SEEDS"] {
        Seeds.write(to: folder)
        return 0
    }
    _ = Target.chosen
    var count = count
    var arguments = arguments
    return runDriver(&count, &arguments) { bytes, count in
        Target.chosen.run(Array(UnsafeBufferPointer(start: bytes, count: count)))
        return 0
    }
}

/// Takes numbers off the front of an input; zeros behind its end.
struct Input {
    private let bytes: [UInt8]
    private var place = 0

    init(_ bytes: [UInt8]) { self.bytes = bytes }

    var isEmpty: Bool { place >= bytes.count }

    mutating func byte() -> UInt8 {
        guard place < bytes.count else { return 0 }
        defer { place += 1 }
        return bytes[place]
    }

    /// A number below `bound`, of one byte.
    mutating func below(_ bound: Int) -> Int { Int(byte()) % bound }

    /// A number, mostly small: one byte, or eight behind a 255.
    mutating func number() -> UInt64 {
        let first = byte()
        guard first == 255 else { return UInt64(first) }
        return (0..<8).reduce(0) { number, _ in number << 8 | UInt64(byte()) }
    }

    mutating func take(_ count: Int) -> [UInt8] {
        let end = min(bytes.count, place + count)
        defer { place = end }
        return Array(bytes[place..<end])
    }

    mutating func rest() -> [UInt8] { take(.max - place) }
}
