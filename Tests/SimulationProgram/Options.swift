internal import Foundation

/// What the command line asks for.
struct Options {
    var seeds: UInt64 = 1
    var from: UInt64 = 1
    var minutes: Double?
    /// Run this seed alone, in this process.
    var only: UInt64?
    var faultsMax = Int.max
    var tells = false
    /// Two sites in each world.
    var hasSites = false
    var showsHash = false
    /// Run seeds in this process, up to the first that fails.
    var isWorker = false

    init(_ arguments: some Sequence<String>) {
        var rest = Array(arguments)
        while let name = rest.first {
            rest.removeFirst()
            switch name {
            case "--trace": tells = true
            case "--sites": hasSites = true
            case "--hash": showsHash = true
            case "--worker": isWorker = true
            case "--seeds": seeds = Self.number(name, &rest)
            case "--from": from = Self.number(name, &rest)
            case "--only": only = Self.number(name, &rest)
            case "--faults-max": faultsMax = Int(Self.number(name, &rest))
            case "--minutes": minutes = Double(Self.number(name, &rest))
            default: Self.fail("unknown option \(name)")
            }
        }
    }

    private static func number(_ name: String, _ rest: inout [String]) -> UInt64 {
        guard let text = rest.first, let value = UInt64(text) else { fail("\(name) needs a number") }
        rest.removeFirst()
        return value
    }

    private static func fail(_ message: String) -> Never {
        say(
            "\(message)\nusage: simulate [--sites] --seeds N [--from S] [--minutes M] | [--sites] --only SEED [--faults-max K] [--trace] [--hash]"
        )
        exit(64)
    }
}

/// Prints a line.
func say(_ line: String) { FileHandle.standardOutput.write(Data((line + "\n").utf8)) }
