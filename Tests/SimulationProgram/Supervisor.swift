internal import Foundation

/// Runs the seeds in a child process, passes its lines on, and goes on behind a seed that failed. A trap in the code ends only the child.
struct Supervisor {
    /// Lines of the story that a failure shows.
    private static let storyLines = 60

    private let options: Options

    /// What makes a child run the same kind of world.
    private var kind: [String] { options.hasSites ? ["--sites"] : [] }

    init(_ options: Options) { self.options = options }

    /// Runs everything; status 1 if a seed failed.
    func run() -> Int32 {
        let end = options.minutes.map { Date().addingTimeInterval($0 * 60) }
        let last = options.from + options.seeds
        var next = options.from
        var failed = 0
        while next < last, end.map({ Date() < $0 }) ?? true {
            var arguments = kind + ["--worker", "--from", "\(next)", "--seeds", "\(last - next)"]
            if let end { arguments += ["--minutes", "\(max(1, Int(end.timeIntervalSinceNow / 60 + 0.99)))"] }
            let status = Self.child(arguments) { line in
                say(line)
                if line.hasPrefix("seed=") { next += 1 }
            }
            guard status != 0 else { break }
            let isViolation = status == 1
            if !isViolation { say("seed=\(next) events=0 faults=0 outcome=fail") }
            failed += 1
            explain(isViolation ? next - 1 : next)
            if !isViolation { next += 1 }
        }
        say("seeds=\(next - options.from) failed=\(failed)")
        return failed == 0 ? 0 : 1
    }

    /// Prints why a seed fails, with how few of its faults it still does, and how that ends.
    private func explain(_ seed: UInt64) {
        // The first faults that suffice, by halving; the fewest found by it, not the fewest there are.
        var (enough, tooFew) = (Int.max, -1)
        var (events, faults) = ("", "")
        func fails(_ count: Int) -> Bool {
            var line = ""
            let limit = count == .max ? [] : ["--faults-max", "\(count)"]
            let status = Self.child(kind + ["--only", "\(seed)"] + limit) { if $0.hasPrefix("seed=") { line = $0 } }
            guard status != 0 else { return false }
            let fields = line.split(separator: " ").map(String.init)
            (events, faults) = (fields.first { $0.hasPrefix("events=") } ?? "events=?", "\(count)")
            return true
        }
        if fails(0) {
            enough = 0
        } else {
            enough = 1
            while enough < 1 << 20, !fails(enough) {
                tooFew = enough
                enough *= 2
            }
            while enough - tooFew > 1 {
                let middle = (enough + tooFew) / 2
                if fails(middle) { enough = middle } else { tooFew = middle }
            }
        }
        say("  shortest prefix found: \(events) with the first \(enough) faults (of the last try: \(faults))")
        say("  again: Tests/simulate \(kind.map { $0 + " " }.joined())--only \(seed) --faults-max \(enough) --trace")
        var story: [String] = []
        _ = Self.child(kind + ["--only", "\(seed)", "--faults-max", "\(enough)", "--trace"], joinsErrors: true) {
            line in
            story.append(line)
            if story.count > 4 * Self.storyLines { story.removeFirst(2 * Self.storyLines) }
        }
        for line in story.suffix(Self.storyLines) { say("  | \(line)") }
    }

    /// Runs this program again, hands over its lines, and answers its status (128 and more: a signal).
    private static func child(
        _ arguments: [String], joinsErrors: Bool = false, line take: (String) -> Void
    ) -> Int32 {
        let process = Process()
        process.executableURL = URL(fileURLWithPath: "/proc/self/exe").resolvingSymlinksInPath()
        process.arguments = arguments
        process.environment = ProcessInfo.processInfo.environment.merging(["SWIFT_BACKTRACE": "enable=no"]) { $1 }
        let pipe = Pipe()
        process.standardOutput = pipe
        if joinsErrors { process.standardError = pipe }
        do {
            try process.run()
        } catch {
            say("cannot run \(arguments): \(error)")
            return 2
        }
        var rest = Data()
        while true {
            let data = pipe.fileHandleForReading.availableData
            guard !data.isEmpty else { break }
            rest += data
            while let end = rest.firstIndex(of: UInt8(ascii: "\n")) {
                take(String(decoding: rest[rest.startIndex..<end], as: UTF8.self))
                rest = Data(rest[(end + 1)...])
            }
        }
        process.waitUntilExit()
        return process.terminationReason == .uncaughtSignal
            ? 128 + process.terminationStatus : process.terminationStatus
    }
}
